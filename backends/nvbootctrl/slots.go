package nvbootctrl

import (
	"context"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Slots returns the running slot and both records, for who judges what another program did to them (nv_update_engine). Errors are Read's.
func (b *Backend) Slots(ctx context.Context) (current backends.Slot, d Dump, err error) {
	if current, err = b.current(ctx, bootloader); err != nil {
		return current, d, err
	}
	d, err = b.dump(ctx, bootloader)
	return current, d, err
}

// Unified says whether chain and root file system are switched as one, as L4T R32.6 and later can; older releases never do.
func (b *Backend) Unified(ctx context.Context) (bool, error) {
	d, err := b.dump(ctx, bootloader)
	if err != nil {
		return false, err
	}
	switch answer, err := (r32{b, d.Features}).unified(ctx); {
	case err != nil:
		return false, err
	case answer == unifiedOn:
		return true, nil
	case answer == unifiedNone, answer == unifiedRoot, answer == exitUsage:
		return false, nil
	default:
		return false, fail.New(fail.Unavailable, "cannot tell whether chain and root file system are switched as one: "+
			"nvbootctrl is-unified-enabled ends with %d", answer).Then("run it by hand")
	}
}
