package backends

import (
	"context"
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// onTrial says that the running slot is not committed: the other one is its only fall-back and must not be touched.
func (s *session) onTrial() bool {
	u := s.journal.doc.Update
	if u == nil {
		return false
	}
	switch u.State {
	case Testing:
		return true
	case Activated:
		return u.ActivatedIn != s.obs.bootID
	case RolledBack:
		return s.obs.state.Current == u.Target
	}
	return false
}

// ours says that a pending switch is the one we activated, the roll-back that awaits its reboot, or what follows from an order.
func (s *session) ours(next Slot) bool {
	u := s.journal.doc.Update
	switch {
	case s.journal.mark(s.obs.state.Current).Bad && next == s.obs.state.Current.Other():
		return true // slot metadata names the other slot at once where the running one was marked bad
	case u == nil:
		return false
	case s.writersSwitch(next):
		return true
	case u.State == RolledBack && s.obs.state.Current == u.Target:
		return next == u.Target.Other()
	}
	return u.State == Activated && u.ActivatedIn == s.obs.bootID && u.capsule() == nil && u.Target == next
}

// leaving says that the running slot was rolled back and only awaits the reboot.
func (s *session) leaving() bool {
	u := s.journal.doc.Update
	return u != nil && u.State == RolledBack && s.obs.state.Current == u.Target
}

// refuseTrial says that the running slot is not accepted, so that the other one is its fall-back.
func (s *session) refuseTrial() error {
	running, other := s.obs.state.Current, s.obs.state.Current.Other()
	switch {
	case s.leaving():
		return fail.New(fail.Busy, "slot %s was rolled back and only awaits the reboot to slot %s", running, other).Then("reboot")
	case s.onTrial():
		return fail.New(fail.Busy, "slot %s runs on trial, and slot %s is its fall-back", running, other).
			Then("wait for tegra-boot-verify, or run `tegra-bootctl commit` or `tegra-bootctl rollback`")
	}
	return nil
}

func (s *session) refuseRedundancy(slotImage bool) error {
	if s.obs.state.pinned() && slotImage {
		why := "RootfsRedundancyLevel is 0"
		if s.obs.state.MarksChains {
			why = "the slot metadata makes only the boot chain redundant"
		}
		return fail.New(fail.Unavailable, "cannot use slot B's root file system: %s, the firmware always boots slot A's", why).
			Then("flash the device with ROOTFS_AB=1; a running system cannot change it")
	}
	if err := s.obs.state.Unmarkable; err != nil && !s.opts.AllowWithoutFallback {
		return fail.New(fail.Unavailable, "cannot update safely: a slot that is being written cannot be marked unbootable: %w", err).
			Then("accept the risk with allow_without_fallback in [boot]")
	}
	if s.obs.state.withoutFallback() && !s.opts.AllowWithoutFallback {
		return fail.New(fail.Unavailable, "cannot update safely: RootfsRedundancyLevel is missing, so the firmware neither counts retries nor falls back").
			Then("flash the device with ROOTFS_AB=1, or accept the risk with allow_without_fallback in [boot]")
	}
	return nil
}

func (s *session) refuseForeignSwitch() error {
	if s.obs.state.BootNext {
		return fail.New(fail.Unavailable, "cannot switch slots: the UEFI variable BootNext exists and the firmware then cancels a switch").
			Then("delete it (`efibootmgr --delete-bootnext`) or reboot once")
	}
	if next := s.obs.state.Next; s.obs.state.NextPending && !s.ours(next) {
		to := ""
		if next != None {
			to = " to slot " + string(next)
		}
		if !s.obs.state.MarksChains {
			to += " (BootChainFwNext)"
		}
		return fail.New(fail.Unavailable, "cannot switch slots: a switch%s is pending that is not tegra-ota's", to).
			Then("reboot to let it happen, or `tegra-bootctl activate %s` to drop it", s.obs.state.Current)
	}
	return nil
}

// firmwarePart is the name under which an update remembers its capsule, beside the partition names.
const firmwarePart = "firmware"

// continues says whether an install belongs to the update in flight. Without an ID the same part a second time is another update.
func (s *session) continues(id, part string) bool {
	u := s.journal.doc.Update
	if u == nil || (u.State != Installing && u.State != StagedAll) || u.BegunIn != s.obs.bootID || u.ID != id {
		return false
	}
	if id != "" {
		return true
	}
	if part == firmwarePart {
		return u.Firmware == nil
	}
	return u.Images[part] == nil
}

// startOver ends the update in flight, if there is one, and opens a new one in memory; the caller saves it. A switch or
// capsule that was activated but not booted is taken back first.
func (s *session) startOver(ctx context.Context, id string) error {
	if u := s.journal.doc.Update; u.inFlight() {
		s.log.WithField("state", u.State).Infof("the update in flight for slot %s is given up: a new one begins", u.Target)
		if err := s.giveUp(ctx, "another update began"); err != nil {
			return err
		}
	}
	target := s.obs.state.Current.Other()
	s.journal.doc.Update = &Update{
		ID: id, State: Installing, Target: target, BegunIn: s.obs.bootID,
		RootUsable: s.rootUsable(target) == nil, Images: map[string]*Image{},
	}
	return nil
}

// giveUp takes back whatever the update in flight armed or staged, and records it as failed.
func (s *session) giveUp(ctx context.Context, reason string) error {
	if err := s.takeBack(ctx); err != nil {
		return err
	}
	if err := s.restoreWritten(ctx); err != nil {
		return err
	}
	u := s.journal.doc.Update
	if u.Firmware != nil {
		if err := s.stager.Discard(ctx, u.Firmware.Staged); err != nil {
			return err
		}
	}
	if err := s.stager.DiscardIncomplete(ctx); err != nil {
		return err
	}
	u.end(Failed, reason, "install the update again")
	return s.journal.save(false)
}

// takeBack undoes an activation of this boot: the running slot boots next again. The target's mark becomes what it was
// before, because nothing was attempted within this boot. A switch that somebody else asked for stays.
func (s *session) takeBack(ctx context.Context) error {
	u := s.journal.doc.Update
	if u == nil || u.State != Activated || u.ActivatedIn != s.obs.bootID {
		return nil
	}
	if s.ours(s.obs.state.Next) {
		if err := s.backend.CancelNext(ctx); err != nil {
			return err
		}
	}
	if c := u.capsule(); c != nil {
		if err := s.stager.Disarm(ctx, c.Staged, u.RequestedByUs); err != nil {
			return err
		}
		s.journal.setFirmware(u.Target, c.MarkBefore)
		if c.MarkBefore == Dirty { // the cure made its slot bootable, and does not come now
			if err := s.keepFromFallback(ctx); err != nil {
				return err
			}
		}
	}
	u.State, u.ActivatedIn, u.Before, u.RequestedByUs = StagedAll, "", nil, false
	return s.journal.save(false)
}

// failUpdate records why an install failed. After a power cut there is nobody left to record it.
func (s *session) failUpdate(ctx context.Context, cause error) {
	if errors.Is(cause, device.ErrPowerCut) {
		return
	}
	ctx, cancel := cleanUp(ctx)
	defer cancel()
	if err := s.giveUp(ctx, cause.Error()); err != nil {
		s.log.WithError(err).Error("cannot record the failed update")
	}
}

// Abort gives up the update in flight; without one it does nothing. A slot on trial is not aborted but rolled back.
func (c *Control) Abort(ctx context.Context) error {
	s, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	if s.onTrial() {
		return fail.New(fail.Busy, "cannot abort: slot %s runs on trial", s.obs.state.Current).Then("run `tegra-bootctl rollback`")
	}
	if !s.journal.doc.Update.inFlight() {
		if err := s.takeBackWriter(ctx); err != nil {
			return err
		}
		return s.stager.DiscardIncomplete(ctx)
	}
	return s.giveUp(ctx, "aborted")
}

// Confirm records that the updater's own verdict on a part's input is good: SWUpdate knows only after the last byte
// whether the stream was complete and its digest right. part is a partition name, or "firmware".
func (c *Control) Confirm(ctx context.Context, id, part string) error {
	s, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	u := s.journal.doc.Update
	if !s.continuesAs(u, id) {
		return fail.New(fail.Unavailable, "cannot confirm %s: no update%s is being installed", part, named(id))
	}
	if part == firmwarePart {
		if u.Firmware == nil || !u.Firmware.Complete {
			return fail.New(fail.Unavailable, "cannot confirm firmware: none is staged")
		}
		u.Firmware.Confirmed = true
		return s.trustWritten(ctx)
	} else {
		if u.Images[part] == nil || !u.Images[part].Written {
			return fail.New(fail.Unavailable, "cannot confirm %s: it was not written", part)
		}
		u.Images[part].Confirmed = true
	}
	return s.journal.save(false)
}

func (s *session) continuesAs(u *Update, id string) bool {
	return u != nil && (u.State == Installing || u.State == StagedAll) && u.BegunIn == s.obs.bootID && u.ID == id
}

func named(id string) string {
	if id == "" {
		return ""
	}
	return fmt.Sprintf(" %q", id)
}
