package backends

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
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
			return Activation{}, fail.New(fail.Unavailable, "cannot activate slot %s: its root file system may be half written", slot).Of(ErrNotBootable).
				Then("install a complete update")
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
	err := s.activate(ctx, target, &a)
	if err != nil && !errors.Is(err, device.ErrPowerCut) {
		s.undoActivation(ctx)
	}
	return a, err
}

// undoTime is for taking an activation back whose own time has run out, as RAUC's backend has it: ten seconds for all.
const undoTime = 2 * time.Second

// undoActivation takes back what an activation that failed half-way has done: nobody may believe in it. A slot that this update
// wrote is unbootable again, as before.
func (s *session) undoActivation(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	// What was read before says nothing of a selection that came through although its program failed.
	if state, err := s.backend.Read(ctx); err == nil {
		s.obs.state = state
	}
	err := s.takeBack(ctx)
	if u := s.journal.doc.Update; err == nil && u != nil && len(u.Images) > 0 && s.obs.state.marked() {
		err = s.backend.MarkUnbootable(ctx, u.Target)
	}
	if err != nil {
		s.log.WithError(err).Error("cannot take back the activation that failed")
	}
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

// activate does it. The order is what makes a cut at any point safe: first the journal, with the target dirty if
// firmware will be written to it; then the target's own state; then what the last switch left over, which would cancel
// this one; last the one write that makes the firmware act.
func (s *session) activate(ctx context.Context, target Slot, a *Activation) error {
	if err := s.recordActivation(ctx, target); err != nil {
		return err
	}
	u := s.journal.doc.Update
	if s.obs.state.marked() {
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
