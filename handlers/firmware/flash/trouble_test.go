package flash

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
)

// A chip that takes neither erases nor programs says so of none of them.
func TestAWriteProtectedChipIsFoundBeforeAnythingElseIsErased(t *testing.T) {
	p := layoutOf(4<<10, 8)
	for _, answer := range []error{unix.EOPNOTSUPP, nor.ENOTSUPP, unix.EIO} {
		before := p.old(p.release(1))
		asked := 0
		r := newRig(t, p, before, func(c *nor.Config) {
			c.Locked, c.UnlockAnswer = true, answer
			c.Trace = func(nor.Operation) { asked++ }
		})
		_, err := r.install(pack(t, p.release(2)), backends.B)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "it is write-protected") {
			t.Errorf("%v: %v", answer, err)
		}
		if asked != 0 || !bytes.Equal(r.bytes(), before) {
			t.Errorf("%v: the flash changed", answer)
		}
	}
}

// Locks that can be taken away are, and a driver that knows no locks is no obstacle.
func TestLocksOfTheTargetAreTakenAway(t *testing.T) {
	p := layoutOf(4<<10, 8)
	im := p.release(2)
	for name, set := range map[string]func(*nor.Config){
		"locked":       func(c *nor.Config) { c.Locked = true },
		"EOPNOTSUPP":   func(c *nor.Config) { c.UnlockAnswer = unix.EOPNOTSUPP },
		"524":          func(c *nor.Config) { c.UnlockAnswer = nor.ENOTSUPP },
		"EIO":          func(c *nor.Config) { c.UnlockAnswer = unix.EIO },
		"strict erase": func(c *nor.Config) { c.Strict = true },
	} {
		want := p.old(p.release(1))
		r := newRig(t, p, want, set)
		if _, err := r.install(pack(t, im), backends.B); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p.put(want, backends.B, im)
		if got := r.bytes(); !bytes.Equal(got, want) {
			t.Errorf("%s: %s", name, firstDifference(p, got, want))
		}
	}
}

// An update that was interrupted while it wrote the target's table brings the table again.
func TestADamagedTableOfTheTargetIsCured(t *testing.T) {
	p := layoutOf(4<<10, 8)
	b := p.place(backends.B)
	im := p.release(2)
	for name, damage := range map[string]func(f []byte){
		"erased": func(f []byte) { copy(f[b:], bytes.Repeat([]byte{0xff}, int(gpt.ChainSize))) },
		"torn":   func(f []byte) { f[b+200] = 0 },
	} {
		flash := p.old(p.release(1))
		want := bytes.Clone(flash)
		p.put(want, backends.B, im)
		damage(flash)
		r := newRig(t, p, flash, nil)
		if _, err := r.install(pack(t, im, bup.Image{Name: tableImages[1], Data: p.table(b)}), backends.B); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.bytes(); !bytes.Equal(got, want) {
			t.Errorf("%s: %s", name, firstDifference(p, got, want))
		}
	}
}

// The erase block that holds the table's first entries may hold bytes of no partition, which stay, or a partition, which a cut
// would lose.
func TestBytesBesideTheTableStay(t *testing.T) {
	p := layoutOf(4<<10, 8)
	im := p.release(1)
	flash := p.old(im)
	a := p.place(backends.A)
	flash[a-1], flash[a-300] = 0x17, 0x18
	r := newRig(t, p, flash, nil)
	update := pack(t, im, bup.Image{Name: tableImages[0], Data: p.table(a, partition{"A_new", p.free(), p.erase})})
	if _, err := r.install(update, backends.A); err != nil {
		t.Fatal(err)
	}
	if got := r.bytes(); got[a-1] != 0x17 || got[a-300] != 0x18 || bytes.Equal(got[a:], flash[a:]) {
		t.Error("the bytes beside the table changed, or the table did not")
	}

	q := p.changed("A_VER", unit64-512, -unit64+1024) // ends one sector behind where the table's block starts
	q.parts = append([]partition(nil), q.parts...)
	for i := range q.parts {
		if q.parts[i].name == "A_VER" {
			q.parts[i] = partition{"shared", a/p.erase*p.erase - p.erase, p.erase + 512}
		}
	}
	flash = q.old(images{})
	r = newRig(t, p, flash, nil)
	delete(im, "VER")
	update = pack(t, im, bup.Image{Name: tableImages[0], Data: q.table(a)})
	if _, err := r.install(update, backends.A); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "its erase block also holds shared") {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(r.bytes(), flash) {
		t.Error("the flash changed")
	}
}

// What stuck bits do is found by reading back; the chain then looks bootable no more.
func TestStuckBitsAreFoundByReadingBack(t *testing.T) {
	p := layoutOf(4<<10, 8)
	flash := p.old(p.release(1))
	im := p.release(2)
	for _, name := range []string{"B_dce-fw", "B_mb1"} {
		r := newRig(t, p, flash, nil)
		q := p.part(name)
		inner := r.s.open
		r.s.open = func(m *device.Machine, node string, write bool) (mtd.Flash, error) {
			f, err := inner(m, node, write)
			return stuck{f, q.off + 5000}, err
		}
		_, err := r.install(pack(t, im), backends.B)
		if fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "/dev/mtd0") || !strings.Contains(err.Error(), "at 0x") {
			t.Errorf("%s: %v", name, err)
		}
		if headValid(r.bytes(), p.part("B_mb1")) {
			t.Errorf("%s: the chain looks bootable", name)
		}
	}
}

// stuck reads a byte as something else once it was changed.
type stuck struct {
	mtd.Flash
	at int64
}

func (s stuck) Program(b []byte, off int64) error {
	if s.at >= off && s.at < off+int64(len(b)) {
		b = bytes.Clone(b)
		b[s.at-off] &= 0xfe
		if b[s.at-off]&2 != 0 {
			b[s.at-off] ^= 2
		}
	}
	return s.Flash.Program(b, off)
}

// A block that held its content already and no longer does at the end is found as well, and the chain looks bootable no more.
func TestBlocksThatWereEqualAreReadBackToo(t *testing.T) {
	p := layoutOf(4<<10, 8)
	old := p.release(1)
	r := newRig(t, p, p.old(old), nil)
	im := images{}
	for name, data := range old {
		im[name] = bytes.Clone(data)
	}
	im["mb2"][7] ^= 1
	mb1, adsp := p.part("B_mb1").off, p.part("B_adsp-fw").off
	inner := r.s.open
	r.s.open = func(m *device.Machine, node string, write bool) (mtd.Flash, error) {
		f, err := inner(m, node, write)
		return disturbed{f, mb1, func() { _, _ = r.memory.WriteAt([]byte{^im["adsp-fw"][9]}, adsp+9) }}, err
	}
	_, err := r.install(pack(t, im.seal(p, bytes.NewReader(im["mb1"][256:]))), backends.B)
	if fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "cannot trust adsp-fw on /dev/mtd0: read back") {
		t.Error(err)
	}
	if headValid(r.bytes(), p.part("B_mb1")) {
		t.Error("the chain looks bootable")
	}
}

// disturbed does something when a place is programmed.
type disturbed struct {
	mtd.Flash
	at int64
	do func()
}

func (d disturbed) Program(b []byte, off int64) error {
	if off == d.at {
		d.do()
	}
	return d.Flash.Program(b, off)
}
