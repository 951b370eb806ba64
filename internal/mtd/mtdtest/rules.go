package mtdtest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"golang.org/x/sys/unix"
)

var rules = []rule{
	{"it is NOR flash of whole blocks", func(t *testing.T, p place) {
		must(t, mtd.CheckNOR(p.Node, p.Info()))
		if got := p.Info().WriteSize; got != 1 {
			t.Errorf("a write unit of %d bytes, want 1", got)
		}
		if p.Info() != p.Driver.Info() {
			t.Errorf("%+v, and from the driver %+v", p.Info(), p.Driver.Info())
		}
	}},
	{"an erased block reads as ones, and only it", func(t *testing.T, p place) {
		data := pattern(4 * p.block)
		must(t, p.Program(data, 0))
		p.want(t, 0, data)
		must(t, p.Erase(p.block, 2*p.block))
		p.want(t, 0, join(data[:p.block], fill(0xff, 2*p.block), data[3*p.block:]))
		must(t, p.Erase(0, 0))
		must(t, p.Program(nil, p.block))
		p.want(t, 0, join(data[:p.block], fill(0xff, 2*p.block), data[3*p.block:]))
	}},
	{"programming clears bits and sets none", func(t *testing.T, p place) {
		for _, step := range []struct{ program, reads byte }{{0xf0, 0xf0}, {0x3c, 0x30}, {0xff, 0x30}, {0x00, 0x00}, {0xff, 0x00}} {
			must(t, p.Program(fill(step.program, 512), 0))
			p.want(t, 0, join(fill(step.reads, 512), fill(0xff, p.block-512)))
		}
	}},
	{"any offset and length can be programmed", func(t *testing.T, p place) {
		want := fill(0xff, 4*p.block)
		for _, at := range []struct{ off, n int64 }{
			{1, 3}, {250, 12}, {1021, 1}, {p.block - 3, 6}, {2*p.block - 300, 3*256 + 5}, {3*p.block - 1, 2},
		} {
			data := pattern(at.n)
			must(t, p.Program(data, at.off))
			copy(want[at.off:], data)
		}
		p.want(t, 0, want)
	}},
	{"reading ends at the end", func(t *testing.T, p place) {
		must(t, p.Program([]byte{1, 2, 3}, p.end-3))
		b := make([]byte, 8)
		if n, err := p.ReadAt(b, p.end-3); n != 3 || err != io.EOF || !bytes.Equal(b[:3], []byte{1, 2, 3}) {
			t.Errorf("across the end: %d, %v, %x", n, err, b)
		}
		for _, off := range []int64{p.end, p.end + 5} {
			if n, err := p.ReadAt(b, off); n != 0 || err != io.EOF {
				t.Errorf("at %#x: %d, %v", off, n, err)
			}
		}
		if n, err := p.ReadAt(b, -1); n != 0 || err == nil || err == io.EOF {
			t.Errorf("before the start: %d, %v", n, err)
		}
	}},
	{"the kernel writes the part that fits", func(t *testing.T, p place) {
		if n, err := p.Driver.WriteAt(pattern(600), p.end-512); n != 512 || err != nil {
			t.Errorf("across the end: %d, %v", n, err)
		}
		p.want(t, p.end-p.block, join(fill(0xff, p.block-512), pattern(600)[:512]))
		if _, err := p.Driver.WriteAt([]byte{0}, p.end); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("at the end: %v", err)
		}
	}},
	{"nothing is programmed across the end", func(t *testing.T, p place) {
		for _, at := range []struct{ off, n int64 }{{p.end - 512, 513}, {p.end, 1}, {p.end + p.block, 1}, {-1, 2}} {
			p.refused(t, unix.ENOSPC, p.Program(fill(0, at.n), at.off))
		}
		p.want(t, p.end-p.block, fill(0xff, p.block))
		p.want(t, 0, fill(0xff, p.block))
	}},
	{"the kernel refuses half blocks and what lies outside", func(t *testing.T, p place) {
		data := pattern(p.block)
		must(t, p.Program(data, 0))
		for _, at := range []struct{ off, n int64 }{{0, 100}, {0, p.block + 1}, {p.end, p.block}, {p.end - p.block, 2 * p.block}} {
			if err := p.Driver.MemErase(at.off, at.n); !errors.Is(err, unix.EINVAL) {
				t.Errorf("erasing %d bytes at %#x: %v, want EINVAL", at.n, at.off, err)
			}
		}
		p.want(t, 0, data)
		must(t, p.Driver.MemErase(0, 0))
		p.want(t, 0, data)
	}},
	{"the kernel's erase from inside a block lands off", func(t *testing.T, p place) {
		data := pattern(3 * p.block)
		must(t, p.Program(data, 0))
		err := p.Driver.MemErase(512, p.block)
		if p.Strict {
			if !errors.Is(err, unix.EINVAL) {
				t.Errorf("%v, want EINVAL", err)
			}
			p.want(t, 0, data)
			return
		}
		must(t, err)
		p.want(t, 0, join(data[:512], fill(0xff, p.block), data[512+p.block:]))
	}},
	{"only whole blocks of the device are erased", func(t *testing.T, p place) {
		data := pattern(3 * p.block)
		must(t, p.Program(data, 0))
		for _, at := range []struct{ off, n int64 }{{512, p.block}, {0, 100}, {0, p.block + 1}, {p.block - 1, 1}} {
			p.refused(t, nil, p.Erase(at.off, at.n))
		}
		for _, at := range []struct{ off, n int64 }{{p.end, p.block}, {p.end - p.block, 2 * p.block}, {-p.block, p.block}, {0, -p.block}} {
			p.refused(t, unix.ENOSPC, p.Erase(at.off, at.n))
		}
		p.want(t, 0, data)
	}},
	{"a device without locks can be unlocked", func(t *testing.T, p place) {
		if err := p.Driver.MemUnlock(0, p.block); !errors.Is(err, p.UnlockAnswer) {
			t.Errorf("MEMUNLOCK: %v, want %v", err, p.UnlockAnswer)
		}
		must(t, p.Unlock(0, p.block))
		p.refused(t, unix.ENOSPC, p.Unlock(p.end, 1))
	}},
	{"every change is counted, and none happens after a power cut", func(t *testing.T, p place) {
		changes := func(fault *device.Fault) error {
			f, err := p.Open(p.Machine.WithFault(fault))
			must(t, err)
			defer f.Close()
			return errors.Join(f.Unlock(0, p.block), f.Program(fill(0x0f, 256), 0x100), f.Erase(p.block, p.block), f.Program(fill(0x3c, 256), 0x100))
		}
		must(t, p.Program(fill(0, p.block), p.block))
		for cut, want := range []struct {
			holds byte // at 0x100
			next  byte // the next block
		}{{}, {0xff, 0}, {0xff, 0}, {0x0f, 0}, {0x0f, 0xff}, {0x0c, 0xff}} {
			if cut == 0 {
				continue
			}
			must(t, p.Erase(0, p.block))
			must(t, p.Program(fill(0, p.block), p.block))
			fault := &device.Fault{CutAt: cut}
			if err := changes(fault); (cut <= 4) != errors.Is(err, device.ErrPowerCut) {
				t.Errorf("cut at %d: %v", cut, err)
			}
			if got := fault.Changes(); len(got) != min(cut, 4) || got[0] != "unlock "+p.Node+" at 0x0" ||
				cut == 4 && got[3] != "program "+p.Node+" at 0x100" || cut == 3 && got[2] != "erase "+p.Node+" at "+hex(p.block) {
				t.Errorf("cut at %d: changes %q", cut, got)
			}
			p.want(t, 0x100, fill(want.holds, 256))
			p.want(t, p.block, fill(want.next, p.block))
		}
	}},
}

// refused: the caller's fault is an error of its own, with the cause where there is one.
func (p place) refused(t *testing.T, cause, err error) {
	t.Helper()
	if fail.CodeOf(err) != fail.Internal || cause != nil && !errors.Is(err, cause) {
		t.Errorf("%v, want a refusal", err)
	}
}
