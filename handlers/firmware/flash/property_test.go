package flash

import (
	"bytes"
	"sort"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"pgregory.net/rapid"
)

// least is the least wear that gives a flash other content under the rule that a page is programmed once between erases: each block
// that differs is erased unless blank, and its pages that are not blank are programmed; mb1's first block always is erased.
func least(p plan, before, after []byte, mb1 partition) (erases, pages int) {
	if bytes.Equal(before, after) {
		return 0, 0
	}
	for at := int64(0); at < p.size; at += p.erase {
		old, want := before[at:at+p.erase], after[at:at+p.erase]
		if bytes.Equal(old, want) && at != mb1.off {
			continue
		}
		if !erased(old) {
			erases++
		}
		for k := int64(0); k < p.erase; k += 256 {
			if !erased(want[k : k+256]) {
				pages++
			}
		}
	}
	return erases, pages
}

func erased(p []byte) bool { return bytes.Count(p, []byte{0xff}) == len(p) }

func TestWearIsTheLeastPossible(t *testing.T) {
	p := layoutOf(4<<10, 16)
	old := p.release(1)
	base := p.old(old)
	var names []string
	for name := range old {
		if name != "mb1" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	rapid.Check(t, func(rt *rapid.T) {
		before := bytes.Clone(base)
		// Some blocks of the chain hold other bytes, or none.
		for range rapid.SliceOfN(rapid.Just(0), 0, 12).Draw(rt, "torn") {
			c := rapid.SampledFrom([]string{"mb1", "mb2", "bpmp-fw-dtb", "cpu-bootloader", "secure-os", "VER", "dce-fw"}).Draw(rt, "torn name")
			q := p.part("B_" + c)
			at := q.off + rapid.Int64Range(0, q.size/p.erase-1).Draw(rt, "torn block")*p.erase
			copy(before[at:at+p.erase], bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 0x5a, 0xff}).Draw(rt, "fill")}, int(p.erase)))
		}
		im := images{}
		im["mb1"] = old["mb1"]
		for _, name := range names { // in an order that shrinking can rely on
			data := bytes.Clone(old[name])
			if rapid.Bool().Draw(rt, "changed "+name) {
				n := rapid.IntRange(1, len(data)).Draw(rt, "length")
				data = data[:n]
				from := rapid.IntRange(0, n-1).Draw(rt, "from")
				fill := rapid.SampledFrom([]byte{0, 0xa5, 0xff}).Draw(rt, "content")
				end := min(n, from+rapid.IntRange(1, 6000).Draw(rt, "count"))
				copy(data[from:end], bytes.Repeat([]byte{fill}, end-from))
			}
			im[name] = data
		}
		want := bytes.Clone(before)
		p.put(want, backends.B, im)
		r := newRig(t, p, before, nil)
		report, err := r.install(pack(t, im), backends.B)
		if err != nil {
			rt.Fatal(err)
		}
		if got := r.bytes(); !bytes.Equal(got, want) {
			rt.Fatal(firstDifference(p, got, want))
		}
		erases, pages := least(p, before, want, p.part("B_mb1"))
		if report.Erased != erases || report.Pages != pages {
			rt.Fatalf("%d erases and %d pages, least possible %d and %d", report.Erased, report.Pages, erases, pages)
		}
	})
}
