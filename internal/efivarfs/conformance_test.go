package efivarfs_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
	"golang.org/x/sys/unix"
)

var kernelFolder = flag.String("efivarfs", "", "run TestConformance on the efivarfs that the kernel shows in `folder`: only in the virtual machine of make test-vm")

// TestConformance holds the variable store to its rules: in a plain folder, as all other tests use it, or, with -efivarfs, on a
// kernel's efivarfs over real UEFI firmware. That the same rules hold in both keeps the folder a true stand-in.
func TestConformance(t *testing.T) {
	if *kernelFolder != "" {
		// Never a folder instead: a virtual machine that forgot to mount efivarfs would pass without having tested anything.
		must(t, guest.Efivarfs(*kernelFolder))
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) { rule.holds(t, newPlace(t)) })
	}
	if *kernelFolder == "" {
		return
	}
	for _, rule := range kernelRules {
		t.Run(rule.name, func(t *testing.T) { rule.holds(t, newPlace(t)) })
	}
}

// rule is one thing that callers rely on.
type rule struct {
	name  string
	holds func(t *testing.T, p place)
}

// place is where the variables lie.
type place struct {
	*efivarfs.Store
	m      *device.Machine
	kernel bool // a real efivarfs
}

func newPlace(t *testing.T) place {
	t.Helper()
	if *kernelFolder != "" {
		m := device.New("/")
		p := place{efivarfs.New(m), m, true}
		must(t, p.Available())
		return p
	}
	m, s := folder(t)
	return place{s, m, false}
}

func (p place) host(n efivarfs.Name) string { return filepath.Join(p.m.Path(efivarfs.Dir), n.String()) }

// own is a variable in NVIDIA's namespace that no firmware has, absent before and after the test.
func (p place) own(t *testing.T) efivarfs.Name {
	t.Helper()
	return p.absent(t, efivarfs.Name{Name: "TegraOtaConformance", GUID: efivarfs.Public})
}

// absent takes a variable away, now and after the test.
func (p place) absent(t *testing.T, n efivarfs.Name) efivarfs.Name {
	t.Helper()
	remove := func() {
		if err := p.flag(n, false); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("cleaning up: %v", err)
		}
		if err := os.Remove(p.host(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("cleaning up: %v", err)
		}
	}
	remove()
	t.Cleanup(remove)
	return n
}

// flag sets or clears the immutable flag by hand, not by the code under test.
func (p place) flag(n efivarfs.Name, on bool) error {
	f, err := os.Open(p.host(n))
	if err != nil {
		return err
	}
	defer f.Close()
	const immutable = 0x10
	value, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	if value &^= immutable; on {
		value |= immutable
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(value))
}

// openAndWrite is what a program without our care does: open, one write. No content makes no write.
func (p place) openAndWrite(n efivarfs.Name, content string) error {
	f, err := os.OpenFile(p.host(n), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if content == "" {
		return nil
	}
	_, err = unix.Write(int(f.Fd()), []byte(content))
	return err
}

// byHand creates a variable as another program would. The kernel makes it immutable; in a folder the test plays the kernel.
func (p place) byHand(t *testing.T, n efivarfs.Name, content string) {
	t.Helper()
	must(t, p.openAndWrite(n, content))
	p.protect(t, n)
}

func (p place) protect(t *testing.T, n efivarfs.Name) {
	t.Helper()
	if p.kernel {
		return
	}
	if err := p.flag(n, true); err != nil {
		t.Fatalf("this test needs root and a file system with the immutable flag (set TMPDIR): %v", err)
	}
}

// phantom makes the file that a failed first write leaves. Kernels from 6.14 on take it away by themselves.
func (p place) phantom(t *testing.T, n efivarfs.Name, content string) {
	t.Helper()
	if err := p.openAndWrite(n, content); p.kernel && content != "" && !errors.Is(err, unix.EINVAL) || !p.kernel && err != nil {
		t.Fatalf("a first write of %d bytes: %v", len(content), err)
	}
	if p.kernel && !p.m.Exists(efivarfs.Dir+"/"+n.String()) {
		t.Log("this kernel leaves no phantom")
		return
	}
	p.protect(t, n)
}

func (p place) wantContent(t *testing.T, n efivarfs.Name, want string) {
	t.Helper()
	if got := bytesOf(t, p.m, n); got != want {
		t.Errorf("the file of %s holds %x, want %x", n.Name, got, want)
	}
}

func (p place) wantAbsent(t *testing.T, n efivarfs.Name) {
	t.Helper()
	if _, err := os.Lstat(p.host(n)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", n.Name, err)
	}
	if _, err := p.Read(n); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading the absent %s: %v", n.Name, err)
	}
}

// wantProtected: the immutable flag is set, and it protects.
func (p place) wantProtected(t *testing.T, n efivarfs.Name) {
	t.Helper()
	if !isImmutable(t, p.host(n)) {
		t.Errorf("%s is not immutable", n.Name)
	}
	if err := p.openAndWrite(n, "\x07\x00\x00\x00x"); !errors.Is(err, unix.EPERM) {
		t.Errorf("a careless write to %s: %v, want EPERM", n.Name, err)
	}
	if err := os.Remove(p.host(n)); !errors.Is(err, unix.EPERM) {
		t.Errorf("a careless removal of %s: %v, want EPERM", n.Name, err)
	}
}

// readOnly remounts efivarfs; in a folder the list of mounts says so, and nothing else can.
func (p place) readOnly(t *testing.T) {
	t.Helper()
	if p.kernel {
		must(t, unix.Mount("", efivarfs.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		t.Cleanup(func() { must(t, unix.Mount("", efivarfs.Dir, "", unix.MS_REMOUNT, "")) })
		return
	}
	must(t, os.MkdirAll(p.m.Path("/proc/self"), 0o755))
	line := "24 1 0:30 / " + efivarfs.Dir + " ro - efivarfs efivarfs ro\n"
	must(t, os.WriteFile(p.m.Path("/proc/self/mountinfo"), []byte(line), 0o644))
}

// content is a variable's file.
func content(attributes uint32, data string) string {
	return string(binary.LittleEndian.AppendUint32(nil, attributes)) + data
}

// long is data that no page or buffer ends within by chance, and that the smallest firmware takes (AAVMF: 1 KiB and
// more, below 8 KiB).
var long = strings.Repeat("tegra-ota 16 by\n", 64)
