package flash

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// The flash of an Orin in full size. An update changes five of a hundred of the 64 KiB blocks that images fill, some bytes of each.
func TestAnUpdateOfFivePercentWearsTheFlashNoMoreThanItMust(t *testing.T) {
	p := layoutOf(unit64, 1)
	if q := p.part("B_mb1"); p.size != 64<<20 || q.off != 65024*512 || p.part("secondary_gpt_backup").off != 130560*512 {
		t.Fatalf("the layout is not the real one: %d bytes, B_mb1 at %#x", p.size, q.off)
	}
	old := p.release(1)
	before := p.old(old)
	im := images{}
	type place struct {
		name string
		at   int
	}
	var places []place
	for _, c := range append(chain234, vers) {
		name, data := c.name, old[c.name]
		if data == nil {
			continue
		}
		im[name] = bytes.Clone(data)
		for at := 0; at < len(data) && name != "mb1"; at += unit64 {
			places = append(places, place{name, at})
		}
	}
	blocks := len(places) + (len(old["mb1"])+unit64-1)/unit64
	random := rand.New(rand.NewSource(5))
	random.Shuffle(len(places), func(i, k int) { places[i], places[k] = places[k], places[i] })
	changed := (blocks*5+99)/100 - 1 // mb1's first is one of them
	for _, c := range places[:changed] {
		data := im[c.name][c.at:min(c.at+unit64, len(im[c.name]))]
		random.Read(data[len(data)/3 : len(data)/3+min(200, len(data)/3)])
	}
	im["mb1"] = bytes.Clone(old["mb1"])
	im["mb1"][300] ^= 0x40

	want := bytes.Clone(before)
	p.put(want, backends.B, im)
	r := newRig(t, p, before, nil)
	report, err := r.install(pack(t, im), backends.B)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.bytes(); !bytes.Equal(got, want) {
		t.Fatal(firstDifference(p, got, want))
	}
	erases, pages := least(p, before, want, p.part("B_mb1"))
	counts := r.chip.Counts()
	took := r.chip.Elapsed()
	whole := nor.Typical.Of(nor.Counts{Programs: report.WholePages, Erases: report.WholeErases}, unit64)
	orintest.Publish(t, "flash-wear", fmt.Sprintf(
		"direct flash writer, an Orin's chain (62976 sectors), %d of its images' %d blocks of 64 KiB changed: %d erases (least possible if a block that differs is erased and no page is programmed twice: %d, ratio %.2f), "+
			"%d page programs (least possible %d, ratio %.2f); a writer of whole partitions: %d erases (%.1f times), %d page programs (%.1f times); "+
			"modelled time with the typical values of MX66L1G45G, of the MX25U51245G's series (%v a page, %v a block, without transfers): "+
			"%.1f s against %.1f s\n",
		changed+1, blocks, counts.Erases, erases, float64(counts.Erases)/float64(erases), counts.Programs, pages, float64(counts.Programs)/float64(pages),
		report.WholeErases, float64(report.WholeErases)/float64(counts.Erases), report.WholePages, float64(report.WholePages)/float64(counts.Programs),
		nor.Typical.Program, nor.Typical.Erase64K, took.Seconds(), whole.Seconds()))
	if counts.Erases != erases || counts.Programs != pages {
		t.Errorf("%d erases and %d programs, want %d and %d", counts.Erases, counts.Programs, erases, pages)
	}
	if report.Erased != counts.Erases || report.Pages != counts.Programs || report.Compared != blocks || report.Compared-report.Equal != changed+1 {
		t.Errorf("the report %+v does not agree with the chip's %+v and %d of %d blocks", report, counts, changed+1, blocks)
	}
}
