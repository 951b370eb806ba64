package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The disks, in the order of the kernel's command line: both slots' partitions, and one for /data.
const (
	diskA, diskB, diskData = "/dev/ubda", "/dev/ubdb", "/dev/ubdc"
	dataPoint              = "/data"
	modulesFolder          = "/usr/lib/modules"
	bundles                = dataPoint + "/bundles"
	partLabels             = "/dev/disk/by-partlabel"
)

// links are the partitions by name: RAUC finds them where a device has them, tegra-ota in the virtual Orin's folder. A slot
// is a real block device in both.
var links = map[string]string{"APP": diskA, "APP_b": diskB}

// mount is one file system of the guest.
type mount struct {
	kind, source, point, options string
	flags                        uintptr
}

// prepare does what a device's early boot does: file systems, modules, udev's links, tmpfiles.d, the system bus.
func prepare() error {
	for _, m := range []mount{
		{kind: "sysfs", point: "/sys"}, {kind: "devtmpfs", point: "/dev"},
		{kind: "tmpfs", point: "/run"}, {kind: "tmpfs", point: "/tmp"},
		// Below the folder that hostfs= on the kernel's command line names.
		{kind: "hostfs", point: orin, options: "orin"},
		{kind: "ext4", source: diskData, point: dataPoint},
		{kind: "tmpfs", point: orin + partLabels},
	} {
		if err := m.mount(); err != nil {
			return err
		}
	}
	if err := loadModules(); err != nil {
		return err
	}
	for label, node := range links {
		for _, folder := range []string{partLabels, orin + partLabels} {
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			if err := os.Symlink(node, filepath.Join(folder, label)); err != nil {
				return err
			}
		}
	}
	if err := makeTmpfiles("/usr/lib/tmpfiles.d/tegra-ota.conf"); err != nil {
		return err
	}
	for _, folder := range []string{"/run/dbus", traceFolder} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if err := setEnvironment(); err != nil {
		return err
	}
	_, err := output("dbus-daemon", "--system", "--nopidfile")
	return err
}

func (m mount) mount() error {
	source := m.source
	if source == "" {
		source = m.kind
	}
	// devtmpfs may be there already: some kernels mount it themselves.
	err := unix.Mount(source, m.point, m.kind, m.flags, m.options)
	if err != nil && !(errors.Is(err, unix.EBUSY) && m.kind == "devtmpfs") {
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
		f, err := os.Open(filepath.Join(modulesFolder, name))
		if err != nil {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("cannot load module %s: %w", name, err)
		}
	}
	return nil
}

// makeTmpfiles makes the folders of a tmpfiles.d(5) file. Other kinds of lines are an error: they would be missing here.
func makeTmpfiles(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("cannot make what %s lists: %w", file, err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if f[0] != "d" || len(f) < 3 {
			return fmt.Errorf("cannot make what %s lists: %q is no folder", file, line)
		}
		mode, err := strconv.ParseUint(f[2], 8, 32)
		if err != nil {
			return fmt.Errorf("cannot make what %s lists: %q: %w", file, line, err)
		}
		if err := os.MkdirAll(f[1], fs.FileMode(mode)); err != nil {
			return err
		}
	}
	return nil
}
