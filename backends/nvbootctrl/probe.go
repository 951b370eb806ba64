package nvbootctrl

import (
	"context"
	"errors"

	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Probe says whether this backend is the machine's: yes or no, with the reason in words, or an error (69) where no backend
// can control the device, or what is seen belongs to another chip than the chip table says.
//
// T234 and T264 belong to efivar while their variables can be read, and to this backend where only nvbootctrl answers. T186
// and T194 are always its own. program is nvbootctrl's configured path, "" to look for it.
func Probe(ctx context.Context, m *device.Machine, c chip.Chip, program string) (bool, string, error) {
	b := New(m, c, Options{Program: program})
	switch c.Name {
	case chip.T234.Name, chip.T264.Name:
		return b.probeUEFI(ctx)
	case chip.T186.Name, chip.T194.Name:
		return b.probeXavier(ctx)
	}
	return false, "nvbootctrl is not known to control " + c.Name, nil
}

// probeUEFI judges chips that have UEFI in every release.
func (b *Backend) probeUEFI(ctx context.Context) (bool, string, error) {
	ours, variables := efivar.Probe(b.m, b.chip)
	if ours && variables == nil {
		return false, "UEFI variables of " + b.chip.Name + " can be read, so efivar controls it", nil
	}
	d, err := b.dump(ctx, bootloader)
	if err == nil && d.Magic != nil {
		return false, "", contradictsChip(b.chip, "nvbootctrl prints slot metadata, as it does on T186 and T194 with R32")
	}
	if err != nil {
		if _, currentErr := b.current(ctx, bootloader); currentErr == nil {
			err = nil
		}
	}
	if err != nil {
		return false, "", fail.New(keptCode(err), "cannot choose a backend for %s: not efivar, because %s; not nvbootctrl, because %w",
			b.chip.Name, fail.Reason(variables), err)
	}
	return true, "nvbootctrl answers, and efivar does not: " + fail.Reason(variables), nil
}

// probeXavier judges the chips that had no UEFI in R32.
func (b *Backend) probeXavier(ctx context.Context) (bool, string, error) {
	vars := b.readable()
	if vars != nil && b.chip.Name == chip.T186.Name {
		return false, "", contradictsChip(b.chip, "there are variables of NVIDIA's UEFI, which T186 never had")
	}
	d, err := b.dump(ctx, bootloader)
	switch {
	case err == nil && d.Magic == nil && b.chip.Name == chip.T186.Name:
		return false, "", contradictsChip(b.chip, "nvbootctrl prints slots as R35 and later do, which T186 never got")
	case err == nil && d.Magic != nil && vars != nil:
		return false, "", fail.New(fail.Unavailable, "cannot choose a way to control %s: nvbootctrl prints slot metadata, as R32 does, "+
			"and there are variables of NVIDIA's UEFI", b.chip.Name).Then("install the nvbootctrl of the release that the device runs")
	case err == nil && d.Magic != nil:
		return true, b.chip.Name + " with the slot metadata of R32, through nvbootctrl", nil
	case vars != nil:
		return true, b.chip.Name + " with R35 or later, through UEFI variables and nvbootctrl", nil
	case err == nil:
		return true, b.chip.Name + " with R35 or later, through nvbootctrl", nil
	case errors.Is(err, ErrMissing):
		_, metaErr := b.readMetadata()
		if metaErr == nil {
			return true, b.chip.Name + " with the slot metadata of R32, which can only be read: nvbootctrl is missing", nil
		}
		return true, "", fail.New(fail.Unavailable, "cannot control %s: %w (and %s)", b.chip.Name, err, fail.Reason(metaErr))
	}
	return true, "", fail.New(keptCode(err), "cannot control %s: %w", b.chip.Name, err)
}

// keptCode keeps what privilege would change apart from the device's condition.
func keptCode(err error) fail.Code {
	if fail.CodeOf(err) == fail.Permission {
		return fail.Permission
	}
	return fail.Unavailable
}

func contradictsChip(c chip.Chip, seen string) error {
	return fail.New(fail.Unavailable, "cannot choose a backend: the chip is said to be %s, but %s", c.Name, seen).
		Then("compare the device tree's compatible and TEGRA_CHIPID of /etc/nv_boot_control.conf with the device, " +
			"or set backend in the configuration if you know better")
}
