package swupdate_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
	unmount := mounted(t, o.app("B"))
	b := o.snapshot(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 1).says(t, `tegra-image rootfs.img.zst: .*exit 69, unavailable`)
	o.same(t, b)
	unmount()
	o.unharmed(t, o.snapshot(t)) // unmounting wrote to it
}

// mounted mounts a device until unmount is called, in a mount namespace of its own: whoever else makes one meanwhile would keep a
// mount in ours alive.
func mounted(t *testing.T, device string) (unmount func()) {
	t.Helper()
	c := exec.Command("unshare", "--mount", "sh", "-ec", `mount -o ro "$0" "$1"; echo mounted; cat`, device, t.TempDir())
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		t.Fatalf("mount says %q, %v", line, err)
	}
	return func() {
		t.Helper()
		_ = in.Close()
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			f, err := os.OpenFile(device, os.O_RDONLY|unix.O_EXCL, 0) // fails while a file system is mounted from it
			if err == nil {
				_ = f.Close()
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s stays in use: %v", device, err)
			}
		}
	}
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
