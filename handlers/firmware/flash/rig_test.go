package flash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
)

// rig is a machine with one flash chip.
type rig struct {
	t      testing.TB
	p      plan
	m      *device.Machine
	chip   *nor.Chip
	memory *nor.Memory
	s      *Stager
	parts  string // content of /proc/mtd
}

func newRig(t testing.TB, p plan, flash []byte, more func(*nor.Config)) *rig {
	t.Helper()
	root := t.TempDir()
	r := &rig{t: t, p: p, m: device.New(root), memory: nor.NewMemory()}
	r.file("/proc/mtd", fmt.Sprintf("dev:    size   erasesize  name\nmtd0: %08x %08x \"qspi\"\n", p.size, p.erase))
	if _, err := r.memory.WriteAt(flash, 0); err != nil {
		t.Fatal(err)
	}
	r.renew(more)
	return r
}

func (r *rig) file(path, text string) {
	r.t.Helper()
	host := r.m.Path(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// renew puts another chip around the same memory.
func (r *rig) renew(more func(*nor.Config)) {
	c := nor.Config{Size: r.p.size, EraseSize: r.p.erase, Storage: r.memory}
	if more != nil {
		more(&c)
	}
	var err error
	if r.chip, err = nor.New(c); err != nil {
		r.t.Fatal(err)
	}
	r.s = New(r.m, chip.T234, Options{})
	r.s.open = func(m *device.Machine, node string, _ bool) (mtd.Flash, error) { return mtd.On(m, node, r.chip), nil }
}

func (r *rig) bytes() []byte {
	b := make([]byte, r.p.size)
	if _, err := r.memory.ReadAt(b, 0); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// pack makes an update. Extra images come behind.
func pack(t testing.TB, im images, extra ...bup.Image) []byte {
	t.Helper()
	var list []bup.Image
	for _, c := range append(chain234, vers) {
		if data, ok := im[c.name]; ok {
			list = append(list, bup.Image{Name: c.name, Data: data})
		}
	}
	b, err := bup.BuildBytes(bup.BuildOptions{Images: append(list, extra...)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prepared opens an update for a target, as Receive does.
func (r *rig) prepared(update []byte, target backends.Slot) (*work, error) {
	r.t.Helper()
	p, err := bup.ParseAt(bytes.NewReader(update), int64(len(update)))
	if err != nil {
		r.t.Fatal(err)
	}
	chosen := p.Match("", "", nil).Chosen
	l, err := find(r.m, r.s.open, r.s.chip, target)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return r.s.prepare(l, p, chosen, func(i int) *io.SectionReader {
		return io.NewSectionReader(bytes.NewReader(update), int64(p.Entries[i].Offset), int64(p.Entries[i].Length))
	})
}

// install writes an update.
func (r *rig) install(update []byte, target backends.Slot) (Report, error) {
	w, err := r.prepared(update, target)
	if err != nil {
		return Report{}, err
	}
	return w.perform(context.Background())
}

// firstDifference is for messages.
func firstDifference(p plan, a, b []byte) string {
	for i := range a {
		if a[i] != b[i] {
			for _, q := range p.parts {
				if int64(i) >= q.off && int64(i) < q.off+q.size {
					return fmt.Sprintf("at %#x, in %s at %#x: %#x, want %#x", i, q.name, int64(i)-q.off, a[i], b[i])
				}
			}
			return fmt.Sprintf("at %#x, in no partition: %#x, want %#x", i, a[i], b[i])
		}
	}
	return "none"
}
