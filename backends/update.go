package backends

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
)

// UpdateState is how far the update in flight has come.
type UpdateState string

// The states. Installing to Testing are in flight; the others are how an update ended.
const (
	Idle       UpdateState = "idle"
	Installing UpdateState = "installing"  // an image or capsule is being written
	StagedAll  UpdateState = "staged"      // everything given so far is in place
	Activated  UpdateState = "activated"   // the next boot tries it
	Testing    UpdateState = "testing"     // its trial boots
	Committed  UpdateState = "committed"   // accepted
	Failed     UpdateState = "failed"      // ended without changing which slot runs
	RolledBack UpdateState = "rolled-back" // tried and given up
)

// Integrity of a root file system or of a chain's firmware, as far as we wrote it.
type Integrity string

// The values. Rootfs is whole, torn or unknown; firmware is whole, dirty or unknown.
const (
	Unknown Integrity = "unknown"
	Whole   Integrity = "whole"
	Torn    Integrity = "torn"  // a root file system that may be half written
	Dirty   Integrity = "dirty" // firmware that may be half written
)

// Mark is what the journal knows of a slot, apart from the update in flight.
type Mark struct {
	Rootfs   Integrity `json:"rootfs"`
	Firmware Integrity `json:"firmware"`
	// Parts are the partitions that are torn, in words: an update makes the slot whole only if it brings them all.
	Parts string `json:"parts,omitempty"`
	// Bad says that somebody called the slot bad while it ran: it may be whole, and is no way back.
	Bad bool `json:"bad,omitempty"`
	// Lost says that nothing was known of the slot when the firmware called it unbootable: the firmware's status is then the
	// second copy of a mark that was lost.
	Lost bool `json:"lost,omitempty"`
}

// Update is the update in flight, or how the last one ended.
type Update struct {
	ID     string      `json:"id,omitempty"`
	State  UpdateState `json:"state"`
	Target Slot        `json:"target"`
	// BegunIn and ActivatedIn are boot identities: an update is activated in the boot it was installed in, and judged
	// in a later one.
	BegunIn     string `json:"begun_in"`
	ActivatedIn string `json:"activated_in,omitempty"`
	// RootUsable says that the target could boot its root file system before this update touched it.
	RootUsable bool `json:"root_usable"`
	// Images by partition name (APP, kernel, kernel-dtb).
	Images   map[string]*Image `json:"images,omitempty"`
	Firmware *Firmware         `json:"firmware,omitempty"`
	// Outside is set where an updater writes the target's root file system itself.
	Outside *Outside `json:"outside,omitempty"`
	// Before is the firmware's last attempt when the capsule was armed: an equal pair afterwards means that no attempt
	// was reported.
	Before *esrt.Attempt `json:"before,omitempty"`
	// RequestedByUs says that OsIndications bit 2 was clear before we set it.
	RequestedByUs bool `json:"requested_by_us,omitempty"`
	// Boots counts uncommitted boots, once for each boot identity: the firmware's own counter is lost at power-off.
	Boots     int    `json:"boots"`
	CountedIn string `json:"counted_in,omitempty"`
	// TargetRan says that the target was seen running.
	TargetRan bool `json:"target_ran,omitempty"`
	// TargetGaveUp says that the target's launcher marked its slot unbootable after the last retry: its firmware came
	// up, its system did not.
	TargetGaveUp bool `json:"target_gave_up,omitempty"`
	// Returns counts boots of the target after it was rolled back: a firmware that does not switch must not make us
	// reboot for ever.
	Returns int `json:"returns,omitempty"`
	// Unfinished says that a roll-back asked for the switch and may not have made the target unbootable yet.
	Unfinished bool     `json:"unfinished,omitempty"`
	Verdict    *Verdict `json:"verdict,omitempty"`
	Reason     string   `json:"reason,omitempty"`    // why it ended as it did
	NextStep   string   `json:"next_step,omitempty"` // what to do about it
}

// Image is one image of the update.
type Image struct {
	Size      int64  `json:"size,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Written   bool   `json:"written"`   // read back and compared
	Confirmed bool   `json:"confirmed"` // the updater's own verdict on its input is known, too
}

// Firmware is the capsule of the update.
type Firmware struct {
	Staged
	Complete  bool `json:"complete"` // staged and read back, or skipped
	Confirmed bool `json:"confirmed"`
	// Skipped says that the target chain holds this version already, whole.
	Skipped bool `json:"skipped,omitempty"`
	// Direct says that install wrote the target's chain itself, so that there is nothing to arm.
	Direct bool `json:"direct,omitempty"`
	// MarkBefore is the target's firmware mark before this capsule, restored when it is taken back unused.
	MarkBefore Integrity `json:"mark_before"`
}

// setImage records how far one image has come.
func (u *Update) setImage(name string, image Image) {
	if u.Images == nil { // an update that began with firmware was read back from the journal without any
		u.Images = map[string]*Image{}
	}
	u.Images[name] = &image
}

// inFlight says whether the update still has something to do.
func (u *Update) inFlight() bool {
	if u == nil {
		return false
	}
	switch u.State {
	case Installing, StagedAll, Activated, Testing:
		return true
	}
	return false
}

// missingPart names a partition, of those in words, that the update does not bring; "" if it brings them all.
func (u *Update) missingPart(parts string) string {
	for _, p := range strings.Fields(parts) {
		if u.Images[p] == nil {
			return p
		}
	}
	return ""
}

// capsule returns the capsule that this update has to arm, nil when it has none, skips it, or wrote the firmware itself.
func (u *Update) capsule() *Firmware {
	if u == nil || u.Firmware == nil || u.Firmware.Skipped || u.Firmware.Direct {
		return nil
	}
	return u.Firmware
}

// firmwareVersion returns the version for status, nil without firmware.
func (u *Update) firmwareVersion() *capsule.Version {
	if u == nil || u.Firmware == nil || u.Firmware.Version == 0 { // some payloads tell it in the end only
		return nil
	}
	v := u.Firmware.Version
	return &v
}

// end finishes the update with a reason.
func (u *Update) end(state UpdateState, reason, next string) {
	u.State, u.Reason, u.NextStep = state, reason, next
}

// incomplete names what keeps the update from being activated, nil if nothing does.
func (u *Update) incomplete() error {
	if u.Outside != nil && u.Images["APP"] == nil {
		return errors.New("the updater has not said that the root file system is complete")
	}
	for _, name := range PartitionNames {
		image := u.Images[name]
		switch {
		case image == nil:
		case !image.Written:
			return fmt.Errorf("the image of %s is not complete", name)
		case !image.Confirmed:
			return fmt.Errorf("the updater did not confirm the image of %s", name)
		}
	}
	switch {
	case u.Firmware == nil:
	case !u.Firmware.Complete:
		return errors.New("the firmware is not completely staged")
	case !u.Firmware.Confirmed:
		return errors.New("the updater did not confirm the firmware")
	}
	return nil
}

// settle sets installing or staged after a part came in.
func (u *Update) settle() {
	u.State = StagedAll
	if u.Outside != nil && u.Images["APP"] == nil { // the updater has not said yet that it has finished
		u.State = Installing
	}
	for _, image := range u.Images {
		if !image.Written {
			u.State = Installing
		}
	}
	if u.Firmware != nil && !u.Firmware.Complete {
		u.State = Installing
	}
}
