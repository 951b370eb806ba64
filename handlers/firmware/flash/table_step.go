package flash

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

// tableJob judges the table of an update and returns what writing it takes; nil if the flash keeps its own.
func (l *layout) tableJob(blob []byte) (*job, error) {
	t := l.table
	want, err := gpt.Parse(blob, t.size)
	if err != nil {
		return nil, err
	}
	if err := l.keepsPlaces(want, true); err != nil {
		return nil, err
	}
	u := t.on.unit
	first := t.place / u * u
	end := (t.place + gpt.ChainSize + u - 1) / u * u
	for _, o := range l.all() {
		if o.on == t.on && o.off < end && first < o.end() && !isTableName(o.name) {
			return nil, fail.New(fail.Unavailable, "cannot write the partition table: its erase block also holds %s, "+
				"which a power cut would lose", o)
		}
	}
	content := make([]byte, end-first)
	if n, err := t.on.flash.ReadAt(content, first); n < len(content) {
		return nil, fail.New(fail.IO, "cannot read %s at %#x: %w", t.on.node, first, err)
	}
	copy(content[t.place-first:], blob)
	// The header must lead the firmware to these very entries.
	result, err := gpt.ReadChain(overlay{t.on.flash, content, first}, t.size, t.place)
	if err != nil || !slices.Equal(result.Entries, want.Entries) {
		return nil, fail.New(fail.Data, "cannot use the partition table of the update: it would not be found at %#x of the flash (%v)",
			t.place, err)
	}
	n := end - first
	return &job{name: "the partition table", on: t.on, off: first, size: n, image: bytes.NewReader(content), whole: n}, nil
}

// keepsPlaces refuses a table that moves, resizes or drops a partition: the boot configuration table points into the flash, and only
// a capsule writes that. New partitions become known where the table will be written.
func (l *layout) keepsPlaces(want *gpt.Table, written bool) error {
	var moved []string
	old := map[string]bool{}
	for _, t := range []*gpt.Table{l.table.known(), l.table.running} {
		for _, e := range t.Entries {
			n, ok := want.ByName(e.Name)
			if !old[e.Name] && t == l.table.known() && !ok || ok && !l.isKnown(n) {
				moved = append(moved, e.Name)
			}
			old[e.Name] = true
		}
	}
	if len(moved) > 0 {
		slices.Sort(moved)
		return fail.New(fail.Data, "cannot use the partition table of the update: it moves, resizes or drops %s",
			strings.Join(slices.Compact(moved), ", ")).Then("install this firmware as a capsule, which can move partitions")
	}
	if !written {
		return nil
	}
	for _, e := range want.Entries {
		if old[e.Name] {
			continue
		}
		r := region{e.Name, l.table.on, e.Start(), e.Size()}
		for _, o := range l.all() {
			if o.on == r.on && o.off < r.end() && r.off < o.end() {
				return fail.New(fail.Data, "cannot use the partition table of the update: its new partition %s overlaps %s", r, o)
			}
		}
		if base, chain := split(chip.PrefixAB, e.Name, nil); chain == l.target {
			l.regions[base] = r
		} else {
			l.others = append(l.others, r)
		}
	}
	return nil
}

// isKnown says that a partition has the place that one of the tables gives it. After a capsule moved the running chain's
// partitions, only its own table knows; of the target's partitions find has seen that the tables agree.
func (l *layout) isKnown(n gpt.Entry) bool {
	for _, t := range []*gpt.Table{l.table.known(), l.table.running} {
		if e, ok := t.ByName(n.Name); ok && e.FirstLBA == n.FirstLBA && e.LastLBA == n.LastLBA {
			return true
		}
	}
	return false
}

// keepsSizes is keepsPlaces for flash devices that show no place.
func (l *layout) keepsSizes(blob []byte) error {
	const largest = 1 << 40 // the chip's size is not known
	want, err := gpt.Parse(blob, largest)
	if err != nil {
		return err
	}
	for _, r := range l.all() {
		if e, ok := want.ByName(r.name); ok && e.Size() != r.size {
			return fail.New(fail.Data, "cannot use the partition table of the update: it gives %s %d bytes, the flash has %d", r, e.Size(), r.size).
				Then("install this firmware as a capsule, which can move partitions")
		}
	}
	return nil
}

// all is every region known.
func (l *layout) all() []region {
	all := append([]region(nil), l.others...)
	for _, r := range l.regions {
		all = append(all, r)
	}
	return all
}

// overlay is a flash with other bytes at one place.
type overlay struct {
	io.ReaderAt
	content []byte
	off     int64
}

func (o overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.ReaderAt.ReadAt(p, off)
	if start := max(off, o.off); start < min(off+int64(n), o.off+int64(len(o.content))) {
		copy(p[start-off:n], o.content[start-o.off:])
	}
	return n, err
}
