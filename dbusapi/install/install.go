// Package install holds what an updater tells while it installs, in the same words for every updater.
package install

// Updaters that can be followed.
const (
	SWUpdate = "swupdate"
	RAUC     = "rauc"
)

// Kind says what happened.
type Kind int

// The kinds, in the order in which an install has them. An install that began before anybody looked has a Started all the same.
const (
	Started  Kind = iota + 1
	Advanced      // Progress changed
	Ended         // Success, or Reason
	// Unfollowed says that installs by this updater cannot be seen now, and why. An updater that does not run is no such case.
	Unfollowed
	// Followed takes an Unfollowed back.
	Followed
)

// Event is one thing that happened to an install.
type Event struct {
	Updater  string // SWUpdate, RAUC
	Kind     Kind
	Progress Progress // of Started and Advanced
	Success  bool     // of Ended
	Reason   string   // of Unfollowed, and of Ended without success
}

// Progress is how far the whole install has come, in RAUC's form, which D-Bus clients know.
type Progress struct {
	Percent int32  // 0 to 100
	Step    string // what is done now, in the updater's words
	Depth   int32  // how deep that is nested in other steps, from 1; 0 while nothing is done
}

// Sink takes events in order. It returns at once: who waits for it may be holding up an install.
type Sink func(Event)
