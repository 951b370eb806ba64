package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Commit accepts the running slot: status 0 and full retries, no left-over trial, the update in flight forgotten. Run
// twice it does the same. An update that is activated and not booted yet stays so.
func (c *Control) Commit(ctx context.Context) (string, error) {
	s, err := c.begin(ctx)
	if err != nil {
		return "", err
	}
	defer s.end()
	return s.commit(ctx)
}

func (s *session) commit(ctx context.Context) (string, error) {
	u := s.journal.doc.Update
	if u != nil && u.State == RolledBack && s.obs.state.Current == u.Target {
		return "", fail.New(fail.Busy, "cannot commit slot %s: it was rolled back and only awaits the reboot", u.Target).Then("reboot")
	}
	if err := s.obs.disagreement(); err != nil {
		return "", fail.New(fail.Unavailable, "cannot commit: %w", err)
	}
	if s.onTrial() {
		v, err := s.judge(ctx)
		if err != nil {
			return "", err
		}
		if err := s.settleTrial(ctx, v); err != nil {
			return "", err
		}
		return fmt.Sprintf("slot %s is committed: %s", s.obs.state.Current, v.Reason), s.stamp(true)
	}
	if err := s.accept(ctx); err != nil {
		return "", err
	}
	if err := s.stamp(true); err != nil {
		return "", err
	}
	if u.inFlight() && u.State == Activated {
		return fmt.Sprintf("slot %s is committed; slot %s stays activated for the next boot", s.obs.state.Current, u.Target), nil
	}
	return fmt.Sprintf("slot %s is committed", s.obs.state.Current), nil
}

// settleTrial ends a judged trial without a roll-back: on the target it is committed, on the old slot the update failed.
func (s *session) settleTrial(ctx context.Context, v Verdict) error {
	u := s.journal.doc.Update
	if s.obs.state.Current == u.Target {
		return s.commitTarget(ctx, u, v)
	}
	return s.settleOld(ctx, u, v)
}

// commitTarget accepts the target. The journal comes last: interrupted before, the next boot judges again and comes here again.
func (s *session) commitTarget(ctx context.Context, u *Update, v Verdict) error {
	if err := s.refill(ctx); err != nil {
		return err
	}
	if c := u.capsule(); c != nil {
		if err := s.stager.Discard(ctx, c.Staged); err != nil {
			return err
		}
		if v.Outcome == Applied {
			s.journal.setFirmware(u.Target, Whole)
		}
	}
	if s.journal.mark(u.Target).Rootfs == Unknown {
		s.journal.setRootfs(u.Target, Whole)
	}
	if s.journal.mark(u.Target).Firmware == Unknown {
		s.journal.setFirmware(u.Target, Whole)
	}
	s.journal.setBad(s.obs.state.expectedRoot(u.Target), false)
	u.Verdict = &v
	u.end(Committed, v.Reason, "")
	return s.journal.save(false)
}

// settleOld ends an update whose target does not run: whatever still waits is disarmed, a chain that may be half
// written stays dirty, and the running slot is accepted.
func (s *session) settleOld(ctx context.Context, u *Update, v Verdict) error {
	if s.obs.state.Next == u.Target {
		if err := s.backend.CancelNext(ctx); err != nil {
			return err
		}
	}
	if err := s.removeCapsule(ctx, u); err != nil {
		return err
	}
	if v.armed {
		v.Reason += "; the capsule was taken back"
	}
	if c := u.capsule(); c != nil {
		switch {
		case v.untouched:
			s.journal.setFirmware(u.Target, c.MarkBefore)
		case v.Outcome == FellBack && v.ESRT != nil && *v.ESRT == 0 && (u.TargetRan || u.TargetGaveUp):
			// Written, verified and started: it is the system that did not stay up. Not called whole, so that the same
			// update installs it again instead of finding nothing to do.
			s.journal.setFirmware(u.Target, Unknown)
		}
	}
	if err := s.protectFromDirty(ctx, v); err != nil {
		return err
	}
	if err := s.refill(ctx); err != nil {
		return err
	}
	u.Verdict = &v
	state := Failed
	if v.Outcome == FellBack {
		state = RolledBack
	}
	u.end(state, v.Reason, v.NextStep)
	s.learnRunning()
	return s.journal.save(false)
}

// accept is the commit of a slot without an update in flight.
func (s *session) accept(ctx context.Context) error {
	if err := s.refill(ctx); err != nil {
		return err
	}
	s.learnRunning()
	if s.journal.doc.sameMarks(s.journal.saved) {
		return nil
	}
	return s.journal.save(false)
}

// learnRunning: a slot that runs, committed, is whole, as far as nothing contradicts it.
func (s *session) learnRunning() {
	current := s.obs.state.Current
	if s.journal.mark(current).Firmware == Unknown {
		s.journal.setFirmware(current, Whole)
	}
	root := s.obs.state.expectedRoot(current)
	if s.journal.mark(root).Rootfs == Unknown {
		s.journal.setRootfs(root, Whole)
	}
	s.journal.setBad(root, false)
}

// refill gives the running slot status 0 and full retries and removes what the last switch left over, which would
// cancel the next one.
func (s *session) refill(ctx context.Context) error {
	if s.tornRuns() {
		return fail.New(fail.Unavailable, "cannot accept slot %s: its root file system may be half written", s.obs.state.Current).
			Of(ErrNotBootable).Then("run `tegra-bootctl activate %s` and reboot", s.obs.state.Current.Other())
	}
	if !s.obs.state.withoutFallback() {
		if err := s.backend.MarkBootable(ctx, s.obs.state.markedRunning()); err != nil {
			return err
		}
	}
	return s.backend.ClearTrial(ctx)
}
