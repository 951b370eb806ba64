package image_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// sourceOf is a source that reads straight from r.
func sourceOf(r io.Reader) *source.Source { return &source.Source{Reader: r, Size: -1, Stream: true} }

// untouched checks that a refusal changed neither slot nor what is known of it.
func untouched(t *testing.T, o orin, do func() error, code fail.Code, text string) {
	t.Helper()
	before := o.content("APP")
	wantFailure(t, do(), code, text)
	if !bytes.Equal(o.content("APP"), before) {
		t.Error("the running slot was touched")
	}
	if slot := o.status().Slots[backends.B]; slot.Rootfs != backends.Unknown || !*slot.Bootable {
		t.Errorf("the target was marked: %+v", slot)
	}
}

func TestMountedTargetIsRefused(t *testing.T) {
	plain := noise(mib, "mounted")
	install := func(o orin) func() error {
		return func() error { _, err := o.file(plain, unknown()); return err }
	}
	t.Run("in the device's list of mounts", func(t *testing.T) {
		for _, source := range []string{"/dev/nvme0n1p2", "/dev/disk/by-partlabel/APP_b"} {
			o := newOrin(t)
			list := filepath.Join(o.dir, "proc/self/mountinfo")
			f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(f, "99 20 259:2 / /mnt/other\\040slot rw - ext4 %s rw\n", source); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
			untouched(t, o, install(o), fail.Unavailable, "it is mounted at /mnt/other slot")
		}
	})
	t.Run("on this host", func(t *testing.T) {
		o := newOrin(t)
		dev, _ := o.loop("APP_b", 8*mib)
		tool(t, "mkfs.ext4", "-q", "-F", dev)
		at := t.TempDir()
		tool(t, "mount", dev, at)
		t.Cleanup(func() { _ = unix.Unmount(at, 0) })
		if err := os.WriteFile(filepath.Join(at, "file"), []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		untouched(t, o, install(o), fail.Unavailable, "it is in use")
		if b, err := os.ReadFile(filepath.Join(at, "file")); err != nil || string(b) != "precious" {
			t.Errorf("the mounted file system: %q, %v", b, err)
		}
		if err := unix.Unmount(at, 0); err != nil {
			t.Fatal(err)
		}
		if err := install(o)(); err != nil {
			t.Errorf("once it is not mounted: %v", err)
		}
	})
}

func TestRunningSlotIsRefused(t *testing.T) {
	o := newOrin(t)
	// The target's label leads to the running slot's partition.
	if err := os.Remove(o.node("APP_b")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../nvme0n1p1", o.node("APP_b")); err != nil {
		t.Fatal(err)
	}
	untouched(t, o, func() error { _, err := o.file(noise(1000, "x"), unknown()); return err }, fail.Unavailable, "APP")
	// And so for a block device that both labels share.
	shared := newOrin(t)
	dev, _ := shared.loop("APP_b", appSize)
	if err := os.Remove(shared.node("APP")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dev, shared.node("APP")); err != nil {
		t.Fatal(err)
	}
	_, err := shared.file(noise(1000, "x"), unknown())
	wantFailure(t, err, fail.Unavailable, "same device as the running slot's")
}

func TestTwoDisksWithOneLabelAreRefused(t *testing.T) {
	o := newOrin(t)
	second := filepath.Join(o.dir, "sys/class/block/sda2")
	if err := os.MkdirAll(second, 0o755); err != nil {
		t.Fatal(err)
	}
	uevent := "MAJOR=8\nMINOR=2\nDEVNAME=sda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=APP_b\n"
	if err := os.WriteFile(filepath.Join(second, "uevent"), []byte(uevent), 0o644); err != nil {
		t.Fatal(err)
	}
	untouched(t, o, func() error { _, err := o.file(noise(1000, "x"), unknown()); return err }, fail.Unavailable, "/dev/sda2")
}

// What is called written is what the storage holds, not what the page cache does.
func TestReadBackGoesPastThePageCache(t *testing.T) {
	for _, at := range []int64{0, 2*mib + 17, 3*mib - 1} {
		for _, sabotage := range []bool{false, true} {
			o := newOrin(t)
			dev, backing := o.loop("APP_b", appSize)
			plain := noise(3*mib, "read back") // whole chunks: the reader's end comes after the last write
			flip := func() {
				if !sabotage {
					return
				}
				// Put everything on storage first, so that the install's own sync does not write the right byte again.
				syncDevice(t, dev)
				flipByte(t, backing, at)
			}
			opts := announced(plain)
			opts.Partition = "APP"
			_, err := image.Install(context.Background(), o.m, o.control(), sourceOf(io.MultiReader(bytes.NewReader(plain), calling{flip})), opts)
			if !sabotage {
				if err != nil {
					t.Error(err)
				}
				continue
			}
			wantFailure(t, err, fail.IO, "read back, its SHA-256 is")
			if slot := o.status().Slots[backends.B]; slot.Rootfs != backends.Torn || *slot.Bootable {
				t.Errorf("the target: %+v", slot)
			}
		}
	}
}

func syncDevice(t *testing.T, dev string) {
	t.Helper()
	f, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flipByte(t *testing.T, file string, at int64) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// A write or sync that fails names what was written, and leaves a torn target that does not boot.
func TestFailingStorage(t *testing.T) {
	plain := noise(2*mib, "storage")
	o := newOrin(t)
	probe := &device.Fault{}
	counted := orin{t, o.dir, o.m.WithFault(probe)}
	if _, err := counted.file(plain, unknown()); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, change := range probe.Changes() {
		if !strings.Contains(change, "/dev/disk/by-partlabel/APP_b") {
			continue
		}
		o := newOrin(t)
		faulty := orin{t, o.dir, o.m.WithFault(&device.Fault{FailAt: i + 1})}
		_, err := faulty.file(plain, unknown())
		wantFailure(t, err, fail.IO, "APP_b (/dev/nvme0n1p2)")
		if slot := o.status().Slots[backends.B]; slot.Rootfs != backends.Torn || *slot.Bootable {
			t.Errorf("%s: the target: %+v", change, slot)
		}
		failed++
	}
	if failed != 3 { // two writes and a sync
		t.Errorf("%d changes of the partition failed, want 3 of %q", failed, probe.Changes())
	}
}
