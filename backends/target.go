package backends

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

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
			Of(ErrNotBootable).Then("add a root file system image to the update")
	case u.missingPart(s.journal.mark(target).Parts) != "":
		return fail.New(fail.Unavailable, "cannot activate slot %s: its partition %s may be half written, and the update does not bring it",
			target, u.missingPart(s.journal.mark(target).Parts)).Of(ErrNotBootable).Then("add that image to the update")
	}
	if u.inFlight() && u.capsule() != nil {
		a.Firmware = u.firmwareVersion()
		return s.refuseCapsule(ctx, u)
	}
	for _, slot := range []Slot{target, state.Current} {
		if s.firmwareOf(slot) == nil && s.stager.Method() != ByEngine { // L4T R32 tells no version of any chain
			a.Warnings = append(a.Warnings, fmt.Sprintf("the firmware version of slot %s is not known", slot))
		}
	}
	if err := s.refuseChain(target); err != nil {
		return fail.New(fail.Unavailable, "cannot activate slot %s: %w", target, err)
	}
	return nil
}

// refuseChain says why a slot must not boot with the firmware that it has; nil if it may.
func (s *session) refuseChain(target Slot) error {
	if s.dirty(target) {
		return fail.New(fail.Unavailable, "its firmware may be half written").Of(ErrDirtyFirmware).Then("install firmware for it; that is the cure")
	}
	have, running := s.firmwareOf(target), s.firmwareOf(s.obs.state.Current)
	if have != nil && running != nil && *have < *running && !s.opts.AllowOlderChain {
		return fail.New(fail.Unavailable, "its firmware %s is older than the running %s", have, running).
			Then("add firmware to this update, or set allow_older_chain in [firmware]")
	}
	return nil
}

// refuseOlder says why firmware must not be written into the target: Activate would refuse it afterwards (refuseChain), and the chain
// that was there would be gone. 0 is a version that is not known.
func (s *session) refuseOlder(v capsule.Version) error {
	running := s.firmwareOf(s.obs.state.Current)
	if v == 0 || running == nil || v >= *running || s.opts.AllowOlderChain {
		return nil
	}
	return fail.New(fail.Unavailable, "cannot write firmware %s: it is older than the running %s", v, running).
		Then("install %s or newer, or set allow_older_chain in [firmware]", running)
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
