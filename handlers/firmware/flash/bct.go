package flash

import (
	"bytes"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// keepsBCT refuses, on T186 and T194, an update that brings another boot configuration table than the flash holds: it has to change
// together with mb1, one serves both chains, and it is never written here (tegra-boot-tools writes mb1 only with the BCT, and then both
// chains': order_entries and main in tegra-bootloader-update.c). On T234 the firmware makes its own.
func (s *Stager) keepsBCT(l *layout, p *bup.Package, chosen map[string]int, image func(index int) *io.SectionReader) error {
	index, brings := chosen[bctName]
	if s.chip.Naming != chip.SuffixB || !brings {
		return nil
	}
	want := make([]byte, p.Entries[index].Length)
	if n, err := image(index).ReadAt(want, 0); n < len(want) {
		return fail.New(fail.IO, "cannot read %s of the update: %w", bctName, err)
	}
	for _, r := range l.others {
		if r.name != bctName || int64(len(want)) > r.size {
			continue
		}
		have := make([]byte, len(want))
		if n, err := r.on.flash.ReadAt(have, r.off); n < len(have) {
			return fail.New(fail.IO, "cannot read %s: %w", r, err)
		}
		if bytes.Equal(have, want) {
			return nil
		}
	}
	return fail.New(fail.Unavailable, "cannot write the chain: the update brings another boot configuration table (BCT), which has to change "+
		"with mb1, serves both chains, and is not written here").
		Then(`use nv_update_engine: method = "engine" in [firmware]`)
}

// bctName is the boot configuration table's.
const bctName = "BCT"
