package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// Where the initramfs has the kernel's modules, with their loading order beside them, and where the disk's first partition goes.
const (
	modulesFolder = "/modules"
	espNode       = "/dev/vda1"
	espPoint      = "/boot/efi"
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
	if err := loadModules(); err != nil {
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

// loadModules loads what the host picked, in the order it wrote down.
func loadModules() error {
	order, err := os.ReadFile(filepath.Join(modulesFolder, "order"))
	if err != nil {
		return fmt.Errorf("cannot load the kernel's modules: %w", err)
	}
	for _, name := range strings.Fields(string(order)) {
		if err := loadModule(filepath.Join(modulesFolder, name)); err != nil {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
	}
	return nil
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if filepath.Ext(path) != ".ko" { // .ko.xz, .ko.zst: the kernel unpacks them itself
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	return unix.FinitModule(int(f.Fd()), "", flags)
}
