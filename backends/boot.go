package backends

import (
	"context"
	"errors"
	"fmt"
)

// committedPath exists while the running slot is committed; tegra-ota-committed.target waits for it.
const committedPath = "/run/tegra-ota/committed"

// Boot is what tegra-boot-verify found and did.
type Boot struct {
	State     UpdateState `json:"state"`
	Slot      Slot        `json:"slot"`
	Boots     int         `json:"boots"`
	Verdict   Verdict     `json:"verdict"`
	Health    []Health    `json:"health"`
	Committed bool        `json:"committed"` // the running slot is committed
	Reboot    bool        `json:"reboot"`    // a roll-back needs one
	Message   string      `json:"message"`
}

// CountBoot counts this boot if an update is on trial, once for each boot identity, and protects the device from a
// half-written chain. It comes early, before anything that can hang; so it is also where a target whose tries are used
// up is rolled back: a userspace that dies before VerifyBoot would otherwise be tried for ever.
func (c *Control) CountBoot(ctx context.Context) (Boot, error) {
	s, err := c.beginBoot(ctx)
	if err != nil {
		return Boot{}, err
	}
	defer s.end()
	b := Boot{Slot: s.obs.state.Current, Health: []Health{}}
	if err := s.stamp(false); err != nil {
		return b, err
	}
	if b.Boots, err = s.count(); err != nil {
		return b, err
	}
	if b.Verdict, err = s.judge(ctx); err != nil {
		b.Verdict = Verdict{Outcome: NoOutcome, Reason: err.Error()} // a verdict that cannot be had clears nothing
	}
	if err = s.protectFromDirty(ctx, b.Verdict); err == nil && s.exhausted() && !s.stuck() {
		err = s.giveUpTarget(ctx, &b, s.exhaustion())
	}
	b.describe(s.journal.doc.Update)
	return b, err
}

func (s *session) count() (int, error) {
	u := s.journal.doc.Update
	if !s.onTrial() {
		return 0, nil
	}
	if u.CountedIn == s.obs.bootID {
		return u.Boots, nil
	}
	u.CountedIn = s.obs.bootID
	first := u.Boots == 0
	u.Boots++
	if u.State == RolledBack {
		u.Returns++
	}
	// Activate had set the status to normal, and this is the first time we look: an 0xFF now is the launcher's.
	if st := s.obs.state.Slots[u.Target].Status; first && s.obs.state.Current != u.Target && st != nil && *st == StatusUnbootable && s.obs.state.marked() {
		u.TargetGaveUp = true
	}
	if s.obs.state.Current == u.Target {
		u.TargetRan = true
		if u.State == Activated {
			u.State = Testing
		}
	}
	return u.Boots, s.journal.save(false)
}

// VerifyBoot judges this boot and acts on it: it commits, or rolls back and asks for a reboot, or records why the
// update did not come up.
func (c *Control) VerifyBoot(ctx context.Context) (Boot, error) {
	s, err := c.beginBoot(ctx)
	if err != nil {
		return Boot{}, err
	}
	defer s.end()
	b := Boot{Slot: s.obs.state.Current, Health: []Health{}}
	if s.journal.displaced != nil {
		if err := s.verifyDisplaced(ctx, &b); err != nil {
			return b, err
		}
		return b, s.stamp(b.Committed)
	}
	if b.Boots, err = s.count(); err != nil {
		return b, err
	}
	verdict, judgeErr := s.judge(ctx)
	if judgeErr != nil {
		verdict = Verdict{Outcome: NoOutcome, Reason: judgeErr.Error()} // a verdict that cannot be had clears nothing
	}
	b.Verdict = verdict
	if err := s.protectFromDirty(ctx, b.Verdict); err != nil {
		return b, errors.Join(err, s.keepRunningSlot(ctx))
	}
	if judgeErr != nil && !s.exhausted() {
		return b, judgeErr
	}
	if err = s.verify(ctx, &b); err == nil && b.Committed {
		err = s.rejoin(ctx, &b)
	}
	b.describe(s.journal.doc.Update)
	if err != nil {
		return b, err
	}
	return b, s.stamp(b.Committed)
}

// describe takes over how the update stands now.
func (b *Boot) describe(u *Update) {
	if u == nil {
		b.State = Idle
		return
	}
	b.State = u.State
	if b.Message == "" {
		b.Message = u.Reason
	}
}

func (s *session) stamp(committed bool) error {
	if committed {
		return s.m.ReplaceVolatile(committedPath, []byte(string(s.obs.state.Current)+"\n"), 0o644)
	}
	return s.m.RemoveVolatile(committedPath)
}

