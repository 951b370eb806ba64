package rauc_test

import (
	"encoding/json"
	"fmt"
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

// libexec is where make install puts the executables.
const libexec = "usr/libexec/tegra-ota"

// appSize is that of both root file systems.
const appSize = 5 << 20

// orin is a virtual Jetson with RAUC on it.
type orin struct {
	dir      string // the device
	tmp      string // beside it: bus, logs, bundles
	userland string // what runs when Linux is up, a shell command
	bus      string // D-Bus address
	service  *service
	bundles  int
}

// newOrin makes a device that runs from slot A, with everything that make install and examples/rauc put on it.
func newOrin(t *testing.T, options ...string) *orin {
	t.Helper()
	installed(t)
	// Not t.TempDir: a socket's path must be shorter than 108 bytes.
	tmp, err := os.MkdirTemp("", "rauc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	if err := os.Chmod(tmp, 0o755); err != nil { // a case asks as a user without privilege
		t.Fatal(err)
	}
	o := &orin{tmp: tmp, dir: filepath.Join(tmp, "orin"), userland: userland}
	tool(t, suite.orin, append([]string{"create", o.dir, "--app-size", fmt.Sprint(appSize)}, options...)...)
	tool(t, "cp", "-al", suite.layout+"/.", o.dir)
	o.loops(t)
	o.configure(t)
	o.observed(t)
	return o
}

func (o *orin) path(elem ...string) string { return filepath.Join(append([]string{o.dir}, elem...)...) }

// app is the node of a slot's root file system.
func (o *orin) app(slot string) string {
	return o.path("dev/disk/by-partlabel", map[string]string{"A": "APP", "B": "APP_b"}[slot])
}

// loops moves both root file systems to block devices of the kernel: RAUC writes ext4 to nothing else.
func (o *orin) loops(t *testing.T) {
	t.Helper()
	for _, slot := range []string{"A", "B"} {
		backing := filepath.Join(o.tmp, "slot"+slot)
		write(t, backing, read(t, o.app(slot)))
		node := strings.TrimSpace(tool(t, "losetup", "-f", "--show", backing))
		t.Cleanup(func() { tool(t, "losetup", "-d", node) })
		if err := os.Remove(o.app(slot)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(node, o.app(slot)); err != nil {
			t.Fatal(err)
		}
	}
}

// configure puts RAUC's configuration in place: the example, with the device's paths below its folder.
func (o *orin) configure(t *testing.T) {
	t.Helper()
	conf := string(read(t, filepath.Join(suite.layout, examples, "system.conf")))
	// The bundles are plain, because this kernel may lack a device-mapper; verity is for make test-vm.
	conf = strings.Replace(conf, "\nbundle-formats=-plain\n", "\n", 1)
	for _, dir := range []string{"etc/rauc", "data/rauc", "usr/bin"} {
		if err := os.MkdirAll(o.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, o.path("etc/rauc/system.conf"), []byte(strings.ReplaceAll(conf, "=/", "="+o.dir+"/")))
	write(t, o.path("etc/rauc/ca.cert.pem"), read(t, filepath.Join(suite.pki, "ca.cert.pem")))
	program(t, o.path("usr/bin/rauc"), `exec /usr/bin/rauc --conf="`+o.path("etc/rauc/system.conf")+`" "$@"`)
	tool(t, "systemd-tmpfiles", "--root="+o.dir, "--create", "tegra-ota.conf")
}

// labelled is a partition of the disk that belongs to a slot: A_kernel and B_kernel on T234, kernel and kernel_b before.
func (o *orin) labelled(slot, name string) string {
	older := name + map[string]string{"A": "", "B": "_b"}[slot]
	if _, err := os.Stat(o.path("dev/disk/by-partlabel", older)); err == nil {
		return o.path("dev/disk/by-partlabel", older)
	}
	return o.path("dev/disk/by-partlabel", slot+"_"+name)
}

// contents digests all that belongs to a slot: its partitions and its chain in the flash.
func (o *orin) contents(t *testing.T, slot string) map[string]string {
	t.Helper()
	all := map[string]string{"APP": digest(read(t, o.app(slot)))}
	for _, name := range []string{"kernel", "kernel-dtb"} {
		all[name] = digest(read(t, o.labelled(slot, name)))
	}
	err := filepath.WalkDir(o.path("qspi", slot), func(path string, entry fs.DirEntry, err error) error {
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
	return o.runs(t, exec.Command(o.path(libexec, name), args...))
}

// backend runs the boot handler as RAUC does, past the observer.
func (o *orin) backend(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return o.runs(t, exec.Command(o.path(libexec, "real/tegra-boot-handler"), args...))
}

// runs gives a program the environment that RAUC's service has here: nothing but the root.
func (o *orin) runs(t *testing.T, c *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	if c.Env == nil {
		c.Env = []string{"TEGRA_OTA_ROOT=" + o.dir}
	}
	return orintest.Run(t, c)
}

func (o *orin) status(t *testing.T) orintest.Status {
	t.Helper()
	c := exec.Command(o.path(libexec, "tegra-bootctl"), "status", "--json")
	c.Env = []string{"TEGRA_OTA_ROOT=" + o.dir}
	return orintest.ReadStatus(t, c)
}

// variable sets a UEFI variable behind tegra-ota's back.
func (o *orin) variable(name, vendor string) string {
	return o.path("sys/firmware/efi/efivars", name+"-"+vendor)
}

func other(slot string) string { return orintest.Other(slot) }

// unit is a device of a kind, with RAUC on it.
type unit struct {
	*orin
	kind
	sent int // index of the newest version that a bundle was made of
}

// eachKind runs a case on a device of every kind, whose RAUC is up.
func eachKind(t *testing.T, run func(t *testing.T, u *unit)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			parallel(t)
			run(t, newUnit(t, k))
		})
	}
}

func newUnit(t *testing.T, k kind) *unit {
	t.Helper()
	u := &unit{orin: newOrin(t, k.create...), kind: k}
	if k.config != "" {
		write(t, u.path("etc/tegra-ota/config.toml"), []byte(k.config))
	}
	if k.metadata {
		u.describes(t)
	}
	u.start(t)
	u.controlled(t)
	return u
}

// controlled fails unless the kind's backend is the one in use, and status says why.
func (u *unit) controlled(t *testing.T) {
	t.Helper()
	code, out, log := u.control(t, "tegra-bootctl", "status", "--json")
	var s struct {
		Backend string `json:"backend"`
		Reason  string `json:"backend_reason"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
		t.Fatalf("tegra-bootctl status exits %d: %v: %s", code, err, log)
	}
	if s.Backend != u.controls || !strings.Contains(s.Reason, u.says) {
		t.Errorf("the backend is %s because %q, want %s and %q", s.Backend, s.Reason, u.controls, u.says)
	}
}

// describes puts the system.conf in place that the device prints of itself, for bundles of the example's compatible.
func (u *unit) describes(t *testing.T) {
	t.Helper()
	code, out, log := u.control(t, "tegra-bootctl", "rauc-config", "--compatible", "jetson-orin-nano-devkit")
	if code != 0 {
		t.Fatalf("tegra-bootctl rauc-config exits %d: %s", code, log)
	}
	for _, line := range []string{"device=/dev/disk/by-partlabel/APP", "device=/dev/disk/by-partlabel/APP_b", "data-directory=/data/rauc",
		"bootname=A", "bootname=B", "device=/run/tegra-ota/chain-a", "device=/run/tegra-ota/chain-b"} {
		if !strings.Contains(out, "\n"+line+"\n") {
			t.Errorf("rauc-config does not print %s:\n%s%s", line, out, log)
		}
	}
	conf := strings.Replace(out, "\nbundle-formats=-plain\n", "\n", 1)
	write(t, u.path("etc/rauc/system.conf"), []byte(strings.ReplaceAll(conf, "=/", "="+u.dir+"/")))
}
