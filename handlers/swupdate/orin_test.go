package swupdate_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// UEFI variables' vendors: the UEFI specification's and NVIDIA's public one.
const (
	globalGUID = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
	nvidiaGUID = "781e084c-a330-417c-b678-38e696380cb9"
)

// orin is a virtual Jetson with an updater.
type orin struct {
	*updater
	kind     kind
	dir      string
	userland string // what runs when Linux is up, a shell command
}

const appSize = 8 << 20

// userland is what systemd runs on a device; the last verdict is kept for the test to read.
const userland = `set -e
tegra-boot-verify count
[ "$VIRTUAL_ORIN_STAGE" = early ] || tegra-boot-verify run --json >"$TEGRA_OTA_ROOT/verify.json"`

func newOrin(t *testing.T, options ...string) *orin {
	t.Helper()
	return newDevice(t, onEFI, options...)
}

func (o *orin) path(elem ...string) string { return filepath.Join(append([]string{o.dir}, elem...)...) }

// app is the node of a slot's root file system.
func (o *orin) app(slot string) string {
	return o.path("dev/disk/by-partlabel", map[string]string{"A": "APP", "B": "APP_b"}[slot])
}

// contents digests all that belongs to a slot: its partitions and its chain in the flash.
func (o *orin) contents(t *testing.T, slot string) map[string]string {
	t.Helper()
	all := map[string]string{"APP": digest(read(t, o.app(slot)))}
	for _, name := range []string{"kernel", "kernel-dtb"} {
		all[name] = digest(read(t, o.path("dev/disk/by-partlabel", o.kind.label(name, slot))))
	}
	chain := o.path("qspi", slot)
	err := filepath.WalkDir(chain, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			all[strings.TrimPrefix(path, o.dir)] = digest(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// control runs a tegra-ota executable on the device.
func (o *orin) control(t *testing.T, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := exec.Command(filepath.Join(suite.libexec, name), args...)
	c.Env = append(os.Environ(), o.env...)
	return orintest.Run(t, c)
}

func (o *orin) status(t *testing.T) orintest.Status {
	t.Helper()
	c := exec.Command(filepath.Join(suite.libexec, "tegra-bootctl"), "status", "--json")
	c.Env = append(os.Environ(), o.env...)
	return orintest.ReadStatus(t, c)
}

// boot plays one attempt and says whether Linux came up.
func (o *orin) boot(t *testing.T, options ...string) (up bool, timeline string) {
	t.Helper()
	_ = os.Remove(o.path("verify.json"))
	c := exec.Command(suite.orin, append([]string{"boot", o.dir, "--json", "--userspace", o.userland}, options...)...)
	c.Env = append(os.Environ(), "PATH="+suite.libexec+":"+os.Getenv("PATH"))
	return orintest.Boot(t, c)
}

// mustBoot fails unless Linux comes up on the slot.
func (o *orin) mustBoot(t *testing.T, slot string, options ...string) string {
	t.Helper()
	up, timeline := o.boot(t, options...)
	if !up {
		t.Fatalf("the device does not come up:\n%s", timeline)
	}
	if s := o.status(t); s.Current != slot {
		t.Fatalf("slot %s runs, want %s:\n%s\nverify: %s", s.Current, slot, timeline, o.verdict())
	}
	return timeline
}

// mustNotBoot fails if Linux comes up.
func (o *orin) mustNotBoot(t *testing.T, options ...string) string {
	t.Helper()
	up, timeline := o.boot(t, options...)
	if up {
		t.Fatalf("virtual-orin boot %v came up:\n%s", options, timeline)
	}
	return timeline
}

// verdict is what tegra-boot-verify run printed last.
func (o *orin) verdict() string {
	b, err := os.ReadFile(o.path("verify.json"))
	if err != nil {
		return "did not run"
	}
	return string(b)
}

// committed says whether the stamp for tegra-ota-committed.target exists.
func (o *orin) committed() bool {
	_, err := os.Stat(o.path("run/tegra-ota/committed"))
	return err == nil
}

// variable sets a UEFI variable behind tegra-ota's back.
func (o *orin) variable(t *testing.T, name, vendor string, data ...byte) {
	t.Helper()
	write(t, o.path("sys/firmware/efi/efivars", name+"-"+vendor), append([]byte{7, 0, 0, 0}, data...))
}

func (o *orin) hasVariable(name, vendor string) bool {
	_, err := os.Stat(o.path("sys/firmware/efi/efivars", name+"-"+vendor))
	return err == nil
}

// capsule builds firmware for this module, or another, at an L4T version.
func capsule(t *testing.T, l4t string, options ...string) []byte {
	t.Helper()
	return capsules.of(t, l4t, options...)
}

// image is a new root file system, larger than a socket's buffer: SWUpdate before 2024.12 may ask for the status of an update
// that it has sent before the installer has begun, and then calls it failed (fixed by SWUpdate's commit e6b2081b).
func (o *orin) image(t *testing.T) []byte {
	t.Helper()
	return random(3<<20 + 512)
}

func other(slot string) string { return orintest.Other(slot) }