func (s *session) verify(ctx context.Context, b *Boot) error {
	u := s.journal.doc.Update
	switch {
	case s.onTrial() && u.State == RolledBack: // a roll-back that was interrupted, or whose reboot did not come
		if s.stuck() {
			b.Committed = true
			return s.stay(ctx, u.Reason, fmt.Errorf("the firmware started slot %s %d times instead of slot %s", u.Target, u.Returns, u.Target.Other()))
		}
		return s.giveUpTarget(ctx, b, u.Reason)
	case s.onTrial() && s.obs.state.Current == u.Target:
		return s.verifyTarget(ctx, b)
	case s.onTrial():
		b.Committed = true
		return s.settleOld(ctx, u, b.Verdict)
	case u.inFlight() && u.State == Activated: // called again before the reboot
		b.Committed, b.Message = true, b.Verdict.Reason
		return nil
	case u.inFlight() && u.BegunIn != s.obs.bootID:
		if err := s.endAbandoned(ctx); err != nil {
			return err
		}
	case u != nil && u.State == RolledBack && u.Unfinished:
		if err := s.finishRollback(ctx, u); err != nil {
			return err
		}
	}
	if s.tornRuns() {
		return s.leaveTorn(ctx, b)
	}
	if s.unaskedRuns(u) {
		return s.leaveUnasked(ctx, b)
	}
	if s.orderedAway() {
		b.Message = fmt.Sprintf("slot %s was marked bad while it ran; slot %s boots next", s.obs.state.Current, s.obs.state.Current.Other())
		return nil
	}
	b.Committed = true
	return s.accept(ctx)
}

// verifyTarget decides on the target's trial.
func (s *session) verifyTarget(ctx context.Context, b *Boot) error {
	u := s.journal.doc.Update
	if s.exhausted() {
		return s.giveUpTarget(ctx, b, s.exhaustion())
	}
	if b.Verdict.Outcome != Applied {
		return s.giveUpTarget(ctx, b, b.Verdict.Reason)
	}
	if s.journal.mark(u.Target).Bad {
		return s.giveUpTarget(ctx, b, fmt.Sprintf("slot %s was marked bad while it ran", u.Target))
	}
	if s.opts.Misconfigured != nil {
		return s.giveUpTarget(ctx, b, fmt.Sprintf("slot %s cannot be judged as it asks for: %v", u.Target, s.opts.Misconfigured))
	}
	var failed *Health
	b.Health, failed = s.checkHealth(ctx)
	if failed != nil {
		return s.giveUpTarget(ctx, b, fmt.Sprintf("the health check %s failed on slot %s: %s", failed.Name, u.Target, failed.Reason))
	}
	b.Committed = true
	return s.commitTarget(ctx, u, b.Verdict)
}

// exhausted says that the target had its tries; nothing else needs to be known then.
func (s *session) exhausted() bool {
	u := s.journal.doc.Update
	return s.onTrial() && s.obs.state.Current == u.Target && u.Boots > s.opts.Tries
}

// stuck says that a roll-back was asked for again and again, and the firmware still starts the target.
func (s *session) stuck() bool {
	u := s.journal.doc.Update
	return u != nil && u.State == RolledBack && u.Returns > s.opts.Tries
}

func (s *session) exhaustion() string {
	u := s.journal.doc.Update
	return fmt.Sprintf("slot %s was booted %d times without being accepted, %d are allowed", u.Target, u.Boots, s.opts.Tries)
}

func (s *session) giveUpTarget(ctx context.Context, b *Boot, why string) error {
	var err error
	b.Reboot, err = s.rollback(ctx, b.Verdict, why)
	b.Committed = err == nil && !b.Reboot
	return err
}

// endAbandoned ends an update that was installed and never activated before the device rebooted.
func (s *session) endAbandoned(ctx context.Context) error {
	u := s.journal.doc.Update
	reason, next := "the update lacks its activate step", "add tegra-activate as the update's last step"
	switch {
	case u.Outside != nil && u.State == Installing && u.Firmware == nil:
		reason, next = fmt.Sprintf("slot %s was marked bad, and no install of it was finished", u.Target), "install a complete update"
	case u.Outside != nil && u.State == StagedAll:
		reason, next = fmt.Sprintf("slot %s was written and not made the primary one before the reboot", u.Target), "make it the primary one, or install the update again"
	case u.State == Installing:
		reason, next = "the install was interrupted", "install the update again"
	}
	if err := s.restoreWritten(ctx); err != nil {
		return err
	}
	if u.Firmware != nil {
		if err := s.stager.Discard(ctx, u.Firmware.Staged); err != nil {
			return err
		}
	}
	if err := s.stager.DiscardIncomplete(ctx); err != nil {
		return err
	}
	u.end(Failed, reason, next)
	return s.journal.save(false)
}
