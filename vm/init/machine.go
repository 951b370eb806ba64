package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// Where the disk's first partition goes.
const (
	espNode  = "/dev/vda1"
	espPoint = "/boot/efi"
)

// mount is one file system of the guest.
type mount struct{ kind, source, point, options string }

// prepare makes the file systems. A missing efivarfs ends the run here: an empty folder in its place would look like a
// machine without variables.
func prepare() error {
	for _, m := range []mount{
		{"proc", "proc", "/proc", ""}, {"sysfs", "sysfs", "/sys", ""}, {"devtmpfs", "devtmpfs", "/dev", ""},
		{"tmpfs", "tmpfs", "/run", ""}, {"tmpfs", "tmpfs", "/tmp", ""},
	} {
		if err := m.mount(); err != nil {
			return err
		}
	}
	if err := guest.LoadModules(); err != nil {
		return err
	}
	if err := (mount{"efivarfs", "efivarfs", efivarfs.Dir, ""}).mount(); err != nil {
		return err
	}
	if err := await(espNode); err != nil {
		return fmt.Errorf("cannot find the disk: %w", err)
	}
	return mount{"vfat", espNode, espPoint, ""}.mount()
}

func (m mount) mount() error {
	// sysfs has the folder for efivarfs, and nothing can be made there.
	if _, err := os.Stat(m.point); err != nil {
		if err := os.MkdirAll(m.point, 0o755); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.kind, err)
		}
	}
	if err := unix.Mount(m.source, m.point, m.kind, 0, m.options); err != nil {
		return fmt.Errorf("cannot mount %s on %s: %w", m.kind, m.point, err)
	}
	return nil
}
