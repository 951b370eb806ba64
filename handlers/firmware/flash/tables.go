package flash

import (
	"errors"
	"io"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

// tables are the partition tables of a boot flash. With one for each chain (T234, since about L4T R35.5) the target's firmware
// reads the target's.
type tables struct {
	on       *store // nil: not to be written
	size     int64
	place    int64 // the target's
	own      *gpt.Table
	running  *gpt.Table // the running chain's, the same as own where there is one for both
	perChain bool
	ownErr   error // why own is nil
}

// tableImages are the names under which an update carries a table (edk2-nvidia FwPartitionDeviceLib.c): A's and B's.
var tableImages = [2]string{"secondary_gpt", "secondary_gpt_backup"}

func isTableName(name string) bool { return name == tableImages[0] || name == tableImages[1] }

// readTables reads what tables a flash holds. A damaged table of the running chain is the device's condition: nothing says any
// more what is whose. The target's own may be damaged by an interrupted update; the running one's lists its partitions as well.
func readTables(r io.ReaderAt, size, erase int64, c chip.Chip, target backends.Slot) (*tables, error) {
	if c.GPT == chip.GPTEnd {
		t, err := gpt.ReadChain(r, size, gpt.ChainPlace(size, erase, 0))
		return &tables{size: size, place: gpt.ChainPlace(size, erase, 0), own: t, running: t}, err
	}
	t := &tables{size: size, place: gpt.ChainPlace(size, erase, target.Index())}
	own, ownErr := gpt.ReadChain(r, size, t.place)
	other, err := gpt.ReadChain(r, size, gpt.ChainPlace(size, erase, target.Other().Index()))
	switch {
	case ownErr != nil && err != nil && errors.Is(err, gpt.ErrAbsent):
		return nil, ownErr // absent as well, or damaged
	case err != nil && !errors.Is(err, gpt.ErrAbsent):
		return nil, err
	case fail.CodeOf(ownErr) == fail.IO:
		return nil, ownErr
	}
	t.own, t.running, t.ownErr = own, other, ownErr
	// Before there was a table for each chain, nothing was reserved for B's.
	b := gpt.ChainPlace(size, erase, 1)
	for _, known := range []*gpt.Table{own, other} {
		if known != nil {
			e, ok := known.ByName(tableImages[1])
			t.perChain = t.perChain || ok && e.Start() == b
		}
	}
	if t.running == nil {
		if target == backends.B || t.perChain {
			return nil, fail.New(fail.Unavailable, "the running chain's partition table is gone: %v", err)
		}
		t.running = own
	}
	return t, nil
}

// known is the table that says where the target's partitions are.
func (t *tables) known() *gpt.Table {
	if t.own != nil {
		return t.own
	}
	return t.running
}

// useTables takes the partitions of a flash from its tables.
func (l *layout) useTables(t *tables, c chip.Chip, place func(gpt.Entry) (region, error)) error {
	l.table = t
	exists := func(n string) bool { _, ok := t.known().ByName(n); return ok }
	seen := map[string]bool{}
	for _, e := range t.known().Entries {
		base, chain := split(c.Naming, e.Name, exists)
		r, err := place(e)
		switch {
		case chain != l.target:
			if err == nil {
				l.others = append(l.others, r)
			}
		case err != nil:
			return err
		case seen[base]:
			return fail.New(fail.Unavailable, "cannot use the boot flash: its partition table names %s twice", e.Name)
		default:
			seen[base] = true
			l.regions[base] = r
		}
	}
	if !seen["mb1"] {
		return fail.New(fail.Unavailable, "cannot use the boot flash: its partition table lists no %s", nameOf(c.Naming, l.target, "mb1"))
	}
	return l.useRunning(t, c, place)
}

// useRunning compares with the running chain's table: the two must agree on the target's partitions, and what either lists of
// others is not ours.
func (l *layout) useRunning(t *tables, c chip.Chip, place func(gpt.Entry) (region, error)) error {
	if t.running == t.known() {
		return nil
	}
	for _, e := range t.running.Entries {
		base, chain := split(c.Naming, e.Name, func(string) bool { return false })
		r, err := place(e)
		if err != nil {
			return err
		}
		if chain != l.target {
			l.others = append(l.others, r)
			continue
		}
		if own, ok := l.regions[base]; ok && own != r {
			return fail.New(fail.Unavailable, "cannot use the boot flash: the chains' partition tables disagree on %s: "+
				"%#x with %d bytes, %#x with %d bytes", e.Name, own.off, own.size, r.off, r.size).Then("install a capsule, which can move partitions")
		}
	}
	return nil
}

// keepTables protects the places of the tables on a flash device.
func (l *layout) keepTables(s *store) {
	t := l.table
	t.on = s
	l.others = append(l.others, region{tableImages[l.target.Index()], s, t.place, gpt.ChainSize})
	for _, chain := range backends.Slots {
		place := gpt.ChainPlace(s.size, s.unit, chain.Index())
		if chain != l.target && (t.perChain || chain == backends.A) { // before there was one for each chain, A's place held the only one
			l.others = append(l.others, region{"the partition table of chain " + string(chain), s, place, gpt.ChainSize})
		}
	}
}
