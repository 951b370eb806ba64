package backends

import (
	"context"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Stage is what came of staging firmware.
type Stage struct {
	Version capsule.Version
	Target  Slot
	// Written says that the firmware is in the target's chain already, read back: there is nothing to arm.
	Written bool
	// Skipped says that the target holds this version already, whole, and no capsule was kept.
	Skipped bool
	// Root names the slot whose root file system, as it is, boots with this firmware unless the update brings an image
	// as well; None where the update brought one.
	Root Slot
	// Warnings are doubts for the log that forbid nothing.
	Warnings []string
}

// Stage takes firmware for the target chain: everything that can be refused is refused before a byte is written. Then a capsule lies
// on the ESP, read back, outside the firmware's folder; a Writer's is in the chain. It arms nothing and switches nothing.
func (c *Control) Stage(ctx context.Context, id string, r io.Reader, unconfirmed bool) (Stage, error) {
	s, err := c.begin(ctx)
	if err != nil {
		return Stage{}, err
	}
	defer s.end()
	candidate, result, err := s.openFirmware(ctx, r)
	if err != nil {
		return Stage{}, err
	}
	if err := s.stage(ctx, id, candidate, result.Skipped, unconfirmed); err != nil {
		return result, err
	}
	u := s.journal.doc.Update
	result.Version, result.Skipped, result.Written = u.Firmware.Version, u.Firmware.Skipped, s.wrote(u.Target)
	if u.Images["APP"] == nil && u.Outside == nil {
		result.Root = s.obs.state.expectedRoot(result.Target)
	}
	if !s.obs.state.pinned() && result.Root != None {
		if err := s.rootUsable(result.Target); err != nil {
			result.Warnings = append(result.Warnings,
				"this firmware boots slot "+string(result.Target)+", so a root file system image must come with it: "+err.Error())
		}
	}
	return result, nil
}

// CheckFirmware checks a capsule as Stage would, to the last byte, and changes nothing.
func (c *Control) CheckFirmware(ctx context.Context, r io.Reader) (Stage, error) {
	s, err := c.read(ctx)
	if err != nil {
		return Stage{}, err
	}
	candidate, result, err := s.openFirmware(ctx, r)
	if err != nil {
		return Stage{}, err
	}
	return result, candidate.Verify(ctx)
}

// openFirmware refuses what can be refused without writing, and reads the capsule's head.
func (s *session) openFirmware(ctx context.Context, r io.Reader) (Candidate, Stage, error) {
	if err := s.refuseInstall(ctx, aim{firmware: true}); err != nil {
		return nil, Stage{}, err
	}
	candidate, err := s.stager.Open(ctx, r)
	if err != nil {
		return nil, Stage{}, err
	}
	target, v := s.obs.state.Current.Other(), candidate.Version()
	_, direct := candidate.(Writer) // which compares, and whose interrupted update has to end in a switch when it is repeated
	if direct {
		if err := s.refuseOlder(v); err != nil {
			return nil, Stage{}, err
		}
	}
	return candidate, Stage{Version: v, Target: target, Skipped: !direct && s.holds(target, v), Warnings: candidate.Warnings()}, nil
}

// holds says whether a chain provably has a version: the firmware says so, and the journal calls it whole. Unknown or
// dirty is never enough: after a cut the version looks right and the images are not (tegra-demo-distro PR 368).
func (s *session) holds(slot Slot, v capsule.Version) bool {
	have := s.obs.state.Slots[slot].Firmware
	return have != nil && *have == v && s.journal.mark(slot).Firmware == Whole
}

func (s *session) stage(ctx context.Context, id string, candidate Candidate, skip, unconfirmed bool) error {
	if !s.continues(id, firmwarePart) {
		if err := s.startOver(ctx, id); err != nil {
			return err
		}
	}
	u := s.journal.doc.Update
	if u.Firmware != nil { // staged before under the same ID: this one replaces it
		if err := s.stager.Discard(ctx, u.Firmware.Staged); err != nil {
			return err
		}
	}
	if err := s.stager.DiscardIncomplete(ctx); err != nil {
		return err
	}
	writer, direct := candidate.(Writer)
	u.State = Installing
	u.Firmware = &Firmware{
		Staged: Staged{Version: candidate.Version()}, Skipped: skip, Direct: direct && !skip, MarkBefore: s.journal.mark(u.Target).Firmware,
	}
	if err := s.journal.save(false); err != nil {
		return err
	}
	err := error(nil)
	switch {
	case skip:
		err = candidate.Verify(ctx)
	case direct:
		err = s.writeFirmware(ctx, writer)
	default:
		u.Firmware.Staged, err = candidate.Stage(ctx)
	}
	if err != nil {
		s.failUpdate(ctx, err)
		return err
	}
	u.Firmware.Complete, u.Firmware.Confirmed = true, !unconfirmed
	u.settle()
	return s.trustWritten(ctx)
}

// rootUsable says why a slot's root file system must not be booted as it is; nil if it may.
func (s *session) rootUsable(slot Slot) error {
	status := s.obs.state.Slots[slot].Status
	if s.journal.mark(slot).Bad {
		return fail.New(fail.Unavailable, "slot %s was marked bad", slot).Of(ErrNotBootable).
			Then("mark it good again, or install a complete root file system image")
	}
	switch s.journal.mark(slot).Rootfs {
	case Torn:
		return fail.New(fail.Unavailable, "the root file system of slot %s may be half written", slot).Of(ErrNotBootable).
			Then("install a complete root file system image")
	case Whole:
		// A half-written chain keeps its slot at 0xFF by our own hand, and firmware is its cure.
		if status == nil || *status == StatusNormal || s.journal.mark(slot).Firmware == Dirty || s.wrote(slot) {
			return nil
		}
	default:
		if status != nil && *status == StatusNormal || status == nil && s.obs.state.withoutFallback() {
			return nil
		}
	}
	return fail.New(fail.Unavailable, "the firmware's status says that slot %s is not bootable", slot).Of(ErrNotBootable).
		Then("install a complete root file system image")
}
