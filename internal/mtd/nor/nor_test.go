package nor_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// A cut in the n-th operation leaves those before it done, that one half done, and nothing after it; the chip is silent until it
// has power again.
func TestCutLeavesHalfAnOperation(t *testing.T) {
	const block, page = 4096, 256
	for _, tt := range []struct {
		name   string
		cut    int
		zeros  int // bytes programmed from 0 on
		erased int // bytes erased from the second block on
	}{
		{"first page", 1, page / 2, 0},
		{"third page", 3, 2*page + page/2, 0},
		{"last page", 16, block - page/2, 0},
		{"first erase", 17, block, block / 2},
		{"second erase", 18, block, block + block/2},
		{"never", 19, block, 2 * block},
	} {
		c := chip(t, nor.Config{Size: 8 * block, EraseSize: block})
		put(t, c, bytes.Repeat([]byte{0x55}, 2*block), block)
		before := c.Counts()
		c.CutAfter(tt.cut)
		_, writeErr := c.WriteAt(make([]byte, block), 0)
		eraseErr := c.MemErase(block, 2*block)
		cut, cutWriting := tt.cut <= 18, tt.cut <= 16
		if c.WasCut() != cut || errors.Is(eraseErr, device.ErrPowerCut) != cut || errors.Is(writeErr, device.ErrPowerCut) != cutWriting {
			t.Errorf("%s: %v, %v, cut %v", tt.name, writeErr, eraseErr, c.WasCut())
		}
		if c.WasCut() {
			_, readErr := c.ReadAt(make([]byte, 1), 0)
			for verb, err := range map[string]error{"read": readErr, "unlock": c.MemUnlock(0, block)} {
				if !errors.Is(err, device.ErrPowerCut) {
					t.Errorf("%s: %s without power: %v", tt.name, verb, err)
				}
			}
			if done := c.Counts(); done.Programs+done.Erases-before.Programs-before.Erases != tt.cut-1 {
				t.Errorf("%s: %+v operations, before %+v", tt.name, done, before)
			}
		}
		c.PowerOn()
		want := bytes.Repeat([]byte{0xff}, 4*block)
		copy(want, make([]byte, tt.zeros))
		copy(want[block:], bytes.Repeat([]byte{0x55}, 2*block))
		copy(want[block:], bytes.Repeat([]byte{0xff}, tt.erased))
		holds(t, tt.name, c, want)
	}
}

// Whatever is done and wherever it is cut: a program clears bits of its range, an erase sets bits of its blocks, and every bit is
// the old or the new one.
func TestCutLeavesOldOrNewBits(t *testing.T) {
	const size, block = 8192, 1024
	rapid.Check(t, func(t *rapid.T) {
		start := nor.NewMemory()
		fill := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "content")
		_, _ = start.WriteAt(fill, 0)
		torn := rapid.SampledFrom([]nor.Torn{nor.FirstHalf, nor.SomeBits}).Draw(t, "torn")
		c, err := nor.New(nor.Config{Size: size, EraseSize: block, Storage: start, Torn: torn})
		if err != nil {
			t.Fatal(err)
		}
		c.CutAfter(rapid.IntRange(1, 12).Draw(t, "cut"))
		before := read(c, size)
		for i := 0; i < 3 && !c.WasCut(); i++ {
			after := append([]byte(nil), before...)
			if rapid.Bool().Draw(t, "erase") {
				at := rapid.Int64Range(0, 6).Draw(t, "block") * block
				_ = c.MemErase(at, 2*block)
				copy(after[at:], bytes.Repeat([]byte{0xff}, 2*block))
			} else {
				data := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "data")
				at := rapid.Int64Range(0, size-2000).Draw(t, "at")
				_, _ = c.WriteAt(data, at)
				for j, b := range data {
					after[at+int64(j)] &= b
				}
			}
			cut := c.WasCut()
			c.PowerOn()
			got := read(c, size)
			for j := range got {
				if changed := got[j] ^ before[j]; changed&^(after[j]^before[j]) != 0 || !cut && got[j] != after[j] {
					t.Fatalf("at %#x %#x, was %#x, to be %#x, cut %v", j, got[j], before[j], after[j], cut)
				}
			}
			if cut {
				return
			}
			before = got
		}
	})
}

// A torn page differs between the two kinds of tearing, or SomeBits would test nothing more.
func TestSomeBits(t *testing.T) {
	c := chip(t, nor.Config{Size: 64 << 10, Torn: nor.SomeBits})
	c.CutAfter(1)
	_, _ = c.WriteAt(make([]byte, 256), 0)
	c.PowerOn()
	page := read(c, 256)
	mixed := 0
	for _, b := range page {
		if b != 0 && b != 0xff {
			mixed++
		}
	}
	if mixed < 200 {
		t.Errorf("only %d of 256 bytes were torn: %x", mixed, page)
	}
}

