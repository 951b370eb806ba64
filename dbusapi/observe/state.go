// Package observe notices what happens to a Jetson's slots: it reads them when something changed, follows the updaters, and says
// what is different and what that means.
//
// It polls nothing. While nothing happens no timer runs and no goroutine wakes.
package observe

import (
	"reflect"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// Operations. Installing is an updater's; the others are for Observer.Begin.
const (
	Idle        = "idle"
	Installing  = "installing"
	Activating  = "activating"
	Committing  = "committing"
	RollingBack = "rolling-back"
	Marking     = "marking"
)

// State is everything that is known at one moment.
type State struct {
	// Status is the last reading that succeeded; Known says that there was one.
	Status backends.Status
	Known  bool
	// Operation is what is done now: Idle or one of the others.
	Operation string
	// Progress of the install, or of the last one.
	Progress install.Progress
	// LastError says why the last install failed, or why something cannot be seen now; "" if nothing is wrong.
	LastError string
}

// Kind of an occurrence.
type Kind int

// The kinds.
const (
	Finished   Kind = iota + 1 // an install ended
	Switched                   // another slot than before boots next
	Committed                  // the running slot was accepted
	RolledBack                 // an activated update was given up
)

// Occurrence is something that happened, beyond that values are different.
type Occurrence struct {
	Kind    Kind
	Slot    backends.Slot // Switched: boots next; Committed: runs; RolledBack: is left
	Success bool          // of Finished
	Updater string        // of Finished; "" where only the journal told of it
	Reason  string        // of RolledBack, and of Finished without success
}

// compare says what happened between two readings. What the firmware changes at a boot is not seen as a change: nobody was there.
func compare(before, after backends.Status) []Occurrence {
	var all []Occurrence
	if before.Next != nil && after.Next != nil && *before.Next != *after.Next {
		all = append(all, Occurrence{Kind: Switched, Slot: *after.Next})
	}
	if !before.Committed && after.Committed && after.Current != nil {
		all = append(all, Occurrence{Kind: Committed, Slot: *after.Current})
	}
	if u := after.Update; u.Target != nil && (u.State == backends.RolledBack && before.Update.State != backends.RolledBack ||
		u.State == backends.Failed && before.Update.State == backends.Activated) {
		all = append(all, Occurrence{Kind: RolledBack, Slot: *u.Target, Reason: u.Reason})
	}
	return all
}

// arriving says that parts of an update come in, or could.
func arriving(s backends.UpdateState) bool {
	return s == backends.Installing || s == backends.StagedAll
}

// another says that a new update came between two readings: parts arrive again, or are those of another one. One that was
// taken back and is staged as before is the same.
func another(before, after backends.UpdateStatus) bool {
	same := before.ID == after.ID && reflect.DeepEqual(before.Target, after.Target) && reflect.DeepEqual(before.Firmware, after.Firmware)
	switch {
	case arriving(after.State):
		return !arriving(before.State) && !(before.State == backends.Activated && same) || before.ID != after.ID
	case after.State == backends.Activated:
		return brought(before, after)
	}
	return false
}

// brought says that an update came, and was activated, between two readings. Firmware is what tells it from somebody's switch; an
// image takes longer to write than readings are apart.
func brought(before, after backends.UpdateStatus) bool {
	return after.State == backends.Activated && before.State != backends.Activated && !arriving(before.State) && after.Firmware != nil
}

// ended says how an install ended that no updater tells of, by its journal; ok is false if it did not end between the readings.
func ended(before, after backends.UpdateStatus) (o Occurrence, ok bool) {
	if !arriving(before.State) && !brought(before, after) {
		return o, false
	}
	o.Kind = Finished
	switch after.State {
	case backends.Activated, backends.Idle: // idle: the firmware was there already, and nothing is to be done
		o.Success = true
	case backends.Failed:
		o.Reason = after.Reason
	default:
		return o, false
	}
	return o, true
}

// same says that nobody could tell two states apart.
func same(a, b State) bool { return reflect.DeepEqual(a, b) }
