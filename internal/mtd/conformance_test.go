package mtd_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/mtdtest"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"github.com/tegra-ota/tegra-ota/vm/guest"
	"golang.org/x/sys/unix"
)

var kernelName = flag.String("mtd", "", "run these tests on the kernel's MTD device `name`: only in the virtual machine of make test-vm")

var kernelLocks = flag.Bool("mtd-locks", false, "the kernel's device has locks")

// kernelNode is the node of the device that -mtd names. The tests overwrite it, which on anybody's computer may be boot flash: they
// run on a kernel's device in the virtual machine alone.
func kernelNode(t *testing.T) (*device.Machine, string) {
	t.Helper()
	_, err := guest.Boot()
	must(t, err)
	m := device.New("/")
	parts, err := mtd.List(m)
	must(t, err)
	for _, p := range parts {
		if p.Name == *kernelName {
			return m, p.Node
		}
	}
	t.Fatalf("the kernel lists no %q: %+v", *kernelName, parts)
	return nil, ""
}

// TestConformance holds flash devices to their rules: the model, in memory and as a folder's file, or, with -mtd, the kernel's spi-nor
// driver on an emulated chip.
func TestConformance(t *testing.T) {
	if *kernelName != "" {
		m, node := kernelNode(t)
		d := mtdtest.Device{Machine: m, Node: node, Open: opener(node), Driver: driver(t, m, node), UnlockAnswer: unix.EOPNOTSUPP}
		if *kernelLocks {
			d.UnlockAnswer = nil
		}
		mtdtest.Conformance(t, d)
		return
	}
	for name, c := range map[string]nor.Config{
		"64 KiB blocks":       {Size: 2 << 20},
		"4 KiB blocks":        {Size: 64 << 10, EraseSize: 4 << 10},
		"strict, 256 KiB":     {Size: 4 << 20, EraseSize: 256 << 10, Strict: true},
		"locked":              {Size: 1 << 20, Locked: true},
		"no locks":            {Size: 1 << 20, UnlockAnswer: unix.EOPNOTSUPP},
		"no locks, otherwise": {Size: 1 << 20, UnlockAnswer: nor.ENOTSUPP},
	} {
		t.Run(name, func(t *testing.T) {
			chip, err := nor.New(c)
			must(t, err)
			mtdtest.Conformance(t, mtdtest.Device{
				Machine: device.New(t.TempDir()), Node: "/dev/mtd0", Driver: chip, Strict: c.Strict, UnlockAnswer: c.UnlockAnswer,
				Open: func(m *device.Machine) (mtd.Flash, error) { return mtd.On(m, "/dev/mtd0", chip), nil },
			})
		})
	}
	t.Run("file", func(t *testing.T) {
		m := folder(t, 1<<20, "65536\n")
		mtdtest.Conformance(t, mtdtest.Device{Machine: m, Node: "/dev/mtd0", Open: opener("/dev/mtd0"), Driver: driver(t, m, "/dev/mtd0")})
	})
}

func opener(node string) func(*device.Machine) (mtd.Flash, error) {
	return func(m *device.Machine) (mtd.Flash, error) { return mtd.Open(m, node) }
}

func driver(t *testing.T, m *device.Machine, node string) mtd.Driver {
	t.Helper()
	f, err := mtd.Open(m, node)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	return mtd.DriverOf(f)
}

// folder is a machine with a chip of size bytes at /dev/mtd0; eraseSize "" leaves sys/class/mtd out.
func folder(t *testing.T, size int64, eraseSize string) *device.Machine {
	t.Helper()
	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "dev"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "dev/mtd0"), nil, 0o600))
	must(t, os.Truncate(filepath.Join(root, "dev/mtd0"), size))
	if eraseSize != "" {
		must(t, os.MkdirAll(filepath.Join(root, "sys/class/mtd/mtd0"), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "sys/class/mtd/mtd0/erasesize"), []byte(eraseSize), 0o644))
	}
	return device.New(root)
}

