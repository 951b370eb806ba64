package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Rollback gives up the update on trial and makes the other slot boot next, if that one is whole. It reports whether a
// reboot is needed. Without a trial it takes back an activation, or does nothing.
func (c *Control) Rollback(ctx context.Context) (reboot bool, message string, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return false, "", err
	}
	defer s.end()
	u := s.journal.doc.Update
	switch {
	case s.onTrial() && s.obs.state.Current == u.Target:
		v, err := s.judge(ctx)
		if err != nil {
			return false, "", err
		}
		reboot, err := s.rollback(ctx, v, "rolled back on request")
		return reboot, s.journal.doc.Update.Reason, err
	case s.onTrial():
		v, err := s.judge(ctx)
		if err != nil {
			return false, "", err
		}
		return false, "the update did not come up; slot " + string(s.obs.state.Current) + " runs: " + v.Reason, s.settleOld(ctx, u, v)
	case u.inFlight():
		return false, fmt.Sprintf("the update was not booted: slot %s boots next", s.obs.state.Current), s.giveUp(ctx, "rolled back before it was booted")
	}
	return false, "nothing to roll back", nil
}

// rollback switches chains, never installs a capsule: the other chain still holds its old firmware, so the lowest
// supported version does not forbid it. Without a safe other slot it stays, refills the own retries, and says so. It
// reports whether a reboot is needed.
func (s *session) rollback(ctx context.Context, v Verdict, why string) (bool, error) {
	u := s.journal.doc.Update
	own, other := s.obs.state.Current, s.obs.state.Current.Other()
	if u.Verdict == nil {
		u.Verdict = v.givenUp(why)
	}
	if v.Outcome == Applied && u.capsule() != nil {
		// Not half written: it is the system that is given up. Not called whole either, or the same update again would
		// have nothing to do.
		s.journal.setFirmware(own, Unknown)
	}
	if err := s.refuseForeignSwitchOf(other); err != nil {
		return false, err
	}
	if err := s.refuseFallback(other); err != nil {
		return false, s.stay(ctx, why, err)
	}
	if u.State != RolledBack {
		u.end(RolledBack, why, "find out why the new system was not accepted, and install a corrected update")
		u.Unfinished = true
	}
	if err := s.journal.save(false); err != nil {
		return false, err
	}
	if err := s.removeCapsule(ctx, u); err != nil {
		return false, err
	}
	return true, s.leave(ctx, own, other)
}

// removeCapsule disarms the update's capsule and removes it. Without an ESP that can wait: the request to the firmware
// is a variable and is taken back first, and a system that lacks its ESP must not keep its slot for that.
func (s *session) removeCapsule(ctx context.Context, u *Update) error {
	c := u.capsule()
	if c == nil {
		return nil
	}
	err := s.stager.Disarm(ctx, c.Staged, u.RequestedByUs)
	if err == nil {
		err = s.stager.Discard(ctx, c.Staged)
	}
	if err != nil && s.obs.espErr != nil && fail.CodeOf(err) == fail.Unavailable {
		s.log.WithError(err).Warn("the capsule cannot be removed now")
		return nil
	}
	return err
}

// verifyDisplaced judges a boot whose journal is not mounted, by what the ESP remembers. A slot on trial is given up:
// it lacks what both slots share. An accepted one goes on, and says so.
func (s *session) verifyDisplaced(ctx context.Context, b *Boot) error {
	own, other := s.obs.state.Current, s.obs.state.Current.Other()
	b.State, b.Message = Idle, s.journal.displaced.Error()
	b.Verdict = Verdict{Outcome: NoOutcome, Reason: b.Message}
	s.log.Warn(b.Message)
	if s.journal.doc.Trial != own {
		b.Committed = true
		return s.refill(ctx)
	}
	b.State = Testing
	if err := s.refuseForeignSwitchOf(other); err != nil {
		return err
	}
	if err := s.refuseFallback(other); err != nil {
		b.Message += fmt.Sprintf("; there is no way back: %v", err)
		return s.refill(ctx)
	}
	b.State, b.Reboot = RolledBack, true
	return s.leave(ctx, own, other)
}

