// Package flash writes boot firmware into flash that Linux sees: the direct way, for devices whose firmware leaves the flash to the
// system (L4T R32, UEFI built with PcdAllowOsAccessQspi). A stock Orin does not.
//
// Only the target chain is ever written, never the boot configuration table (BCT), which says which chain starts. The order is that
// of the firmware's own update (edk2-nvidia TegraFmp.c): mb1's head is made invalid, all images are written, mb1, the chain's
// partition table if it differs, and everything is read back. A block that holds its content already is neither erased nor
// programmed, and if nothing differs nothing is touched. Run again after a power cut it finishes.
package flash

import (
	"bytes"
	"context"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Options are the stager's settings.
type Options struct {
	// AllowEKS lets an update write eks, the encrypted keys that the secrets of both slots depend on.
	AllowEKS bool
	// CapsuleTrust is the path of a PEM certificate that must have signed the update, which then must be a capsule; "" for none.
	CapsuleTrust string
	// Capsules is the other way for firmware, nil where there is no UEFI. What was staged that way before the method was changed is
	// still its own, and a capsule that somebody else armed would make the firmware drop the switch to the slot that was written
	// (edk2-nvidia BootChainDxe.c).
	Capsules backends.FirmwareStager
}

// Stager writes firmware into the flash of a machine. It stages nothing: its candidates are backends.Writer.
type Stager struct {
	m    *device.Machine
	chip chip.Chip
	opts Options
	open opener
	last *candidate // what this process received and nobody discarded
}

var _ backends.FirmwareStager = (*Stager)(nil)

// New returns the stager of a machine with that chip. It reads nothing yet.
func New(m *device.Machine, c chip.Chip, opts Options) *Stager {
	return &Stager{m: m, chip: c, opts: opts, open: openMTD}
}

// Method is ByMTD.
func (s *Stager) Method() backends.Method { return backends.ByMTD }

// Ready says why no update can be written (69): no flash that Linux sees, or a layout that does not add up.
func (s *Stager) Ready(context.Context) error {
	if _, err := payload.Certificates(s.m, s.opts.CapsuleTrust); err != nil {
		return err
	}
	l, err := find(s.m, s.open, s.chip, s.target())
	if err != nil {
		return err
	}
	return l.close()
}

// Visible says whether this writer could work on a machine, and through what; otherwise what would enable it. It changes nothing.
func Visible(m *device.Machine, c chip.Chip) (bool, string) {
	s := New(m, c, Options{})
	l, err := find(m, s.open, c, s.target())
	if err != nil {
		return false, err.Error()
	}
	defer l.close()
	return true, l.what
}

// whatEnables says how Linux comes to see the boot flash.
func whatEnables(c chip.Chip) string {
	if c.Naming == chip.PrefixAB {
		return "the firmware removes the flash from the device tree unless it was built with PcdAllowOsAccessQspi; " +
			`use capsules: method = "capsule" in [firmware]`
	}
	return "the kernel needs the driver of the boot flash (QSPI: spi-nor and its device tree node; eMMC: /dev/mmcblk0boot0); " +
		`with UEFI (L4T R35) the firmware hides QSPI flash: method = "capsule" in [firmware]`
}

// running is the chain that runs, as far as the firmware tells: UEFI by a variable, cboot (L4T R32) on the kernel's command line.
// None where neither does.
func (s *Stager) running() backends.Slot {
	if v, err := efivarfs.New(s.m).Read(efivarfs.BootChainFwCurrent); err == nil {
		if n, err := v.Uint32(); err == nil {
			return backends.SlotAt(n)
		}
	}
	text, _ := s.m.ReadFile("/proc/cmdline")
	for _, word := range bytes.Fields(text) {
		if suffix, ok := bytes.CutPrefix(word, []byte("boot.slot_suffix=")); ok {
			if string(suffix) == "_b" {
				return backends.B
			}
			return backends.A
		}
	}
	return backends.None
}

// target is where an update would go, B where nothing tells.
func (s *Stager) target() backends.Slot {
	if r := s.running(); r != backends.None {
		return r.Other()
	}
	return backends.B
}

// Pending is empty but for capsules: nothing of a Writer's is ever armed.
func (s *Stager) Pending(ctx context.Context, staged *backends.Staged) (backends.Pending, error) {
	if s.opts.Capsules == nil {
		return backends.Pending{}, nil
	}
	return s.opts.Capsules.Pending(ctx, staged)
}

// errNothing is a caller's mistake: the firmware of a Writer is in the flash already.
func errNothing(do string) error {
	return fail.New(fail.Internal, "cannot %s firmware: it is written into the flash directly", do)
}

// Verify compares a capsule that was staged before the method was changed.
func (s *Stager) Verify(ctx context.Context, staged backends.Staged) error {
	if s.opts.Capsules == nil {
		return errNothing("verify")
	}
	return s.opts.Capsules.Verify(ctx, staged)
}

// Arm arms such a capsule.
func (s *Stager) Arm(ctx context.Context, staged backends.Staged) error {
	if s.opts.Capsules == nil {
		return errNothing("arm")
	}
	return s.opts.Capsules.Arm(ctx, staged)
}

// Disarm takes such a capsule back.
func (s *Stager) Disarm(ctx context.Context, staged backends.Staged, clearRequest bool) error {
	if s.opts.Capsules == nil {
		return nil
	}
	return s.opts.Capsules.Disarm(ctx, staged, clearRequest)
}

// Discard removes what was received and not discarded yet, and such a capsule.
func (s *Stager) Discard(ctx context.Context, staged backends.Staged) error {
	return s.discard(ctx, func() error {
		if s.opts.Capsules == nil {
			return nil
		}
		return s.opts.Capsules.Discard(ctx, staged)
	})
}

// DiscardIncomplete removes what an interrupted staging left. What another process received Control removes.
func (s *Stager) DiscardIncomplete(ctx context.Context) error {
	return s.discard(ctx, func() error {
		if s.opts.Capsules == nil {
			return nil
		}
		return s.opts.Capsules.DiscardIncomplete(ctx)
	})
}

func (s *Stager) discard(ctx context.Context, capsules func() error) error {
	if s.last != nil {
		if err := s.last.Discard(ctx); err != nil {
			return err
		}
	}
	return capsules()
}
