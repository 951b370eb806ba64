package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Activation is what Activate did.
type Activation struct {
	Slot     Slot             // boots next
	Firmware *capsule.Version // armed with it; nil for a plain switch
	// Nothing says that there was nothing to do: the update holds only firmware that the target has already.
	Nothing  bool
	Warnings []string
}

// Activate makes a slot boot next: it arms the capsule if the update has one, else it selects the chain, never both.
// slot None means the target of the update in flight, which there must be then. id, if not empty, must be the update's.
// Selecting the running slot takes an activation back.
func (c *Control) Activate(ctx context.Context, id string, slot Slot) (Activation, error) {
	s, err := c.begin(ctx)
	if err != nil {
		return Activation{}, err
	}
	defer s.end()
	return s.choose(ctx, id, slot)
}

// choose decides what an activation means and does it.
func (s *session) choose(ctx context.Context, id string, slot Slot) (Activation, error) {
	if s.leaving() {
		return Activation{}, fail.New(fail.Busy, "cannot activate: slot %s was rolled back and only awaits the reboot", s.obs.state.Current).Then("reboot")
	}
	if err := s.refuseReadOnly(ctx); err != nil {
		return Activation{}, err
	}
	if slot == s.obs.state.Current {
		if s.tornRuns() { // a pending switch may be the way out
			return Activation{}, fail.New(fail.Unavailable, "cannot activate slot %s: its root file system may be half written", slot).Then("install a complete update")
		}
		if err := s.backend.CancelNext(ctx); err != nil { // whoever asked for it: a person names the slot that is to stay
			return Activation{}, err
		}
		return Activation{Slot: slot}, s.takeBack(ctx)
	}
	u := s.journal.doc.Update
	if slot == None && !u.inFlight() {
		return Activation{}, fail.New(fail.Unavailable, "cannot activate: no update is in flight%s", lastEnd(u)).
			Then("install one, or name the slot to switch to")
	}
	target := s.obs.state.Current.Other()
	if err := s.refuseActivate(ctx, id, target); err != nil {
		return Activation{}, err
	}
	if u.inFlight() && u.Firmware != nil && u.Firmware.Skipped && len(u.Images) == 0 {
		u.end(Idle, fmt.Sprintf("nothing to do: slot %s holds firmware %s already", target, u.Firmware.Version), "")
		return Activation{Slot: s.obs.state.Current, Nothing: true}, s.journal.save(false)
	}
	a := Activation{Slot: target}
	if err := s.refuseTarget(ctx, target, &a); err != nil {
		return a, err
	}
	return a, s.activate(ctx, target, &a)
}

// lastEnd explains an activation without an update by how the last one ended.
func lastEnd(u *Update) string {
	if u == nil || u.Reason == "" {
		return ""
	}
	return fmt.Sprintf(" (the last one ended %s: %s)", u.State, u.Reason)
}

// refuseActivate says why nothing can be activated now.
func (s *session) refuseActivate(ctx context.Context, id string, target Slot) error {
	u := s.journal.doc.Update
	if s.onTrial() {
		return fail.New(fail.Busy, "cannot activate slot %s: the last boot is not judged yet", target).Then("wait for tegra-boot-verify")
	}
	if err := s.obs.disagreement(); err != nil {
		return fail.New(fail.Unavailable, "cannot activate slot %s: %w", target, err)
	}
	switches := !u.inFlight() || u.Firmware == nil || len(u.Images) > 0
	if err := s.refuseRedundancy(switches); err != nil {
		return err
	}
	if err := s.refuseForeignSwitch(); err != nil {
		return err
	}
	if err := s.refuseForeign(ctx, aim{}); err != nil {
		return err
	}
	if !u.inFlight() {
		if id != "" {
			return fail.New(fail.Unavailable, "cannot activate update %q: it is not in flight%s", id, lastEnd(u))
		}
		return nil
	}
	if id != "" && u.ID != id {
		return fail.New(fail.Unavailable, "cannot activate update %q: the update in flight is %q", id, u.ID).Then("install all parts of one update under one ID")
	}
	if u.BegunIn != s.obs.bootID {
		return fail.New(fail.Unavailable, "cannot activate: the device was rebooted since the update was installed").Then("install it again")
	}
	if err := u.incomplete(); err != nil {
		return fail.New(fail.Unavailable, "cannot activate slot %s: %w", target, err).Then("install the update again")
	}
	return nil
}

