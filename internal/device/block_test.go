package device_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"golang.org/x/sys/unix"
)

// loop attaches a file of size bytes to a loop device and returns both paths.
func loop(t *testing.T, size int64) (dev, backing string) {
	t.Helper()
	backing = filepath.Join(t.TempDir(), "backing")
	f, err := os.Create(backing)
	must(t, err)
	must(t, f.Truncate(size))
	must(t, f.Close())
	out, err := exec.Command("losetup", "--find", "--show", backing).CombinedOutput()
	if err != nil {
		t.Fatalf("this test needs root and loop devices: losetup: %v: %s", err, out)
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", dev).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %v: %s", dev, err, out)
		}
	})
	return dev, backing
}

func TestBlockKeepsItsSize(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/p", "0123456789")
	b, err := device.New(root).OpenBlock("/p")
	must(t, err)
	defer b.Close()
	if b.Size() != 10 {
		t.Errorf("size %d", b.Size())
	}
	for _, tt := range []struct {
		off int64
		n   int
	}{{10, 1}, {9, 2}, {0, 11}, {-1, 1}, {math.MaxInt64, 1}, {math.MaxInt64 - 1, 4}} {
		n, err := b.WriteAt(make([]byte, tt.n), tt.off)
		if n != 0 || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%d bytes at %d: %d, %v", tt.n, tt.off, n, err)
		}
	}
	if n, err := b.WriteAt([]byte("89"), 8); n != 2 || err != nil {
		t.Errorf("the last bytes: %d, %v", n, err)
	}
	if n, err := b.WriteAt(nil, 10); n != 0 || err != nil {
		t.Errorf("nothing at the end: %d, %v", n, err)
	}
	must(t, b.Sync())
	must(t, b.DropCache())
	if got := tree(t, root)["/p"]; got != "0123456789" {
		t.Errorf("%q", got)
	}
}

func TestOpenBlockRefusesWhatIsNoPartition(t *testing.T) {
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "d"), 0o755))
	must(t, os.Symlink("/dev/null", filepath.Join(root, "null")))
	m := device.New(root)
	for path, want := range map[string]error{"/d": unix.ENOTBLK, "/null": unix.ENOTBLK, "/absent": fs.ErrNotExist} {
		if _, err := m.OpenBlock(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

// A read after DropCache comes from the storage: a byte that was flipped behind the device's back is seen. Without it, it is not,
// or this test would prove nothing.
func TestDropCacheOnALoopDevice(t *testing.T) {
	const size = 1 << 20
	dev, backing := loop(t, size)
	root := t.TempDir()
	must(t, os.Symlink(dev, filepath.Join(root, "APP_b")))
	b, err := device.New(root).OpenBlock("/APP_b")
	must(t, err)
	defer b.Close()
	if b.Size() != size {
		t.Fatalf("size %d", b.Size())
	}
	want := bytes.Repeat([]byte{0xa5}, size)
	if _, err := b.WriteAt(want, 0); err != nil {
		t.Fatal(err)
	}
	must(t, b.Sync())

	f, err := os.OpenFile(backing, os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	if _, err := f.WriteAt([]byte{0x5a}, 12345); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, size)
	if _, err := b.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatal("the flipped byte was seen through the cache; this test cannot tell anything")
	}
	must(t, b.DropCache())
	if _, err := b.ReadAt(got, 0); err != nil {
		t.Fatal(err)
	}
	if got[12345] != 0x5a {
		t.Error("the read after DropCache came from the cache")
	}
}

func TestOpenBlockIsExclusive(t *testing.T) {
	dev, _ := loop(t, 1<<20)
	m := device.New("/")
	b, err := m.OpenBlock(dev)
	must(t, err)
	if _, err := m.OpenBlock(dev); !errors.Is(err, unix.EBUSY) {
		t.Errorf("a second opening: %v, want EBUSY", err)
	}
	must(t, b.Close())
	b, err = m.OpenBlock(dev)
	must(t, err)
	must(t, b.Close())
}

func TestSameDevice(t *testing.T) {
	dev, backing := loop(t, 1<<20)
	other, _ := loop(t, 1<<20)
	dir := t.TempDir()
	node, link, file := filepath.Join(dir, "node"), filepath.Join(dir, "link"), filepath.Join(dir, "file")
	var st unix.Stat_t
	must(t, unix.Stat(dev, &st))
	must(t, unix.Mknod(node, unix.S_IFBLK|0o600, int(st.Rdev)))
	must(t, os.Symlink(dev, link))
	write(t, dir, "/file", "")
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{dev, dev, true}, {dev, node, true}, {dev, link, true}, {file, file, true},
		{dev, other, false}, {dev, backing, false}, {file, backing, false}, {dev, filepath.Join(dir, "absent"), false},
	} {
		if got := device.SameDevice(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s: %v", tt.a, tt.b, got)
		}
	}
}

// A cut takes back what was written to a partition since its last sync, in the right order where writes overlap.
func TestBlockLosesUnsyncedWrites(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/p", "0123456789")
	fault := &device.Fault{Loss: device.LoseUnsynced}
	b, err := device.New(root).WithFault(fault).OpenBlock("/p")
	must(t, err)
	for _, w := range []struct {
		text string
		off  int64
		sync bool
	}{{"AA", 0, true}, {"BBBB", 1, false}, {"CCCC", 3, false}} {
		_, err := b.WriteAt([]byte(w.text), w.off)
		must(t, err)
		if w.sync {
			must(t, b.Sync())
		}
	}
	must(t, b.Close())
	fault.Cut()
	if got := tree(t, root)["/p"]; got != "AA23456789" {
		t.Errorf("%q", got)
	}
}