// leave makes the other slot boot next and the own one unbootable, in an order that leaves one of them bootable wherever it is cut.
func (s *session) leave(ctx context.Context, own, other Slot) error {
	marks := s.obs.state.marked()
	if marks {
		if err := s.backend.MarkBootable(ctx, other); err != nil {
			return err
		}
	}
	if err := s.backend.ClearTrial(ctx); err != nil {
		return err
	}
	if err := s.backend.SetNext(ctx, other); err != nil {
		return err
	}
	if marks {
		return s.backend.MarkUnbootable(ctx, own)
	}
	return nil
}

// stay ends a roll-back that cannot be: the running slot goes on, and no reboot is asked for.
func (s *session) stay(ctx context.Context, why string, cause error) error {
	if err := s.refill(ctx); err != nil {
		return err
	}
	u := s.journal.doc.Update
	u.end(Failed, fmt.Sprintf("%s, and there is no way back: %v", why, cause), "install an update; slot "+string(s.obs.state.Current)+" goes on running")
	return s.journal.save(false)
}

// tornRuns says that the running root file system may be half written. Only the firmware, or somebody's switch, can
// have started it.
func (s *session) tornRuns() bool {
	return s.journal.mark(s.obs.state.expectedRoot(s.obs.state.Current)).Rootfs == Torn
}

// unaskedRuns says that the slot of an update runs that wrote its firmware and was never activated: nv_update_engine selects what it
// wrote, and the power went before that was taken back. Nobody judged the chain, and no health check was to run.
func (s *session) unaskedRuns(u *Update) bool {
	current := s.obs.state.Current
	unjudged := u != nil && u.Firmware != nil && u.Firmware.Direct && u.Target == current && s.journal.mark(current).Firmware == Dirty
	return unjudged && u.State == Failed && u.ActivatedIn == "" && !s.obs.state.withoutFallback() && s.refuseFallback(current.Other()) == nil
}

// leaveUnasked goes back from such a slot.
func (s *session) leaveUnasked(ctx context.Context, b *Boot) error {
	own, other := s.obs.state.Current, s.obs.state.Current.Other()
	b.Message = fmt.Sprintf("slot %s runs although nobody activated it", own)
	if err := s.refuseForeignSwitchOf(other); err != nil {
		return err
	}
	b.Reboot = true
	return s.leave(ctx, own, other)
}

// leaveTorn goes back from a slot that was never to run. It is not accepted, whatever its userspace seems to do.
func (s *session) leaveTorn(ctx context.Context, b *Boot) error {
	own, other := s.obs.state.Current, s.obs.state.Current.Other()
	b.Message = fmt.Sprintf("slot %s runs although its root file system may be half written", own)
	if err := s.refuseForeignSwitchOf(other); err != nil {
		return err
	}
	if err := s.refuseFallback(other); err != nil {
		b.Message += fmt.Sprintf(", and there is no way back: %v", err)
		return nil
	}
	b.Reboot = true
	return s.leave(ctx, own, other)
}

// refuseForeignSwitchOf refuses a roll-back that the firmware would cancel. A pending switch to the other slot is what
// a roll-back interrupted earlier left, and welcome.
func (s *session) refuseForeignSwitchOf(other Slot) error {
	if s.obs.state.BootNext {
		return fail.New(fail.Unavailable, "cannot roll back to slot %s: the UEFI variable BootNext exists and the firmware then cancels a switch", other).
			Then("delete it or reboot once")
	}
	return nil
}

// refuseFallback says why the other slot is no way back.
func (s *session) refuseFallback(other Slot) error {
	mark := s.journal.mark(other)
	if mark.Firmware == Dirty {
		return fail.New(fail.Unavailable, "the firmware of slot %s may be half written", other).Of(ErrDirtyFirmware)
	}
	if mark.Bad {
		return fail.New(fail.Unavailable, "slot %s was marked bad while it ran", other).Of(ErrNotBootable)
	}
	if s.obs.state.pinned() || mark.Rootfs == Whole {
		return nil
	}
	return s.rootUsable(other)
}

// finishRollback completes a roll-back that was cut after the switch was asked for.
func (s *session) finishRollback(ctx context.Context, u *Update) error {
	if s.obs.state.marked() {
		if err := s.markOtherUnbootable(ctx); err != nil {
			return err
		}
	}
	u.Unfinished = false
	return s.journal.save(false)
}
