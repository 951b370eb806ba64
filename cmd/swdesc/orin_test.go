package main_test

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// swdesc runs the program and fails unless it exits with the code.
func swdesc(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	code, out, log := orintest.Run(t, exec.Command(filepath.Join(suite.bin, "swdesc"), args...))
	if code != want {
		t.Fatalf("swdesc %s: exit %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, log)
	}
	return out, log
}

// runWatched runs a program and returns the most memory it had in use, in bytes. What wait4 says of it would include this process,
// out of which it was started (Linux: fs/exec.c keeps the old address space's maximum).
func runWatched(t *testing.T, c *exec.Cmd) (peak int64, err error) {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid)); err == nil {
			if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok {
				var kib int64
				_, _ = fmt.Sscan(rest, &kib) // 0 of a process that ends just now
				peak = max(peak, kib<<10)
			}
		}
		select {
		case err := <-done:
			return peak, err
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// deviceTree is an empty one: header, no reservation, one node and the strings (Devicetree specification 0.4, section 5).
func deviceTree() []byte {
	b := make([]byte, 80)
	for i, v := range []uint32{0xd00dfeed, 80, 56, 72, 40, 17, 16, 0, 8, 16} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	for i, v := range []uint32{1, 0, 2, 9} {
		binary.BigEndian.PutUint32(b[56+4*i:], v)
	}
	copy(b[72:], "status\x00")
	return b
}

const kernelRelease = "5.15.148-tegra"

// rootfs makes an ext4 image as a release of L4T would have one, with content that does not compress: SWUpdate 2022.12 with -i
// needs an update that is larger than a socket's buffer (its commit e6b2081b).
func rootfs(t *testing.T, path, l4t string) {
	t.Helper()
	dir := t.TempDir()
	branch, revision, _ := strings.Cut(l4t, ".")
	write(t, filepath.Join(dir, "etc/nv_tegra_release"), []byte("# R"+branch+" (release), REVISION: "+revision+", GCID: 1, BOARD: generic\n"))
	write(t, filepath.Join(dir, "boot/Image"), []byte(strings.Repeat("\x00", 64)+"Linux version "+kernelRelease+" (x@y)\x00"))
	write(t, filepath.Join(dir, "lib/modules", kernelRelease, "modules.dep"), []byte("\n"))
	noise := make([]byte, 3500<<10)
	_, _ = rand.Read(noise) // never fails: crypto/rand
	write(t, filepath.Join(dir, "noise"), noise)
	tool(t, "mkfs.ext4", "-q", "-d", dir, path, "6M")
}

// releaseFolder makes a folder with release.toml, a root file system and firmware.
func releaseFolder(t *testing.T, l4t, options string) string {
	t.Helper()
	dir := t.TempDir()
	rootfs(t, filepath.Join(dir, "rootfs.ext4"), l4t)
	tool(t, filepath.Join(suite.bin, "virtual-orin"), "capsule", "-o", filepath.Join(dir, "TEGRA_BL.Cap"), "--l4t", l4t)
	write(t, filepath.Join(dir, "release.toml"), []byte(`version = "1.5.0"
`+options+`
[hardware]
boards = ["p3767-0005"]
compatible = "jetson-orin-nano-devkit"
revisions = ["1.0"]
[[component]]
type = "rootfs"
file = "rootfs.ext4"
compression = "zstd"
[[component]]
type = "firmware"
file = "TEGRA_BL.Cap"
`))
	return dir
}

// orin is a virtual Jetson with Debian's swupdate.
type orin struct{ dir, tmp string }

func newOrin(t *testing.T) *orin {
	t.Helper()
	// Not t.TempDir: a socket's path must be shorter than 108 bytes.
	tmp, err := os.MkdirTemp("", "swu")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	o := &orin{dir: filepath.Join(t.TempDir(), "orin"), tmp: tmp}
	tool(t, filepath.Join(suite.bin, "virtual-orin"), "create", o.dir, "--app-size", "8M")
	return o
}

// swupdate runs the real program on the device.
func (o *orin) swupdate(t *testing.T, args ...string) (code int, log string) {
	t.Helper()
	c := exec.Command("swupdate", append([]string{"-v", "-k", suite.cert, "-H", "orin:1.0"}, args...)...)
	c.Dir = o.tmp
	c.Env = append(os.Environ(), "TMPDIR="+o.tmp, "LUA_PATH="+suite.source+"/handlers/swupdate/?.lua;;", "TEGRA_OTA_LIBEXEC="+suite.bin,
		"TEGRA_OTA_ROOT="+o.dir)
	code, log, err := orintest.Contained(c, 3*time.Minute)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return code, log
}

// installs checks and installs an update, then reboots into it.
func (o *orin) installs(t *testing.T, swu, slot string, options ...string) {
	t.Helper()
	for _, how := range []string{"-c", ""} {
		args := append([]string{"-i", swu}, options...)
		if how != "" {
			args = append([]string{how}, args...)
		}
		if code, log := o.swupdate(t, args...); code != 0 {
			t.Fatalf("swupdate %s exits %d:\n%s", how, code, errorsOf(log))
		}
	}
	c := exec.Command(filepath.Join(suite.bin, "virtual-orin"), "boot", o.dir, "--json", "--userspace",
		`tegra-boot-verify count && { [ "$VIRTUAL_ORIN_STAGE" = early ] || tegra-boot-verify run; }`)
	c.Env = append(os.Environ(), "PATH="+suite.bin+":"+os.Getenv("PATH"))
	if up, timeline := orintest.Boot(t, c); !up {
		t.Fatalf("the device does not come up:\n%s", timeline)
	}
	s := o.status(t)
	if s.Current != slot || s.Update.State != "committed" {
		t.Fatalf("slot %s runs, the update is %s: %+v", s.Current, s.Update.State, s.Verdict)
	}
}

func (o *orin) status(t *testing.T) orintest.Status {
	t.Helper()
	c := exec.Command(filepath.Join(suite.bin, "tegra-bootctl"), "status", "--json")
	c.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+o.dir)
	return orintest.ReadStatus(t, c)
}

// app is what a slot's root file system holds.
func (o *orin) app(t *testing.T, slot string) []byte {
	t.Helper()
	return read(t, filepath.Join(o.dir, "dev/disk/by-partlabel", map[string]string{"A": "APP", "B": "APP_b"}[slot]))
}

var errorLine = regexp.MustCompile(`(?m)^.*(ERROR|tegra-|Lua).*$`)

// errorsOf are the lines of SWUpdate's log that a person would read first.
func errorsOf(log string) string { return strings.Join(errorLine.FindAllString(log, -1), "\n") }

// fields reads a JSON report.
func fields(t *testing.T, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return m
}
