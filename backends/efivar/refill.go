package efivar

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
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
	program := b.findNVIDIA()
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

// findNVIDIA returns NVIDIA's nvbootctrl: the configured one and no other, else /usr/sbin/nvbootctrl, else the first in
// device.SearchPath; "" where there is none. Below a root prefix all of these lie inside it. A link of that name to
// ourselves is not NVIDIA's, and would call itself for ever.
func (b *Backend) findNVIDIA() string {
	candidates := []string{"/usr/sbin/nvbootctrl"}
	for _, folder := range strings.Split(device.SearchPath, ":") {
		candidates = append(candidates, folder+"/nvbootctrl")
	}
	if b.nvbootctrl != "" {
		candidates = []string{b.nvbootctrl}
	}
	for _, c := range candidates {
		st, err := b.m.Stat(c)
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			continue
		}
		if b.inside(c) && !ourselves(b.m.Path(c)) {
			return c
		}
	}
	return ""
}

// inside says that a path does not lead out of a root prefix: an absolute link there names a program of the device, and
// would run one of the host.
func (b *Backend) inside(p string) bool {
	if !b.m.IsPrefixed() {
		return true
	}
	root, err := filepath.EvalSymlinks(b.m.Root())
	if err != nil {
		return false
	}
	resolved, err := filepath.EvalSymlinks(b.m.Path(p))
	return err == nil && strings.HasPrefix(resolved, root+"/")
}

func ourselves(program string) bool {
	self, err := os.Executable()
	if err != nil {
		return true // better no refill than a loop
	}
	resolved, err := filepath.EvalSymlinks(program)
	return err == nil && device.SameDevice(resolved, self)
}
