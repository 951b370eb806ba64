package efivar

import (
	"context"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/nvidia"
)

// verifyTimeout leaves RAUC's backend its ten seconds.
const verifyTimeout = 4 * time.Second

// refillByNVIDIA has NVIDIA's nvbootctrl refill the running slot's retries, for kernels without the counts in sysfs
// (before 5.15.148). It can do that for the running slot alone. Without the program nothing happens:
// State.RetriesWritable says so, and check warns.
func (b *Backend) refillByNVIDIA(ctx context.Context, s backends.Slot) error {
	root, err := b.number(efivarfs.BootChainOsCurrent)
	if err != nil {
		return err
	}
	if root == nil {
		if root, err = b.number(efivarfs.BootChainFwCurrent); err != nil {
			return err
		}
	}
	if root == nil || backends.SlotAt(*root) != s {
		return nil
	}
	program := nvidia.Find(b.m, "nvbootctrl", b.nvbootctrl)
	if program == "" {
		return nil
	}
	r, err := b.m.Run(ctx, device.Command{Path: program, Args: []string{"verify"}, Timeout: verifyTimeout})
	if err != nil {
		return fail.New(fail.IO, "cannot refill the retries of slot %s: %w", s, err)
	}
	if r.ExitCode != 0 {
		return fail.New(fail.IO, "cannot refill the retries of slot %s: `%s verify` ended with exit %d: %s", s, program, r.ExitCode, r.Stderr)
	}
	return nil
}
