package flash

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
)

// region is one partition of the boot flash; Offset and size are bytes of its device.
type region struct {
	name      string // on the flash: A_mb1
	on        *store
	off, size int64
}

func (r region) end() int64 { return r.off + r.size }

func (r region) String() string { return fmt.Sprintf("%s (%s at %#x)", r.name, r.on.node, r.off) }

// layout is where the flash keeps what.
type layout struct {
	m       *device.Machine
	open    opener
	target  backends.Slot
	stores  []*store
	regions map[string]region // the target chain's partitions by base name
	others  []region          // all else: the other chain's, shared ones, both places of a table
	adding  bool              // the update's own table, not read yet, may add partitions
	labels  bool              // images may also have partitions of the eMMC's user area
	table   *tables           // nil where partitions are flash devices of their own
	what    string            // in words
}

// split says to which chain a partition belongs (edk2-nvidia BootChainInfoLib.c) and its base name. The chain is None for a name of
// no chain. With suffixes only a name that has a twin belongs to A: BCT is nobody's.
func split(n chip.Naming, name string, exists func(string) bool) (base string, s backends.Slot) {
	if n == chip.PrefixAB {
		for _, s := range backends.Slots {
			if base, ok := strings.CutPrefix(name, string(s)+"_"); ok && base != "" {
				return base, s
			}
		}
		return name, backends.None
	}
	if base, ok := strings.CutSuffix(name, "_b"); ok && exists(base) {
		return base, backends.B
	}
	if exists(name + "_b") {
		return name, backends.A
	}
	return name, backends.None
}

// nameOf is the partition of a chain for a base name.
func nameOf(n chip.Naming, s backends.Slot, base string) string {
	switch {
	case n == chip.PrefixAB:
		return string(s) + "_" + base
	case s == backends.B:
		return base + "_b"
	}
	return base
}

// errNone says that this device shows no boot flash.
var errNone = errors.New("no boot flash is visible to Linux")

// find looks for the boot flash of a machine and the target's partitions in it. The devices it found stay open for reading.
func find(m *device.Machine, open opener, c chip.Chip, target backends.Slot) (*layout, error) {
	if c.Name != chip.T186.Name && c.Name != chip.T194.Name && c.Name != chip.T234.Name {
		return nil, fail.New(fail.Unavailable, "cannot write the firmware of %s: the layout of its boot flash is not known", c.Name).
			Then(`install a capsule: set method = "capsule" in [firmware]`)
	}
	l := &layout{m: m, open: open, target: target, regions: map[string]region{}}
	parts, err := mtd.List(m)
	if err == nil {
		err = l.look(parts, c)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// look tries the kinds of boot flash: a whole chip with a table, a chip in partitions, boot partitions of an eMMC.
func (l *layout) look(parts []mtd.Partition, c chip.Chip) error {
	var refused error
	found := 0
	for _, p := range parts {
		s, err := l.openStore(p.Node)
		if err != nil {
			return err
		}
		if gpt.ChainPlace(s.size, s.unit, 1) <= 0 {
			continue // too small for a boot flash
		}
		t, err := readTables(s.flash, s.size, s.unit, c, l.target)
		switch {
		case err == nil:
			found++
			if err := l.useTables(t, c, func(e gpt.Entry) (region, error) { return region{e.Name, s, e.Start(), e.Size()}, nil }); err != nil {
				return err
			}
			l.keepTables(s)
			l.what = fmt.Sprintf("%s, a whole chip of %d KiB with a partition table", p.Node, s.size>>10)
		case fail.CodeOf(err) == fail.IO:
			return err
		case !errors.Is(err, gpt.ErrAbsent):
			refused = fmt.Errorf("%s (%q): %w", p.Node, p.Name, err)
		}
	}
	switch {
	case found > 1:
		return fail.New(fail.Unavailable, "cannot tell the boot flash: %d flash devices hold a partition table of boot firmware", found)
	case found == 1:
		return mtd.CheckNOR(l.table.on.node, l.table.on.flash.Info())
	case refused != nil: // also beside named partitions: a damaged table is no licence to do without
		return fail.New(fail.Unavailable, "cannot use the boot flash: %w", refused).
			Then("repair the partition table by flashing the device, or by installing a capsule")
	case l.useNames(parts, c):
		return l.checkNames()
	case c.Naming == chip.SuffixB && l.m.Exists(bootNodes[0]) && l.m.Exists(bootNodes[1]):
		return l.useEMMC(c)
	}
	return fail.New(fail.Unavailable, "cannot write boot firmware: %w (no boot partition among %d flash devices)", errNone, len(parts)).
		Then("%s", whatEnables(c))
}

// openStore opens a flash device for reading.
func (l *layout) openStore(node string) (*store, error) {
	f, err := l.open(l.m, node, false)
	if err != nil {
		return nil, err
	}
	i := f.Info()
	s := &store{node: node, size: i.Size, unit: i.EraseSize, flash: f}
	l.stores = append(l.stores, s)
	return s, nil
}

// useNames takes a chip that the device tree splits: each partition is a device of its own, and the kernel keeps them apart.
func (l *layout) useNames(parts []mtd.Partition, c chip.Chip) bool {
	all := map[string]bool{}
	for _, p := range parts {
		all[p.Name] = true
	}
	for i, p := range parts {
		s := l.stores[i]
		r := region{p.Name, s, 0, s.size}
		base, chain := split(c.Naming, p.Name, func(n string) bool { return all[n] })
		if _, twice := l.regions[base]; chain == l.target && !twice {
			l.regions[base] = r
		} else {
			l.others = append(l.others, r)
		}
	}
	l.what = fmt.Sprintf("%d flash devices named by the device tree", len(parts))
	_, ok := l.regions["mb1"]
	return ok
}

// checkNames refuses two devices of one name: which one the firmware reads nobody can tell.
func (l *layout) checkNames() error {
	for _, o := range l.others {
		for _, r := range l.regions {
			if o.name == r.name {
				return fail.New(fail.Unavailable, "cannot tell the boot flash: %s and %s are both called %s", r.on.node, o.on.node, r.name)
			}
		}
	}
	for _, r := range l.regions {
		if err := mtd.CheckNOR(r.on.node, r.on.flash.Info()); err != nil {
			return err
		}
	}
	return nil
}

// checkPlaces refuses target regions, those that will be written, that are no whole blocks of their device or touch anything else.
func (l *layout) checkPlaces(written []region) error {
	for _, r := range written {
		if u := r.on.unit; r.off%u != 0 || r.size%u != 0 || r.size <= 0 || r.end() > r.on.size {
			return fail.New(fail.Unavailable, "cannot write %s: its %d bytes are not whole erase blocks of %d bytes inside a device of %d",
				r, r.size, u, r.on.size)
		}
	}
	all := append(append([]region(nil), l.others...), written...)
	for _, r := range l.regions {
		all = append(all, r)
	}
	for _, r := range written {
		for _, o := range all {
			if o.on == r.on && o != r && o.off < r.end() && r.off < o.end() {
				return fail.New(fail.Unavailable, "cannot write %s: it overlaps %s", r, o)
			}
		}
	}
	return nil
}

// close closes every device.
func (l *layout) close() error {
	var errs []error
	for _, s := range l.stores {
		if s.flash != nil {
			errs = append(errs, s.flash.Close())
			s.flash = nil
		}
	}
	return errors.Join(errs...)
}
