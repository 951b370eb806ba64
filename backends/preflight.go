package backends

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// aim is what an install is about to do.
type aim struct {
	image    string // partition that is written: APP, kernel or kernel-dtb; "" for none
	firmware bool   // a capsule is staged
	plain    bool   // it is known that no capsule comes
	alone    bool   // it is known that nothing but the capsule comes
	outside  bool   // the updater writes the target's root file system itself; its devices are its own affair
}

// step is one reason why an install is refused.
type step struct {
	check  string // name of the finding
	what   string // what cannot be judged without privilege, in words
	refuse func(s *session, ctx context.Context, a aim) error
}

// preflight is everything that an install refuses before a byte is written, in the order in which it is told. check,
// Prepare, Stage and CheckFirmware all run this list, so that check cannot promise what an install then refuses.
var preflight = []step{
	{"update", "the update in flight", func(s *session, _ context.Context, _ aim) error { return s.refuseTrial() }},
	{"chip", "the chip", func(s *session, _ context.Context, _ aim) error { return s.refuseChip() }},
	{"slots", "which root file system runs", func(s *session, _ context.Context, _ aim) error { return s.obs.disagreement() }},
	{"slots", "the slots", func(s *session, _ context.Context, _ aim) error { return s.refuseTornRuns() }},
	{"redundancy", "the redundancy", func(s *session, _ context.Context, a aim) error {
		return s.refuseRedundancy(a.image != "" || a.outside)
	}},
	{"switch", "pending switches", func(s *session, _ context.Context, _ aim) error { return s.refuseForeignSwitch() }},
	{"efivarfs", "the UEFI variables", func(s *session, ctx context.Context, _ aim) error { return s.backend.Writable(ctx) }},
	{"journal", "the journal", func(s *session, _ context.Context, _ aim) error { return s.refuseJournal() }},
	{"esp", "the EFI system partition", (*session).refuseESP},
	{"capsule", "the firmware's folder for capsules", (*session).refuseForeign},
	{"capsule", "whether firmware can be installed", (*session).refuseStager},
	{"slots", "the target's root file system", func(s *session, _ context.Context, a aim) error { return s.refuseAlone(a) }},
	{"firmware", "the target's firmware", func(s *session, _ context.Context, a aim) error { return s.refusePlain(a) }},
	{"partitions", "the target's partitions", (*session).refusePartition},
}

// refuseInstall says why nothing can be installed now; nil if it can. A refusal leaves status, journal and fall-back as they were.
func (s *session) refuseInstall(ctx context.Context, a aim) error {
	for _, p := range preflight {
		if err := p.refuse(s, ctx, a); err != nil {
			if strings.HasPrefix(err.Error(), "cannot ") {
				return err
			}
			return fail.New(fail.CodeOf(err), "cannot install: %w", err)
		}
	}
	return nil
}

// refuseReadOnly is the part of the list that every change needs: found half-way, marks and journal would contradict each other.
func (s *session) refuseReadOnly(ctx context.Context) error {
	if err := s.backend.Writable(ctx); err != nil {
		return err
	}
	return s.refuseJournal()
}

// refuseAlone: firmware flips the root file system too, so without an image the target's own has to be good.
func (s *session) refuseAlone(a aim) error {
	if !a.alone || s.obs.state.pinned() {
		return nil
	}
	if err := s.rootUsable(s.obs.state.Current.Other()); err != nil {
		return fail.New(fail.Unavailable, "firmware alone would boot slot %s as it is: %w", s.obs.state.Current.Other(), err)
	}
	return nil
}

// refusePlain: without a capsule the target boots with the firmware that it has.
func (s *session) refusePlain(a aim) error {
	if !a.plain {
		return nil
	}
	target := s.obs.state.Current.Other()
	if err := s.refuseChain(target); err != nil {
		return fail.New(fail.Unavailable, "without firmware the update could not boot from slot %s: %w", target, err)
	}
	return nil
}

