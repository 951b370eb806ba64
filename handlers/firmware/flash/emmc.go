package flash

import (
	"fmt"
	"io"
	"slices"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

// bootNodes are the boot partitions of the eMMC of TX2 and AGX Xavier.
var bootNodes = []string{"/dev/mmcblk0boot0", "/dev/mmcblk0boot1"}

// byLabel is where udev shows the partitions of the eMMC's user area.
const byLabel = "/dev/disk/by-partlabel/"

// labelled are the images of boot firmware that may have partitions there: what boots is not all that has a twin (APP, SMD).
var labelled = append(append([]string{"BMP", "eks", "xusb-fw", "rce-fw", "sce-fw", "mts-bootpack"}, bup.RequiredT186R32...), bup.RequiredT194R32...)

// joined is two boot partitions as the table's one address space.
type joined struct{ first, second *store }

func (j joined) ReadAt(p []byte, off int64) (int, error) {
	if off >= j.first.size {
		return j.second.flash.ReadAt(p, off-j.first.size)
	}
	n := min(int64(len(p)), j.first.size-off)
	got, err := j.first.flash.ReadAt(p[:n], off)
	if err != nil || got < int(n) || n == int64(len(p)) {
		return got, err
	}
	more, err := j.second.flash.ReadAt(p[n:], 0)
	return got + more, err
}

// useEMMC takes the boot partitions of an eMMC: the table at the end of the second one counts the blocks of both as one device
// (tegra-boot-tools gpt.c, gpt_load; maybe_update_bootpart in tegra-bootloader-update.c takes a place behind the first for one in
// the second). What it does not list lies in the user area, by its label (main there).
func (l *layout) useEMMC(c chip.Chip) error {
	var s [2]*store
	for i, node := range bootNodes {
		f, err := openBlock(l.m, node, false)
		if err != nil {
			return err
		}
		s[i] = &store{node: node, size: f.size, unit: sectorSize, block: true, flash: f}
		l.stores = append(l.stores, s[i])
	}
	both := joined{s[0], s[1]}
	t, err := readTables(both, s[0].size+s[1].size, sectorSize, c, l.target)
	if err != nil {
		return fail.New(fail.CodeOf(err), "cannot use the boot partitions of the eMMC: %w", err).Then("flash the device")
	}
	place := func(e gpt.Entry) (region, error) {
		r := region{e.Name, s[0], e.Start(), e.Size()}
		if r.off >= s[0].size {
			r.on, r.off = s[1], r.off-s[0].size
		}
		if r.end() > r.on.size {
			return r, fail.New(fail.Unavailable, "cannot use the boot partitions of the eMMC: %s lies in both", e.Name)
		}
		return r, nil
	}
	l.labels = true
	if err := l.useTables(t, c, place); err != nil {
		return err
	}
	l.table.on = nil // one table for both chains: it is never written
	l.what = fmt.Sprintf("the boot partitions of the eMMC, %d KiB together, with a partition table", (s[0].size+s[1].size)>>10)
	return nil
}

// label returns the region of the user area's partition for an image. Only a name with a twin has a chain of its own.
func (l *layout) label(base string) (region, bool, error) {
	name := nameOf(chip.SuffixB, l.target, base)
	if !l.labels || !slices.Contains(labelled, base) || !l.m.Exists(byLabel+base) || !l.m.Exists(byLabel+nameOf(chip.SuffixB, backends.B, base)) {
		return region{}, false, nil
	}
	f, err := openBlock(l.m, byLabel+name, false)
	if err != nil {
		return region{}, false, err
	}
	s := &store{node: byLabel + name, size: f.size, unit: sectorSize, block: true, flash: f}
	l.stores = append(l.stores, s)
	r := region{name, s, 0, s.size}
	l.regions[base] = r
	return r, true, nil
}

var _ io.ReaderAt = joined{}
