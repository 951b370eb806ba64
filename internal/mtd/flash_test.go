package mtd_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
)

func TestCheckNOR(t *testing.T) {
	good := mtd.Info{Type: 3, Flags: 0xc00, Size: 64 << 20, EraseSize: 64 << 10, WriteSize: 1}
	if err := mtd.CheckNOR("/dev/mtd0", good); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*mtd.Info){
		"RAM":         func(i *mtd.Info) { i.Type, i.Flags = 1, 0x1c00 },
		"ROM":         func(i *mtd.Info) { i.Type = 2 },
		"it is NAND":  func(i *mtd.Info) { i.Type, i.Flags = 4, 0x400 },
		"MLC NAND":    func(i *mtd.Info) { i.Type = 8 },
		"MTD type 6":  func(i *mtd.Info) { i.Type = 6 },
		"read-only":   func(i *mtd.Info) { i.Flags = 0x800 },
		"bit by bit":  func(i *mtd.Info) { i.Flags = 0x400 },
		"be erased":   func(i *mtd.Info) { i.Flags = 0x1c00 },
		"of 0 bytes":  func(i *mtd.Info) { i.EraseSize = 0 },
		"100 bytes":   func(i *mtd.Info) { i.Size = 100 },
		"0 bytes are": func(i *mtd.Info) { i.Size = 0 },
	} {
		i := good
		change(&i)
		err := mtd.CheckNOR("/dev/mtd0", i)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/dev/mtd0") {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// answers is a driver whose answers a test chooses.
type answers struct {
	mtd.Driver
	write  func(p []byte, off int64) (int, error)
	unlock error
}

func (a answers) WriteAt(p []byte, off int64) (int, error) { return a.write(p, off) }
func (a answers) MemUnlock(off, length int64) error        { return a.unlock }

func memory(t *testing.T, c nor.Config) *nor.Chip {
	t.Helper()
	chip, err := nor.New(c)
	must(t, err)
	return chip
}

// A write that stops says from where on bytes may have been programmed, and is never taken for a whole one.
func TestProgramReportsShortWrites(t *testing.T) {
	chip := memory(t, nor.Config{Size: 1 << 20})
	for _, tt := range []struct {
		name  string
		write func(p []byte, off int64) (int, error)
		cause error
		from  string
	}{
		{"EIO in the middle", func(p []byte, off int64) (int, error) { return 0, unix.EIO }, unix.EIO, "bytes from 0x1000 on may"},
		{"nothing", func(p []byte, off int64) (int, error) { return 0, nil }, nil, "bytes from 0x1000 on may"},
		{"-1", func(p []byte, off int64) (int, error) { return -1, unix.EIO }, unix.EIO, "bytes from 0x1000 on may"},
		{"short, then ENOSPC", func(p []byte, off int64) (int, error) {
			if off == 0x1000 {
				return 0x300, nil
			}
			return 0, unix.ENOSPC
		}, unix.ENOSPC, "bytes from 0x1300 on may"},
	} {
		f := mtd.On(device.New(t.TempDir()), "/dev/mtd0", answers{Driver: chip, write: tt.write})
		err := f.Program(make([]byte, 0x800), 0x1000)
		if fail.CodeOf(err) != fail.IO || !errors.Is(err, tt.cause) && tt.cause != nil || !strings.Contains(err.Error(), tt.from) ||
			!strings.Contains(err.Error(), "cannot program 2048 bytes of /dev/mtd0 at 0x1000") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// Short counts that go on are no error.
	f := mtd.On(device.New(t.TempDir()), "/dev/mtd0", answers{Driver: chip, write: func(p []byte, off int64) (int, error) {
		return chip.WriteAt(p[:min(len(p), 100)], off)
	}})
	must(t, f.Program([]byte(strings.Repeat("x", 0x800)), 0x1000))
	b := make([]byte, 0x801)
	if _, err := f.ReadAt(b, 0x1000); err != nil || string(b) != strings.Repeat("x", 0x800)+"\xff" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestUnlockTakesNotSupportedForAnAnswer(t *testing.T) {
	for answer, code := range map[error]fail.Code{
		nil: fail.OK, unix.EOPNOTSUPP: fail.OK, nor.ENOTSUPP: fail.OK, unix.EIO: fail.IO, unix.EPERM: fail.Permission, unix.EINVAL: fail.IO,
	} {
		f := mtd.On(device.New(t.TempDir()), "/dev/mtd0", answers{Driver: memory(t, nor.Config{Size: 1 << 20}), unlock: answer})
		if err := f.Unlock(0, 1<<20); fail.CodeOf(err) != code {
			t.Errorf("%v: %v", answer, err)
		}
	}
}

// A power cut in the chip is one of the whole machine, without a deadlock between the two.
func TestChipCutsTheMachine(t *testing.T) {
	chip, fault := memory(t, nor.Config{Size: 1 << 20}), &device.Fault{}
	m := device.New(t.TempDir()).WithFault(fault)
	chip.OnCut(fault.Cut)
	chip.CutAfter(3)
	f := mtd.On(m, "/dev/mtd0", chip)
	if err := f.Program(make([]byte, 1024), 0); !errors.Is(err, device.ErrPowerCut) || !fault.WasCut() {
		t.Errorf("%v, cut %v", err, fault.WasCut())
	}
	if err := m.MkdirAll("/data", 0o755); !errors.Is(err, device.ErrPowerCut) {
		t.Errorf("another change afterwards: %v", err)
	}
	if _, err := f.ReadAt(make([]byte, 1), 0); !errors.Is(err, device.ErrPowerCut) {
		t.Errorf("reading afterwards: %v", err)
	}
}

func TestOpenRefusesWhatIsNoFlash(t *testing.T) {
	m := folder(t, 1<<20, "")
	must(t, os.Mkdir(m.Path("/dev/folder"), 0o755))
	must(t, os.Symlink("/dev/null", m.Path("/dev/null")))
	must(t, os.WriteFile(m.Path("/dev/odd"), make([]byte, 100), 0o600))
	for node, cause := range map[string]error{"/dev/mtd1": fs.ErrNotExist, "/dev/null": unix.ENOTTY, "/dev/folder": unix.EISDIR, "/dev/odd": nil} {
		f, err := mtd.Open(m, node)
		if f != nil || fail.CodeOf(err) != fail.Unavailable || cause != nil && !errors.Is(err, cause) || !strings.Contains(err.Error(), node) {
			t.Errorf("%s: %v", node, err)
		}
	}
	// On the running system, a file is no chip, whatever it is called.
	if f, err := mtd.Open(device.New("/"), m.Path("/dev/mtd0")); f != nil || !errors.Is(err, unix.ENOTTY) {
		t.Errorf("a file of the running system: %v", err)
	}
	for _, size := range []string{"0", "-4096", "x", "", "3000"} {
		if f, err := mtd.Open(folder(t, 1<<20, size+"\n"), "/dev/mtd0"); f != nil || fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("erase size %q: %v", size, err)
		}
	}
	f, err := mtd.Open(folder(t, 1<<20, "4096\n"), "/dev/mtd0")
	must(t, err)
	defer f.Close()
	if got := f.Info().EraseSize; got != 4096 {
		t.Errorf("erase size %d", got)
	}
}

// The driver refuses every change through the node that is for reading, so that one is taken where it exists.
func TestOpenReadOnlyTakesTheNodeForReading(t *testing.T) {
	m := folder(t, 1<<20, "4096\n")
	must(t, os.WriteFile(m.Path("/dev/mtd0ro"), make([]byte, 1<<20), 0o400))
	must(t, os.WriteFile(m.Path("/dev/mtd0"), []byte(strings.Repeat("x", 1<<20)), 0o600))
	for _, want := range []byte{0, 'x'} {
		if want == 'x' {
			must(t, os.Remove(m.Path("/dev/mtd0ro")))
		}
		f, err := mtd.OpenReadOnly(m, "/dev/mtd0")
		must(t, err)
		b := []byte{1}
		if _, err := f.ReadAt(b, 0); err != nil || b[0] != want || f.Info().EraseSize != 4096 {
			t.Errorf("want %q: %q, %v, %+v", want, b, err, f.Info())
		}
		must(t, f.Close())
	}
}
