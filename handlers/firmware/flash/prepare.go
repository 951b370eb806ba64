package flash

import (
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

// work is what an update writes.
type work struct {
	layout     *layout
	jobs       []*job // all but the next two
	mb1, table *job   // table is nil where the chain keeps its own
	notes      []string
}

func (w *work) all() []*job {
	all := append(append([]*job{}, w.jobs...), w.mb1)
	if w.table != nil {
		all = append(all, w.table)
	}
	return all
}

// prepare joins images and places, and refuses what the flash forbids. The update's partition table comes first: it may add
// partitions for the update's images.
func (s *Stager) prepare(l *layout, p *bup.Package, chosen map[string]int, image func(index int) *io.SectionReader) (*work, error) {
	w := &work{layout: l}
	if err := w.judgeTable(p, chosen, image); err != nil {
		return nil, err
	}
	if err := s.keepsBCT(l, p, chosen, image); err != nil {
		return nil, err
	}
	a, err := s.assign(p, chosen, l)
	if err != nil {
		return nil, err
	}
	w.notes = append(w.notes, a.notes...)
	var regions []region
	for _, part := range a.parts {
		regions = append(regions, part.region)
		j := &job{
			name: part.name, on: part.region.on, off: part.region.off, size: part.size, whole: part.region.size,
			image: image(part.index), digest: p.Entries[part.index].SHA256, head: part.name == "mb1",
		}
		if j.head {
			w.mb1 = j
		} else {
			w.jobs = append(w.jobs, j)
		}
	}
	return w, l.checkPlaces(regions)
}

// judgeTable looks at the partition table that the update brings for the target chain.
func (w *work) judgeTable(p *bup.Package, chosen map[string]int, image func(int) *io.SectionReader) error {
	l, name := w.layout, tableImages[w.layout.target.Index()]
	index, ok := chosen[name]
	torn := l.table != nil && l.table.perChain && l.table.own == nil
	switch {
	case !ok && torn:
		return fail.New(fail.Unavailable, "cannot write the chain: its partition table is damaged, and the update brings none (%s): %w",
			name, l.table.ownErr).
			Then("install an update that holds %s, or a capsule", name)
	case !ok:
		return nil
	}
	if size := int64(p.Entries[index].Length); size != gpt.ChainSize {
		return fail.New(fail.Data, "cannot use the partition table of the update: %s has %d bytes, want %d", name, size, gpt.ChainSize)
	}
	blob := make([]byte, gpt.ChainSize)
	if n, err := image(index).ReadAt(blob, 0); n < len(blob) {
		return fail.New(fail.IO, "cannot read %s of the update: %w", name, err)
	}
	switch {
	case l.table == nil:
		w.notes = append(w.notes, name+" is left alone: the flash devices are named by the device tree")
		return l.keepsSizes(blob)
	case !l.table.perChain:
		w.notes = append(w.notes, name+" is left alone: this flash has one partition table for both chains")
		want, err := gpt.Parse(blob, l.table.size)
		if err != nil {
			return err
		}
		return l.keepsPlaces(want, false)
	}
	if torn {
		w.notes = append(w.notes, "the chain's partition table is damaged; the running chain's tells the places, and the update brings a new one")
	}
	var err error
	w.table, err = l.tableJob(blob)
	return err
}

// reopen opens the devices that jobs are on for writing.
func (w *work) reopen() error {
	done := map[*store]bool{}
	for _, j := range w.all() {
		s := j.on
		if done[s] {
			continue
		}
		done[s] = true
		if s.flash != nil {
			if err := s.flash.Close(); err != nil {
				return fail.New(fail.IO, "cannot close %s: %w", s.node, err)
			}
			s.flash = nil
		}
		if s.block {
			f, err := openBlock(w.layout.m, s.node, true)
			if err != nil {
				return err
			}
			s.flash = f
			continue
		}
		f, err := w.layout.open(w.layout.m, s.node, true)
		if err != nil {
			return err
		}
		s.flash = f
	}
	return nil
}
