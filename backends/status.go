package backends

import (
	"context"
	"path"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
)

// Status is everything a person or a program needs to know; nil and "" stand for what cannot be known. The JSON names are frozen.
type Status struct {
	Backend    string               `json:"backend"`
	Reason     string               `json:"backend_reason"` // why this backend
	Method     Method               `json:"firmware_method"`
	Board      Board                `json:"board"`
	Current    *Slot                `json:"current"`
	Next       *Slot                `json:"next"`
	Redundancy *uint32              `json:"redundancy"`
	Slots      map[Slot]*SlotStatus `json:"slots"`
	Update     UpdateStatus         `json:"update"`
	Verdict    Verdict              `json:"verdict"`
	Problems   []Problem            `json:"problems"`
	Lowest     *capsule.Version     `json:"lowest_supported"` // the firmware installs nothing older
	ESP        *string              `json:"esp"`              // where capsules go, and, in words, what could not be verified about it
	Launcher   *string              `json:"launcher"`         // path of L4TLauncher on the ESP, which is not redundant and not updated
	Journal    string               `json:"journal"`          // folder
	Committed  bool                 `json:"committed"`        // the running slot is accepted, in this boot
}

// Board names the hardware.
type Board struct {
	Chip   *string `json:"chip"`
	Spec   *string `json:"spec"`
	Compat *string `json:"compat"`
}

// SlotStatus is one slot.
type SlotStatus struct {
	Bootable      *bool            `json:"bootable"`
	Retries       *int             `json:"retries"`
	Firmware      *capsule.Version `json:"firmware"`
	FirmwareDirty bool             `json:"firmware_dirty"`
	Rootfs        Integrity        `json:"rootfs"`
	Mounted       bool             `json:"mounted"` // its root file system is mounted at /
	Device        *string          `json:"device"`  // of its root file system
}

// UpdateStatus is the update in flight, or how the last one ended.
type UpdateStatus struct {
	State    UpdateState      `json:"state"`
	Target   *Slot            `json:"target"`
	Firmware *capsule.Version `json:"firmware"`
	Boots    int              `json:"boots"`
	ID       string           `json:"id,omitempty"`
	Reason   string           `json:"reason,omitempty"`
	NextStep string           `json:"next_step,omitempty"`
}

// Status reads everything and changes nothing.
func (c *Control) Status(ctx context.Context) (Status, error) {
	s, err := c.read(ctx)
	if err != nil {
		return Status{}, err
	}
	return s.status(ctx), nil
}

func (s *session) status(ctx context.Context) Status {
	st := Status{Backend: s.backend.Name(), Reason: s.opts.BackendReason, Method: s.stager.Method(), Redundancy: s.obs.state.Redundancy, Slots: map[Slot]*SlotStatus{}, Journal: s.journal.where}
	st.Board = s.board()
	st.Committed = s.m.Exists(committedPath)
	st.Current = slotOrNil(s.obs.state.Current)
	st.Next = slotOrNil(s.next())
	st.Update = UpdateStatus{State: Idle}
	if u := s.journal.doc.Update; u != nil {
		st.Update = UpdateStatus{State: u.State, Target: slotOrNil(u.Target), Firmware: u.firmwareVersion(), Boots: u.Boots, ID: u.ID, Reason: u.Reason, NextStep: u.NextStep}
	}
	var err error
	if st.Verdict, err = s.judge(ctx); err != nil {
		st.Verdict = Verdict{Outcome: NoOutcome, Reason: err.Error()}
	}
	for _, slot := range Slots {
		st.Slots[slot] = s.slotStatus(slot, st.Verdict)
	}
	if entry, err := readESRT(s.m); err == nil {
		st.Lowest = &entry.Lowest
	}
	if s.obs.espErr == nil {
		where := s.obs.esp.MountPoint + " (" + s.obs.esp.Device + ")"
		if s.obs.esp.Note != "" { // normal where the firmware made the boot option itself: it names the disk, not the partition
			where += ": " + s.obs.esp.Note
		}
		st.ESP = &where
		launcher := path.Join(s.obs.esp.MountPoint, "EFI/BOOT/BOOTAA64.efi")
		if s.m.Exists(launcher) {
			st.Launcher = &launcher
		}
	}
	st.Problems = s.problems(ctx, Scope{})
	return st
}

// next is the slot that boots next: with a capsule armed that is the target although no switch is pending.
func (s *session) next() Slot {
	if u := s.journal.doc.Update; u != nil && u.State == Activated && u.ActivatedIn == s.obs.bootID && (u.capsule() != nil || s.obs.state.Next == u.Target) {
		return u.Target
	}
	if s.obs.state.Next != None {
		return s.obs.state.Next
	}
	return s.obs.state.Current
}

func (s *session) slotStatus(slot Slot, v Verdict) *SlotStatus {
	have, mark := s.obs.state.Slots[slot], s.journal.mark(slot)
	// The mark stays until boot-verify clears it; the verdict knows already that the running target's firmware is complete.
	applied := v.Outcome == Applied && slot == s.obs.state.Current && slot == s.journal.doc.Update.Target
	st := &SlotStatus{
		Retries: have.Retries, Firmware: s.firmwareOf(slot), FirmwareDirty: mark.Firmware == Dirty && !applied,
		Rootfs: mark.Rootfs, Mounted: s.obs.root == slot,
	}
	if p, err := FindPartition(s.m, slot, "APP"); err == nil {
		st.Device = &p.Device
	}
	bootable := have.Status != nil && *have.Status != StatusUnbootable && (have.Retries == nil || *have.Retries > 0)
	switch {
	case mark.Rootfs == Torn || s.dirty(slot) && !applied:
		bootable = false
	case have.Status == nil:
		return st // the firmware does not say
	}
	st.Bootable = &bootable
	return st
}

// dirty says that a chain may be half written now. The mark alone is set before a capsule is armed; until the reboot
// nothing has been written.
func (s *session) dirty(slot Slot) bool {
	if s.journal.mark(slot).Firmware != Dirty {
		return false
	}
	u := s.journal.doc.Update
	waiting := u != nil && u.State == Activated && u.ActivatedIn == s.obs.bootID && u.Target == slot && u.capsule() != nil
	return !waiting || u.Firmware.MarkBefore == Dirty
}

func (s *session) board() Board {
	var b Board
	if s.obs.chipErr == nil {
		b.Chip = &s.obs.chip.Name
	}
	conf := chip.BootControl(s.m)
	b.Spec = firstOf(s.obs.state.Spec, conf["TNSPEC"])
	b.Compat = firstOf(s.obs.state.Compat, conf["COMPATIBLE_SPEC"])
	return b
}

func firstOf(values ...string) *string {
	for _, v := range values {
		if v != "" {
			return &v
		}
	}
	return nil
}

func slotOrNil(s Slot) *Slot {
	if s == None {
		return nil
	}
	return &s
}