func TestFailAfter(t *testing.T) {
	c := chip(t, nor.Config{Size: 128 << 10})
	c.FailAfter(3, unix.EIO)
	if n, err := c.WriteAt(make([]byte, 1024), 0); n != 0 || !errors.Is(err, unix.EIO) {
		t.Errorf("%d, %v", n, err)
	}
	holds(t, "two pages before it", c, append(make([]byte, 512), bytes.Repeat([]byte{0xff}, 1024)...))
	if n, err := c.WriteAt(make([]byte, 1024), 0); n != 1024 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
	c.FailAfter(2, unix.EIO)
	if err := c.MemErase(0, 128<<10); !errors.Is(err, unix.EIO) {
		t.Errorf("%v", err)
	}
	if err := c.MemErase(0, 128<<10); err != nil {
		t.Errorf("again: %v", err)
	}
}

// What is done to a locked block is accepted and lost, block by block.
func TestLocked(t *testing.T) {
	c := chip(t, nor.Config{Size: 256 << 10, Locked: true})
	data := bytes.Repeat([]byte{0x11}, 192<<10)
	put(t, c, data, 0)
	holds(t, "locked", c, bytes.Repeat([]byte{0xff}, 192<<10))
	if got := c.Counts(); got != (nor.Counts{}) {
		t.Errorf("%+v", got)
	}
	must(t, c.MemUnlock(64<<10, 1))
	put(t, c, data, 0)
	want := bytes.Repeat([]byte{0xff}, 192<<10)
	copy(want[64<<10:], data[:64<<10])
	holds(t, "one block unlocked", c, want)
	must(t, c.MemUnlock(0, 0))
	for _, at := range [][2]int64{{-1, 1}, {0, 257 << 10}, {256 << 10, 0}} {
		if err := c.MemUnlock(at[0], at[1]); !errors.Is(err, unix.EINVAL) {
			t.Errorf("unlocking %d bytes at %d: %v", at[1], at[0], err)
		}
	}
	c = chip(t, nor.Config{Size: 64 << 10, Locked: true, UnlockAnswer: unix.EOPNOTSUPP})
	if err := c.MemUnlock(0, 64<<10); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("%v", err)
	}
	put(t, c, data[:256], 0)
	holds(t, "never unlocked", c, bytes.Repeat([]byte{0xff}, 256))
}

func TestCountsTraceAndTimes(t *testing.T) {
	var trace []nor.Operation
	c := chip(t, nor.Config{Size: 256 << 10, Trace: func(o nor.Operation) { trace = append(trace, o) }})
	put(t, c, make([]byte, 300), 250)
	must(t, c.MemErase(64<<10, 128<<10))
	want := []nor.Operation{
		{Offset: 250, Length: 6}, {Offset: 256, Length: 256}, {Offset: 512, Length: 38},
		{Erase: true, Offset: 64 << 10, Length: 64 << 10}, {Erase: true, Offset: 128 << 10, Length: 64 << 10},
	}
	if d := cmp.Diff(want, trace); d != "" {
		t.Error(d)
	}
	if got := c.Counts(); got != (nor.Counts{Programs: 3, Erases: 2, Bytes: 300}) {
		t.Errorf("%+v", got)
	}
	if got, want := c.Elapsed(), 3*nor.Typical.Program+2*nor.Typical.Erase64K; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	times := nor.Times{Program: time.Millisecond, Erase4K: time.Second, Erase64K: time.Minute}
	for eraseSize, want := range map[int64]time.Duration{
		4 << 10: time.Second, 32 << 10: 8 * time.Second, 64 << 10: time.Minute, 256 << 10: 4 * time.Minute,
	} {
		if got := times.Of(nor.Counts{Erases: 1}, eraseSize); got != want {
			t.Errorf("a block of %d bytes: %s, want %s", eraseSize, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []nor.Config{
		{}, {Size: 100}, {Size: -65536}, {Size: 6000, EraseSize: 4096},
		{Size: 1 << 20, EraseSize: 1000}, {Size: 1 << 20, EraseSize: -4096}, {Size: 1 << 20, PageSize: -1},
	} {
		if chip, err := nor.New(c); err == nil {
			t.Errorf("%+v: %+v", c, chip.Info())
		}
	}
}

// A chip on a file that is too short, or closed, says so.
func TestStorageErrors(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "flash"))
	must(t, err)
	c := chip(t, nor.Config{Size: 64 << 10, Storage: f})
	if _, err := c.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("read from an empty file")
	}
	if _, err := c.WriteAt([]byte{0}, 0); err == nil {
		t.Error("programmed an empty file")
	}
	must(t, c.Close())
	if err := c.MemErase(0, 64<<10); err == nil {
		t.Error("erased a closed file")
	}
}
