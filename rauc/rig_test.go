package rauc_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// counted is a stdout that knows how often it was written to.
type counted struct {
	text   strings.Builder // not embedded: its WriteString would go past Write
	writes int
	fails  error
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	if c.fails != nil {
		return 0, c.fails
	}
	return c.text.Write(p)
}

func (c *counted) String() string { return c.text.String() }

// backendDevice is a virtual Orin that runs from A, and the backend as one call of it would be made.
type backendDevice struct {
	*virtual.Orin
	t      *testing.T
	stdout *counted
	warned []string
	trace  *device.Fault // of the last call
}

func newBackendDevice(t *testing.T, change ...func(*virtual.CreateOptions)) *backendDevice {
	t.Helper()
	opts := virtual.CreateOptions{AppSize: 128 << 10, ImageSize: 256}
	for _, f := range change {
		f(&opts)
	}
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return &backendDevice{Orin: o, t: t}
}

// control wires what cmd wires. Each call is a process of its own.
func (d *backendDevice) control() *backends.Control {
	d.t.Helper()
	d.trace = &device.Fault{}
	m := device.New(d.Dir()).WithFault(d.trace)
	c, err := chip.Detect(m)
	if err != nil {
		d.t.Fatal(err)
	}
	log := logrus.New()
	log.SetOutput(io.Discard)
	return backends.New(m, efivar.New(m, c), firmware.New(m, c, firmware.Options{}), backends.Options{Tries: 3}, logrus.NewEntry(log))
}

func (d *backendDevice) backend(names config.RAUC) rauc.Backend {
	d.t.Helper()
	n, err := rauc.NewNames(names)
	if err != nil {
		d.t.Fatal(err)
	}
	d.stdout, d.warned = &counted{}, nil
	warn := func(text string) { d.warned = append(d.warned, text) }
	return rauc.Backend{Control: d.control(), Machine: device.New(d.Dir()), Names: n, Stdout: d.stdout, Warn: warn}
}

// call makes one of RAUC's calls, as argv says it.
func (d *backendDevice) call(argv string) error {
	d.t.Helper()
	return callBackend(d.backend(config.Default().RAUC), argv)
}

func callBackend(b rauc.Backend, argv string) error {
	ctx, args := context.Background(), strings.Fields(argv)
	switch args[0] {
	case "get-primary":
		return b.GetPrimary(ctx)
	case "get-current":
		return b.GetCurrent(ctx)
	case "get-state":
		return b.GetState(ctx, args[1])
	case "set-primary":
		return b.SetPrimary(ctx, args[1])
	case "set-state":
		return b.SetState(ctx, args[1], args[2])
	}
	panic(argv)
}

// writes is RAUC's part of an install: the target's first bytes are others now.
func (d *backendDevice) writes(label string) {
	d.t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Dir(), "dev/disk/by-partlabel", label), os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte("a new root file system"), 1024)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// mountTemp mounts a file system of its own at a folder, as RAUC mounts a bundle.
func mountTemp(t *testing.T, dir string) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Fatalf("missing: the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("cannot unmount %s: %v", dir, err)
		}
	})
	return dir
}

// must ends the test on the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func sum(content string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(content))) }

// slotEnvironment is a slot hook's environment as RAUC 1.8 sets it for a raw slot that has a parent.
func slotEnvironment(change map[string]string) func(string) string {
	env := map[string]string{
		"RAUC_BUNDLE_MOUNT_POINT": "/run/rauc/bundle", "RAUC_BUNDLE_SPKI_HASHES": "AA:BB", "RAUC_IMAGE_CLASS": "bootloader",
		"RAUC_IMAGE_DIGEST": sum("x"), "RAUC_IMAGE_NAME": "/run/rauc/bundle/TEGRA_BL.Cap", "RAUC_IMAGE_SIZE": "1",
		"RAUC_MOUNT_PREFIX":  "/run/rauc",
		"RAUC_SLOT_BOOTNAME": "B", "RAUC_SLOT_CLASS": "bootloader", "RAUC_SLOT_DEVICE": "/run/tegra-ota/chain-b",
		"RAUC_SLOT_NAME":   "bootloader.1",
		"RAUC_SLOT_PARENT": "rootfs.1", "RAUC_SLOT_STATE": "inactive", "RAUC_SLOT_TYPE": "raw", "RAUC_SYSTEM_COMPATIBLE": "x",
		"RAUC_SYSTEM_VARIANT": "",
	}
	for name, value := range change {
		env[name] = value
	}
	return func(name string) string { return env[name] }
}

// bundled is an image of a bundle: its class, file and content.
type bundled struct{ class, file, content string }

// handlerEnvironment is a handler's environment as RAUC 1.8 sets it while A runs: slots are numbered in no order, all of them have
// the image of their class, whichever group they are in, and RAUC_TARGET_SLOTS is the group that does not run.
func handlerEnvironment(bundle, config string, images ...bundled) func(string) string {
	env := map[string]string{
		"RAUC_SYSTEM_CONFIG": config, "RAUC_CURRENT_BOOTNAME": "A", "RAUC_UPDATE_SOURCE": bundle, "RAUC_BUNDLE_MOUNT_POINT": bundle,
		"RAUC_MOUNT_PREFIX": "/run/rauc/mnt", "RAUC_SLOTS": "1 2 3 4 ", "RAUC_TARGET_SLOTS": "1 4 ",
	}
	for i, slot := range []struct{ name, class, bootname, parent string }{
		{"bootloader.1", "bootloader", "", "rootfs.1"}, {"rootfs.0", "rootfs", "A", ""},
		{"bootloader.0", "bootloader", "", "rootfs.0"}, {"rootfs.1", "rootfs", "B", ""},
	} {
		set := func(name, value string) { env[fmt.Sprintf("RAUC_%s_%d", name, i+1)] = value }
		set("SLOT_NAME", slot.name)
		set("SLOT_CLASS", slot.class)
		set("SLOT_TYPE", "raw")
		set("SLOT_DEVICE", "/dev/null")
		set("SLOT_BOOTNAME", slot.bootname)
		set("SLOT_PARENT", slot.parent)
		for _, image := range images {
			if image.class == slot.class {
				set("IMAGE_NAME", image.file)
				set("IMAGE_DIGEST", sum(image.content))
				set("IMAGE_CLASS", image.class)
			}
		}
	}
	return func(name string) string { return env[name] }
}

// testCapsule is a capsule of synthetic images.
func testCapsule(t *testing.T, l4t string) string {
	t.Helper()
	raw, err := virtual.BuildCapsule(virtual.CapsuleOptions{L4T: l4t, Lowest: "36.0.0", ImageSize: 256})
	must(t, err)
	return string(raw)
}

// fill puts a bundle's images into its mount.
func fill(t *testing.T, bundle string, images ...bundled) {
	t.Helper()
	for _, image := range images {
		must(t, os.WriteFile(filepath.Join(bundle, image.file), []byte(image.content), 0o644))
	}
}