// refuseTarget says why the target must not boot: a torn root file system, a dirty chain, older firmware.
func (s *session) refuseTarget(ctx context.Context, target Slot, a *Activation) error {
	u := s.journal.doc.Update
	state := s.obs.state
	switch {
	case state.pinned():
	case !u.inFlight():
		// A person's switch: a slot known whole may be revived, an unknown one only as it is.
		if s.journal.mark(target).Rootfs != Whole {
			if err := s.rootUsable(target); err != nil {
				return fail.New(fail.Unavailable, "cannot activate slot %s: %w", target, err)
			}
		}
	case u.Images["APP"] == nil && (!u.RootUsable || len(u.Images) == 0 && s.rootUsable(target) != nil): // somebody may have marked it since
		return fail.New(fail.Unavailable, "cannot activate slot %s: the update brings no root file system, and the one there may be half written or is marked unbootable", target).
			Then("add a root file system image to the update")
	case u.missingPart(s.journal.mark(target).Parts) != "":
		return fail.New(fail.Unavailable, "cannot activate slot %s: its partition %s may be half written, and the update does not bring it",
			target, u.missingPart(s.journal.mark(target).Parts)).Then("add that image to the update")
	}
	if u.inFlight() && u.capsule() != nil {
		a.Firmware = u.firmwareVersion()
		return s.refuseCapsule(ctx, u)
	}
	if have, running := state.Slots[target].Firmware, state.Slots[state.Current].Firmware; have == nil || running == nil {
		a.Warnings = append(a.Warnings, fmt.Sprintf("the firmware version of slot %s is not known", target))
	}
	if err := s.refuseChain(target); err != nil {
		return fail.New(fail.Unavailable, "cannot activate slot %s: %w", target, err)
	}
	return nil
}

// refuseChain says why a slot must not boot with the firmware that it has; nil if it may.
func (s *session) refuseChain(target Slot) error {
	if s.journal.mark(target).Firmware == Dirty {
		return fail.New(fail.Unavailable, "its firmware may be half written").Then("install firmware for it; that is the cure")
	}
	have, running := s.obs.state.Slots[target].Firmware, s.obs.state.Slots[s.obs.state.Current].Firmware
	if have != nil && running != nil && *have < *running && !s.opts.AllowOlderChain {
		return fail.New(fail.Unavailable, "its firmware %s is older than the running %s", have, running).
			Then("add the capsule to this update, or set allow_older_chain in [firmware]")
	}
	return nil
}

// refuseCapsule checks the staged capsule once more: time has passed, and the ESP is a FAT file system that anyone can write to.
func (s *session) refuseCapsule(ctx context.Context, u *Update) error {
	if s.obs.espErr != nil {
		return s.obs.espErr
	}
	pending, err := s.stager.Pending(ctx, &u.Firmware.Staged)
	if err != nil {
		return err
	}
	if err := pending.RefuseForeign("arm the firmware"); err != nil {
		return err
	}
	if pending.Armed {
		return nil // a second call after a cut: it is where it belongs
	}
	if !pending.Staged {
		err := fail.New(fail.Unavailable, "cannot arm the firmware: the staged capsule is gone from the ESP").Then("install the update again")
		s.failUpdate(ctx, err)
		return err
	}
	return s.stager.Verify(ctx, u.Firmware.Staged)
}

// activate does it. The order is what makes a cut at any point safe: first the journal, with the target dirty if
// firmware will be written to it; then the target's own state; then what the last switch left over, which would cancel
// this one; last the one write that makes the firmware act.
func (s *session) activate(ctx context.Context, target Slot, a *Activation) error {
	if err := s.recordActivation(ctx, target); err != nil {
		return err
	}
	u := s.journal.doc.Update
	if !s.obs.state.pinned() && !s.obs.state.withoutFallback() {
		if err := s.backend.MarkBootable(ctx, target); err != nil {
			return err
		}
		after, err := s.backend.Read(ctx)
		if err != nil {
			return err
		}
		if r := after.Slots[target].Retries; r == nil || *r == 0 {
			a.Warnings = append(a.Warnings, fmt.Sprintf("the retry count of slot %s cannot be set: power-cycle the device instead of rebooting it", target))
		}
	}
	if err := s.backend.ClearTrial(ctx); err != nil {
		return err
	}
	if c := u.capsule(); c != nil {
		return s.stager.Arm(ctx, c.Staged)
	}
	return s.backend.SetNext(ctx, target)
}

// recordActivation writes the journal. A second call in the same boot keeps what the first one saw before it changed anything.
func (s *session) recordActivation(ctx context.Context, target Slot) error {
	u := s.journal.doc.Update
	if !u.inFlight() {
		u = &Update{State: StagedAll, Target: target, BegunIn: s.obs.bootID, RootUsable: true}
		s.journal.doc.Update = u
	}
	c := u.capsule()
	if u.State != Activated {
		u.State, u.ActivatedIn, u.Boots, u.CountedIn = Activated, s.obs.bootID, 0, ""
		if c != nil {
			entry, err := esrt.Read(s.m)
			if err != nil {
				return err
			}
			last := entry.Last()
			pending, err := s.stager.Pending(ctx, &c.Staged)
			if err != nil {
				return err
			}
			u.Before, u.RequestedByUs = &last, !pending.Requested
		}
	}
	s.journal.setBad(target, false)
	// Unknown counts as whole at status 0. That is written down while it is so: a chain that a cut leaves dirty takes
	// the status away.
	if u.Images["APP"] != nil || u.RootUsable && (len(u.Images) > 0 || c != nil) && !s.obs.state.pinned() {
		s.journal.setRootfs(target, Whole)
	}
	if c != nil {
		s.journal.setFirmware(target, Dirty)
	}
	return s.journal.save(c != nil)
}
