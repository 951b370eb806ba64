package flash

import (
	"fmt"
	"slices"
	"sort"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Names that have a rule of their own.
var (
	// never are written by nobody but the firmware: the boot configuration table decides which chain starts.
	never = []string{bctName, "BCT-boot-chain_backup"}
	// kernels are in packages of L4T R32 that update everything.
	kernels = []string{"kernel", "kernel-dtb"}
)

// slotMetadata is L4T R32's (SMD, with a twin as if it were of a chain).
const slotMetadata = "SMD"

// part is an image of the update and where it goes.
type part struct {
	name   string
	index  int // in the package
	size   int64
	region region
}

// assignment is what of an update goes where.
type assignment struct {
	parts []part // mb1 is the last
	notes []string
}

// assign gives each image of a board its place in the target chain, or refuses. It knows sizes only; l is nil where the target is
// not known yet.
func (s *Stager) assign(p *bup.Package, chosen map[string]int, l *layout) (*assignment, error) {
	a := &assignment{}
	names := make([]string, 0, len(chosen))
	for name := range chosen {
		names = append(names, name)
	}
	// The order of the package, which is the order of the flash.
	sort.Slice(names, func(i, k int) bool { return chosen[names[i]] < chosen[names[k]] })
	for _, name := range names {
		e := p.Entries[chosen[name]]
		switch {
		case slices.Contains(never, name):
			a.note("%s is left alone: only the firmware writes the boot configuration", name)
		case isTableName(name): // prepare's
		case name == "eks" && !s.opts.AllowEKS:
			return nil, fail.New(fail.Data, "cannot write eks: both slots' secrets depend on its keys, "+
				"and this device's may differ from the update's").
				Then("remove it from the update, or allow it with --allow-eks")
		case name == slotMetadata:
			return nil, fail.New(fail.Data, "cannot write %s: it says which slot boots, and is no firmware", name).Then("remove it from the update")
		case e.Length == 0:
			return nil, fail.New(fail.Data, "cannot write %s: its image is empty", name)
		case l == nil:
		default:
			if err := a.place(l, s.chip, name, chosen[name], int64(e.Length)); err != nil {
				return nil, err
			}
		}
	}
	if _, ok := chosen["mb1"]; !ok {
		return nil, fail.New(fail.Data, "cannot write the chain: the update holds no mb1 for this board, without which it does not start")
	}
	sort.SliceStable(a.parts, func(i, k int) bool { return a.parts[i].name != "mb1" && a.parts[k].name == "mb1" })
	return a, nil
}

// place finds the partition of one image.
func (a *assignment) place(l *layout, c chip.Chip, name string, index int, size int64) error {
	r, ok := l.regions[name]
	if !ok && !slices.Contains(kernels, name) {
		var err error
		if r, ok, err = l.label(name); err != nil {
			return err
		}
	}
	switch {
	case !ok && slices.Contains(kernels, name):
		a.note("%s is left alone: tegra-image writes it", name)
		return nil
	case !ok && l.adding:
		return nil
	case !ok:
		return fail.New(fail.Data, "cannot write %s: chain %s has no partition %s", name, l.target, nameOf(c.Naming, l.target, name)).
			Then("build the update for this board's flash layout")
	case size > r.size:
		return fail.New(fail.Data, "cannot write %s: its %d bytes do not fit into the %d of %s", name, size, r.size, r).
			Then("build the update for this board's flash layout")
	}
	a.parts = append(a.parts, part{name, index, size, r})
	return nil
}

func (a *assignment) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}