// TestReadOnly: what is opened for reading cannot be changed, by this package and by the kernel, and leaves no trace.
func TestReadOnly(t *testing.T) {
	m, node := folder(t, 1<<20, ""), "/dev/mtd0"
	if *kernelName != "" {
		m, node = kernelNode(t)
	}
	rw, err := mtd.Open(m, node)
	must(t, err)
	defer rw.Close()
	must(t, rw.Erase(0, rw.Info().EraseSize))
	must(t, rw.Program([]byte("kept"), 0))
	ro, err := mtd.OpenReadOnly(m, node)
	must(t, err)
	defer ro.Close()
	if ro.Info() != rw.Info() {
		t.Errorf("%+v, want %+v", ro.Info(), rw.Info())
	}
	size := ro.Info().EraseSize
	for verb, err := range map[string]error{"program": ro.Program([]byte{0}, 0), "erase": ro.Erase(0, size), "unlock": ro.Unlock(0, size)} {
		if !errors.Is(err, unix.EBADF) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	d := mtd.DriverOf(ro)
	if n, err := d.WriteAt([]byte{0}, 0); n > 0 || err == nil {
		t.Errorf("the kernel: %d, %v", n, err)
	}
	if err := d.MemErase(0, size); err == nil {
		t.Error("the kernel erased what was opened for reading")
	}
	b := make([]byte, 4)
	if _, err := ro.ReadAt(b, 0); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestListed: the kernel's list and the device agree. Outside the virtual machine, the list is one that it printed.
func TestListed(t *testing.T) {
	m, node := folder(t, 1<<20, "65536\n"), "/dev/mtd0"
	if *kernelName != "" {
		m, node = kernelNode(t)
	} else {
		must(t, os.MkdirAll(m.Path("/proc"), 0o755))
		text := "dev:    size   erasesize  name\nmtd0: 00100000 00010000 \"bmc\"\nmtd1: 04000000 00010000 \"pnor\"\n"
		must(t, os.WriteFile(m.Path("/proc/mtd"), []byte(text), 0o644))
	}
	parts, err := mtd.List(m)
	must(t, err)
	f, err := mtd.Open(m, node)
	must(t, err)
	defer f.Close()
	i := slices.IndexFunc(parts, func(p mtd.Partition) bool { return p.Node == node })
	if i < 0 || parts[i].Size != f.Info().Size || parts[i].EraseSize != f.Info().EraseSize {
		t.Errorf("%s is %+v, and listed are %+v", node, f.Info(), parts)
	}
}

// TestReadOnlyPartition: a partition that the device tree keeps read-only is the device's condition, not a lack of privilege, which
// the kernel's EACCES looks like. It can be read.
func TestReadOnlyPartition(t *testing.T) {
	m, node := folder(t, 1<<20, ""), "/dev/mtd0"
	if *kernelName != "" {
		m, node = kernelNode(t)
	} else {
		must(t, os.MkdirAll(m.Path("/sys/class/mtd/mtd0"), 0o755))
		must(t, os.WriteFile(m.Path("/sys/class/mtd/mtd0/flags"), []byte("0x800\n"), 0o644))
	}
	if f, err := mtd.Open(m, node); f != nil || fail.CodeOf(err) != fail.Unavailable || fail.NextOf(err) == "" {
		t.Errorf("%v", err)
	}
	f, err := mtd.OpenReadOnly(m, node)
	must(t, err)
	defer f.Close()
	if _, err := f.ReadAt(make([]byte, 512), 0); err != nil {
		t.Error(err)
	}
}

// TestLockedChip: a locked chip loses what is done to it, and reading back is what tells; Unlock is the cure. The last 64 KiB are
// what every chip with locks can lock alone.
func TestLockedChip(t *testing.T) {
	var f mtd.Flash
	if *kernelName != "" {
		m, node := kernelNode(t)
		var err error
		f, err = mtd.Open(m, node)
		must(t, err)
		defer f.Close()
		must(t, f.Unlock(0, f.Info().Size))
		must(t, f.Erase(f.Info().Size-64<<10, 64<<10))
		must(t, mtd.Lock(f, f.Info().Size-64<<10, 64<<10))
	} else {
		f = mtd.On(device.New(t.TempDir()), "/dev/mtd0", memory(t, nor.Config{Size: 1 << 20, Locked: true}))
	}
	last := f.Info().Size - 64<<10
	holds := func(want byte) {
		t.Helper()
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, last+100); err != nil || b[0] != want {
			t.Errorf("holds %#x (%v), want %#x", b[0], err, want)
		}
	}
	must(t, f.Program(make([]byte, 512), last)) // no word of it
	holds(0xff)
	if err := f.Unlock(last, 64<<10); *kernelName == "" || !errors.Is(err, unix.EIO) {
		must(t, err)
	} // QEMU 7.2 unlocks, but the driver's own look at the status register differs for once: EIO
	must(t, f.Program(make([]byte, 512), last))
	holds(0)
	must(t, f.Unlock(last, 64<<10))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
