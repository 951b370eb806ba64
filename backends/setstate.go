package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// SetBad makes a slot unbootable on an updater's word, and selects no other; a switch or capsule into that slot is taken
// back. begins says that this may be the beginning of an install that writes the slot that does not run: an update is
// recorded under id then, each one anew. Else it is somebody's order, which the mark remembers. The warnings are for the log.
func (c *Control) SetBad(ctx context.Context, id string, slot Slot, begins bool) (warnings []string, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	if slot == s.obs.state.expectedRoot(s.obs.state.Current) {
		return s.runningBad(ctx, slot)
	}
	if err := s.refuseInstall(ctx, aim{outside: true}); err != nil {
		return nil, err
	}
	if warnings, err = s.keepRunning(ctx); err != nil {
		return nil, err
	}
	if begins {
		return warnings, s.beginOutside(ctx, id, slot)
	}
	return warnings, s.otherBad(ctx, slot)
}

// keepRunning makes sure of the running slot before the other one is marked; it was marked bad itself or is bootable then.
func (s *session) keepRunning(ctx context.Context) (warnings []string, err error) {
	current := s.obs.state.Current
	switch {
	case s.journal.mark(current).Bad: // that order stands, too: two slots at 0xFF make the launcher boot recovery at once
		return []string{fmt.Sprintf("slot %s is marked bad as well: no slot is bootable now", current)}, nil
	case s.obs.state.withoutFallback():
		return nil, nil
	}
	if err := s.backend.MarkBootable(ctx, current); err != nil {
		return nil, fail.New(fail.IO, "%w (the running slot %s must be bootable before the other is marked, so nothing was)", err, current)
	}
	return nil, nil
}

// otherBad obeys an order against the slot that does not run. Nobody writes to it, so it is what it was when somebody calls
// it good again.
func (s *session) otherBad(ctx context.Context, slot Slot) error {
	if u := s.journal.doc.Update; u.inFlight() && u.Target == slot {
		if err := s.giveUp(ctx, fmt.Sprintf("slot %s was marked bad", slot)); err != nil {
			return err
		}
	}
	if s.journal.mark(slot).Rootfs == Unknown && s.rootUsable(slot) == nil {
		s.journal.setRootfs(slot, Whole) // unknown counts as whole at status 0, which goes now
	}
	return s.markBad(ctx, slot)
}

// markBad writes the mark first: a cut leaves an order that is known and not carried out.
func (s *session) markBad(ctx context.Context, slot Slot) error {
	s.journal.setBad(slot, true)
	if err := s.journal.save(false); err != nil {
		return err
	}
	if s.obs.state.withoutFallback() {
		return nil // there is no status; the mark stands alone
	}
	return s.backend.MarkUnbootable(ctx, slot)
}

// runningBad obeys an order against the running slot. The mark remembers it, so that nothing of ours rolls back to that slot.
func (s *session) runningBad(ctx context.Context, slot Slot) (warnings []string, err error) {
	if err := s.obs.disagreement(); err != nil {
		return nil, fail.New(fail.Unavailable, "cannot mark slot %s bad: %w", slot, err)
	}
	if s.obs.state.withoutFallback() || s.obs.state.pinned() {
		return nil, fail.New(fail.Unavailable, "cannot mark slot %s bad: it runs, and the firmware has no other root file system to fall back to", slot).
			Then("flash the device with ROOTFS_AB=1")
	}
	if err := s.refuseReadOnly(ctx); err != nil {
		return nil, err
	}
	if !s.good(slot.Other()) {
		warnings = append(warnings, fmt.Sprintf("slot %s was the last bootable one: the next boot ends in the recovery system unless an update comes first", slot))
	}
	if !s.onTrial() && s.journal.mark(slot).Rootfs == Unknown {
		s.journal.setRootfs(slot, Whole) // it runs
	}
	return warnings, s.markBad(ctx, slot)
}

// orderedAway says that the running slot was marked bad in this boot, and that the firmware can obey: had it been before, the other
// slot would run. Accepting the slot would undo the order. A mark without status and retries is an order that a power cut kept from
// being carried out, and a slot that runs for want of another one has to go on.
func (s *session) orderedAway() bool {
	current := s.obs.state.Current
	have := s.obs.state.Slots[current]
	obeyed := have.Status != nil && *have.Status == StatusUnbootable && (have.Retries == nil || *have.Retries == 0)
	return obeyed && s.journal.mark(current).Bad && s.good(current.Other())
}

// SetGood makes a slot bootable on an updater's word. For the running slot that is the whole commit. The other one must
// be neither half written nor dirty; if it was only marked bad and nobody wrote to it since, it is what it was.
func (c *Control) SetGood(ctx context.Context, slot Slot) (message string, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return "", err
	}
	defer s.end()
	if slot == s.obs.state.expectedRoot(s.obs.state.Current) {
		return s.commit(ctx)
	}
	if err := s.refuseGood(ctx, slot); err != nil {
		return "", err
	}
	if u := s.journal.doc.Update; s.markedOnly(u, slot) && u.Outside.Before.Rootfs != Torn && !s.dirty(slot) {
		if err := s.endMark(ctx, u); err != nil {
			return "", err
		}
	}
	if err := s.refuseHalfWritten(slot); err != nil {
		return "", err
	}
	if s.journal.mark(slot).Bad {
		s.journal.setBad(slot, false)
		if err := s.journal.save(false); err != nil {
			return "", err
		}
	}
	if !s.obs.state.withoutFallback() {
		err = s.backend.MarkBootable(ctx, slot)
	}
	return fmt.Sprintf("slot %s is bootable", slot), err
}

// endMark ends the update that a mark had begun: there is none, and the slot is what it was.
func (s *session) endMark(ctx context.Context, u *Update) error {
	if u.inFlight() && u.Firmware != nil {
		if err := s.stager.Discard(ctx, u.Firmware.Staged); err != nil {
			return err
		}
	}
	mark := u.Outside.Before
	mark.Firmware = s.journal.mark(u.Target).Firmware
	s.journal.doc.Marks[u.Target] = &mark
	u.Outside = nil
	u.end(Idle, fmt.Sprintf("slot %s was marked bad, and good again", u.Target), "")
	return s.journal.save(false)
}

// refuseGood says why the other slot cannot be made bootable now, whatever is in it.
func (s *session) refuseGood(ctx context.Context, slot Slot) error {
	if err := s.obs.disagreement(); err != nil {
		return fail.New(fail.Unavailable, "cannot mark slot %s good: %w", slot, err)
	}
	if s.obs.state.pinned() {
		return s.refuseRedundancy(true)
	}
	return s.refuseReadOnly(ctx)
}

// refuseHalfWritten says why what is in a slot must not be called good.
func (s *session) refuseHalfWritten(slot Slot) error {
	switch {
	case s.journal.mark(slot).Rootfs == Torn:
		return fail.New(fail.Unavailable, "cannot mark slot %s good: its root file system may be half written", slot).Of(ErrNotBootable).
			Then("install a complete update")
	case s.journal.mark(slot).Lost:
		return fail.New(fail.Unavailable, "cannot mark slot %s good: the journal was lost, and the firmware's status says that it is not bootable", slot).
			Of(ErrNotBootable).Then("install a complete update")
	case s.dirty(slot):
		return fail.New(fail.Unavailable, "cannot mark slot %s good: its firmware may be half written", slot).Of(ErrDirtyFirmware).
			Then("install firmware for it; that is the cure")
	}
	return nil
}
