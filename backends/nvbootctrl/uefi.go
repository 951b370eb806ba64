package nvbootctrl

import (
	"context"
	"errors"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// retryMaxUEFI is what a refill gives the launcher's scratch register (edk2-nvidia L4TConfiguration.dts).
const retryMaxUEFI = 3

// uefi is boot control of R35 and later. The program has no command that marks a slot there, so marks go through the
// variables where those can be written: in efivarfs, or, on AGX Xavier, from files on the ESP at the next boot.
type uefi struct {
	b    *Backend
	vars *efivarfs.Store // nil where they cannot be read

	settled bool
	marks   *efivar.Backend // the variables as they can be written, nil where they cannot
	why     error           // why they cannot

	unprivileged bool // the ESP could not be looked for without more privilege
}

// read takes everything from the variables, and the program's word for which slot runs as a second opinion. A program that
// gives none is Writable's finding, not Read's: readers without privilege cannot ask it.
func (c *uefi) read(ctx context.Context) (backends.State, error) {
	from := c.b.efivar()
	if marks := c.writable(); marks != nil {
		from = marks
	}
	st, err := from.Read(ctx)
	if err != nil {
		return st, err
	}
	if st.Unmarkable = c.why; c.unprivileged {
		st.Unmarkable = nil // not known, and nobody who asks so can mark
	}
	said, err := c.b.current(ctx, bootloader)
	if err == nil && said != st.Current {
		return st, contradiction("the UEFI variable BootChainFwCurrent", st.Current, "`nvbootctrl get-current-slot`", said)
	}
	if errors.Is(err, ErrTimeout) || ctx.Err() != nil {
		return st, err
	}
	return st, nil
}

// writable returns the variables as marks can be written to them, nil where they cannot.
func (c *uefi) writable() *efivar.Backend {
	if c.settled {
		return c.marks
	}
	c.settled = true
	switch {
	case c.vars == nil:
		c.why = fail.New(fail.Unavailable,
			"cannot mark slots: UEFI variables cannot be read, and nvbootctrl of R35 and later has no command for it").
			Then("run: mount -t efivarfs efivarfs %s", efivarfs.Dir)
	case c.b.bootsFromEMMC():
		e, err := esp.Find(c.b.m, c.vars, esp.Options{MountPoint: c.b.opts.ESPMountPoint})
		if err != nil {
			c.unprivileged = fail.CodeOf(err) == fail.Permission
			c.why = fail.New(fail.Unavailable, "cannot mark slots: this device takes changes of UEFI variables from its ESP at boot: %w", err)
			break
		}
		c.marks = c.b.efivar().WithOutbox(e.MountPoint + "/" + efivarfs.OutboxFolder)
	default:
		if err := c.vars.Writable(); err != nil {
			c.why = fail.New(fail.Unavailable, "cannot mark slots: %w", err)
			break
		}
		c.marks = c.b.efivar()
	}
	return c.marks
}

// bootsFromEMMC says that the firmware lies in the eMMC's boot partitions, and its variables in the eMMC as well: they
// cannot be written while the operating system drives it. AGX Xavier alone (edk2-nvidia; meta-tegra 1810).
func (b *Backend) bootsFromEMMC() bool {
	return b.chip.Name == chip.T194.Name && strings.HasPrefix(chip.BootControl(b.m)["TEGRA_OTA_BOOT_DEVICE"], "/dev/mmcblk0boot")
}

// readDumps takes what the program prints. It tells neither what the last switch left over nor who could mark a slot.
func (c *uefi) readDumps(ctx context.Context, d Dump) (backends.State, error) {
	c.writable()
	st := backends.State{Slots: map[backends.Slot]backends.SlotState{}, RetryMax: retryMaxUEFI, Unmarkable: c.why}
	board := chip.BootControl(c.b.m)
	st.Spec, st.Compat = board["TNSPEC"], board["COMPATIBLE_SPEC"]
	var err error
	if st.Current, err = c.b.current(ctx, bootloader); err != nil {
		return st, err
	}
	if d.Current != st.Current {
		return st, contradiction("get-current-slot", st.Current, "dump-slots-info", d.Current)
	}
	pending(&st, d.Active)
	if st.Redundancy, err = c.redundancy(ctx); err != nil {
		return st, err
	}
	root, err := c.b.dump(ctx, rootfs)
	if err != nil && !errors.Is(err, ErrUnknownCommand) {
		return st, err
	}
	known := err == nil
	for i, s := range backends.Slots {
		slot := backends.SlotState{Status: status(!d.Slots[i].unbootable())}
		if known {
			slot.Retries = root.Slots[i].Retry
			slot.Status = status(!d.Slots[i].unbootable() && !root.Slots[i].unbootable())
		}
		st.Slots[s] = slot
	}
	st.RootCurrent = root.Current
	if v, err := capsule.ParseVersion(d.Version); err == nil && v != 0 {
		slot := st.Slots[st.Current]
		slot.Firmware = &v
		st.Slots[st.Current] = slot
	}
	return st, nil
}

func (d SlotDump) unbootable() bool { return d.Status != nil && *d.Status == StatusUnbootable }

// redundancy is RootfsRedundancyLevel as is-rootfs-ab-enabled knows it; nil where the release does not say.
func (c *uefi) redundancy(ctx context.Context) (*uint32, error) {
	a, err := c.b.run.run(ctx, "is-rootfs-ab-enabled")
	if errors.Is(err, ErrUnknownCommand) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	level := uint32(1)
	switch a.exit {
	case rootfsOff:
		level = 0
	case rootfsOnA, rootfsOnB:
		if err := a.failure(nil); named(err) {
			return nil, err // the 1 of a program that failed
		}
	default:
		return nil, a.failure(nil)
	}
	return &level, nil
}