func (s *session) refuseChip() error {
	if s.obs.chipErr == nil {
		return nil
	}
	return fail.New(fail.Unavailable, "%w", s.obs.chipErr)
}

// refuseTornRuns: the other slot is then the only good one, unless it is no way back either: an update into it is the cure.
func (s *session) refuseTornRuns() error {
	if !s.tornRuns() || s.refuseFallback(s.obs.state.Current.Other()) != nil {
		return nil
	}
	return fail.New(fail.Unavailable, "slot %s runs, and its root file system may be half written", s.obs.state.Current).
		Then("run `tegra-bootctl activate %s` and reboot", s.obs.state.Current.Other())
}

// refuseJournal wants a journal that can be written. To somebody without privilege it is not refused, only hidden.
func (s *session) refuseJournal() error {
	switch {
	case s.journal.reader:
		return nil
	case s.journal.refused != nil:
		return s.journal.refused
	case s.journal.displaced != nil:
		return s.journal.displaced
	}
	mount, found, err := s.m.MountOf(s.journal.where)
	if err != nil || !found || !mount.ReadOnly {
		return err
	}
	return fail.New(fail.Unavailable, "cannot keep the journal in %s: its file system is mounted read-only", s.journal.where).
		Then("run: mount -o remount,rw %s; if that fails, check the file system", mount.Point)
}

func (s *session) refuseESP(_ context.Context, a aim) error {
	if !a.firmware || s.stager.Method() != ByCapsule {
		return nil
	}
	return s.obs.espErr
}

// refuseForeign refuses to mix with a capsule that is not ours: the firmware would process both, in name order. An
// image is refused only where that capsule is armed: it would cancel the switch, and be cancelled by it (edk2-nvidia
// BootChainDxe.c, BootChainCheckAndCancelUpdate).
func (s *session) refuseForeign(ctx context.Context, a aim) error {
	if s.obs.espErr != nil {
		return nil // reported where the ESP is needed; a switch does without, and nothing was seen on it
	}
	if !a.firmware {
		pending, err := s.stager.Pending(ctx, nil) // cheap: without a capsule of ours nothing is read but names
		if err != nil || !pending.Requested || len(pending.Foreign) == 0 {
			return err
		}
	}
	var own *Staged
	if u := s.journal.doc.Update; u != nil && u.Firmware != nil {
		own = &u.Firmware.Staged
	}
	pending, err := s.stager.Pending(ctx, own)
	if err != nil {
		return err
	}
	return pending.RefuseForeign("begin or activate an update")
}

func (s *session) refuseStager(ctx context.Context, a aim) error {
	if !a.firmware {
		return nil
	}
	return s.stager.Ready(ctx)
}

// refusePartition wants the target's partition, apart from the running system and not in use.
func (s *session) refusePartition(_ context.Context, a aim) error {
	if a.image == "" {
		return nil
	}
	target := s.obs.state.Current.Other()
	p, err := FindPartition(s.m, target, a.image)
	if err != nil {
		return err
	}
	// The running slot's partition under the target's label would be overwritten while it runs.
	running, err := FindPartition(s.m, target.Other(), a.image)
	if err == nil && running.Host == p.Host {
		return fail.New(fail.Unavailable, "cannot write %s: it is the same device as the running slot's %s", p.Label, running.Label).
			Then("correct the partition table or udev's links in /dev/disk/by-partlabel")
	}
	mounted, err := partition.MountedAt(s.m, p)
	if err != nil {
		return err
	}
	if len(mounted) > 0 {
		return fail.New(fail.Unavailable, "cannot write %s (%s): it is mounted at %s", p.Label, p.Device, mounted[0]).Then("unmount it")
	}
	return nil
}

// hidden says that something can be seen by root alone.
func hidden(err error) bool {
	return errors.Is(err, fs.ErrPermission) || fail.CodeOf(err) == fail.Permission
}
