package flash

import (
	"bytes"
	"math/rand"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// smallUpdate changes some blocks of some images, the length of two, and adds a partition with an image.
func smallUpdate(t testing.TB, p plan, old images, target backends.Slot) (update []byte, im images, fresh partition, freshData, table []byte) {
	t.Helper()
	random := rand.New(rand.NewSource(3))
	im = images{}
	for name, data := range old {
		im[name] = bytes.Clone(data)
	}
	for _, name := range []string{"bpmp-fw", "cpu-bootloader", "mb2"} {
		random.Read(im[name][len(im[name])/2 : len(im[name])/2+10])
	}
	im["secure-os"] = im["secure-os"][:len(im["secure-os"])-int(p.erase)]
	im["VER"] = append(im["VER"], "R36 , REVISION: 5.0"...)
	im = im.seal(p, random)
	fresh = partition{string(target) + "_newfw", p.free(), p.erase}
	freshData = make([]byte, p.erase-100)
	random.Read(freshData)
	table = p.table(p.place(target), fresh)
	update = pack(t, im,
		bup.Image{Name: "newfw", Data: freshData}, bup.Image{Name: "BCT", Data: []byte("never")},
		bup.Image{Name: "BCT-boot-chain_backup", Data: []byte("never")},
		bup.Image{Name: tableImages[target.Index()], Data: table}, bup.Image{Name: tableImages[target.Other().Index()], Data: []byte("not the target's")})
	return update, im, fresh, freshData, table
}

// wanted is the flash after the update, made without the writer.
func wanted(p plan, before []byte, target backends.Slot, im images, fresh partition, freshData, table []byte) []byte {
	after := bytes.Clone(before)
	p.put(after, target, im)
	copy(after[fresh.off:fresh.off+fresh.size], bytes.Repeat([]byte{0xff}, int(fresh.size)))
	copy(after[fresh.off:], freshData)
	copy(after[p.place(target):], table)
	return after
}

func TestUpdateWritesTheTargetChainAndNothingElse(t *testing.T) {
	for _, erase := range []int64{4 << 10, 16 << 10} {
		for _, target := range backends.Slots {
			p := layoutOf(erase, 8)
			old := p.release(1)
			before := p.old(old)
			r := newRig(t, p, before, nil)
			update, im, fresh, data, table := smallUpdate(t, p, old, target)
			report, err := r.install(update, target)
			if err != nil {
				t.Fatal(err)
			}
			want := wanted(p, before, target, im, fresh, data, table)
			if got := r.bytes(); !bytes.Equal(got, want) {
				t.Fatalf("slot %s: %s", target, firstDifference(p, got, want))
			}
			if c := r.chip.Counts(); c.Erases != report.Erased || c.Programs != report.Pages || c.Bytes != report.Bytes {
				t.Errorf("the chip counted %+v, the report says %+v", c, report)
			}
			if err := complete(p, want, target); err != nil || !headValid(want, p.part(string(target)+"_mb1")) {
				t.Errorf("the wanted chain is no whole one: %v", err)
			}
			before = r.bytes()
			counts := r.chip.Counts()
			report, err = r.install(update, target)
			if err != nil || report.Equal != report.Compared || report.Erased+report.Pages != 0 || r.chip.Counts() != counts {
				t.Errorf("the same update again: %+v, %v", report, err)
			}
		}
	}
}

// Each chain's table got its new partition with its own update, so the tables differ when the other chain follows.
func TestTheOtherChainFollows(t *testing.T) {
	p := layoutOf(4<<10, 8)
	r := newRig(t, p, p.old(p.release(1)), nil)
	b := partition{"B_newfw", p.free(), p.erase}
	a := partition{"A_newfw", p.free() + p.erase, p.erase}
	im := p.release(2)
	fresh := []byte("new firmware")
	update := func(target backends.Slot, more ...partition) []byte {
		return pack(t, im, bup.Image{Name: "newfw", Data: fresh}, bup.Image{Name: tableImages[target.Index()], Data: p.table(p.place(target), more...)})
	}
	if _, err := r.install(update(backends.B, b), backends.B); err != nil {
		t.Fatal(err)
	}
	if _, err := r.install(update(backends.A, a, b), backends.A); err != nil {
		t.Fatal(err)
	}
	got := r.bytes()
	if !bytes.HasPrefix(got[b.off:], fresh) || !bytes.HasPrefix(got[a.off:], fresh) {
		t.Error("a new partition does not hold its image")
	}
	moved := partition{"A_newfw", p.free() + p.erase, 2 * p.erase}
	if _, err := r.install(update(backends.B, b, moved), backends.B); fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), "drops A_newfw") {
		t.Errorf("a table that resizes what only the other chain's lists: %v", err)
	}
}
