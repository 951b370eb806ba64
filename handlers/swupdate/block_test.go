package swupdate_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// loops moves both root file systems to real block devices of the kernel: by-partlabel then holds absolute links, and
// O_EXCL, BLKGETSIZE64 and BLKFLSBUF are the kernel's.
func (o *orin) loops(t *testing.T) {
	t.Helper()
	for _, slot := range []string{"A", "B"} {
		backing := filepath.Join(t.TempDir(), "slot"+slot)
		write(t, backing, read(t, o.app(slot)))
		node := strings.TrimSpace(tool(t, "", "losetup", "-f", "--show", backing))
		t.Cleanup(func() { tool(t, "", "losetup", "-d", node) })
		if err := os.Remove(o.app(slot)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(node, o.app(slot)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBlockDevices updates root file systems on loop devices, there and back.
func TestBlockDevices(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.loops(t)
	o.updates(t)
	o.updates(t)
}

// TestMountedTarget: a target that somebody has mounted is not written to, wherever it is mounted.
func TestMountedTarget(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.loops(t)
	tool(t, "", "mkfs.ext4", "-q", o.app("B"))
	mnt := t.TempDir()
	tool(t, "", "mount", "-o", "ro", o.app("B"), mnt)
	mounted := true
	t.Cleanup(func() {
		if mounted {
			tool(t, "", "umount", mnt)
		}
	})
	b := o.snapshot(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-image rootfs.img.zst: .*exit 69, unavailable`)
	o.same(t, b)
	tool(t, "", "umount", mnt)
	mounted = false
	o.unharmed(t, o.snapshot(t)) // unmounting wrote to it
}

// TestTwoDisks: two disks carry the same label, as after cloning the system to a second one; nobody guesses which is meant.
func TestTwoDisks(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	b := o.snapshot(t)
	for name, text := range map[string]string{
		"sda":  "MAJOR=8\nMINOR=0\nDEVNAME=sda\nDEVTYPE=disk\n",
		"sda2": "MAJOR=8\nMINOR=2\nDEVNAME=sda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=APP_b\n",
	} {
		dir := o.path("sys/class/block", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "uevent"), []byte(text))
	}
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `APP_b.*exit 69, unavailable`)
	o.same(t, b)
	for _, name := range []string{"sda", "sda2"} {
		_ = os.RemoveAll(o.path("sys/class/block", name))
	}
	o.unharmed(t, b)
}
