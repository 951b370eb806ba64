package flash

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
)

// otherKind is a chip that calls itself something else.
type otherKind struct {
	mtd.Flash
	kind uint8
}

func (o otherKind) Info() mtd.Info {
	i := o.Flash.Info()
	i.Type = o.kind
	return i
}

// changed returns the layout with one partition elsewhere or of another size.
func (p plan) changed(name string, off, size int64) plan {
	q := p
	q.parts = append([]partition(nil), p.parts...)
	for i := range q.parts {
		if q.parts[i].name == name {
			q.parts[i].off += off
			q.parts[i].size += size
		}
	}
	return q
}

func (p plan) without(name string) plan {
	q := p
	q.parts = nil
	for _, part := range p.parts {
		if part.name != name {
			q.parts = append(q.parts, part)
		}
	}
	return q
}

func TestRefusalsLeaveTheFlashAsItIs(t *testing.T) {
	p := layoutOf(4<<10, 8)
	im := p.release(2)
	a, b := p.place(backends.A), p.place(backends.B)
	both := func(flash []byte, q plan) {
		copy(flash[a:], q.table(a))
		copy(flash[b:], q.table(b))
	}
	image := func(name string, data []byte) []bup.Image { return []bup.Image{{Name: name, Data: data}} }
	big := make([]byte, p.part("B_smm-fw").size+1)
	tests := []struct {
		name  string
		flash func(flash []byte)
		extra []bup.Image
		drop  string
		rig   func(r *rig)
		code  fail.Code
		want  string
	}{
		{name: "an image larger than its partition", extra: image("smm-fw", big), code: fail.Data, want: "do not fit into"},
		{name: "a name without a partition", extra: image("uefi", big[:9]), code: fail.Data, want: "chain B has no partition B_uefi"},
		{name: "a name of a shared partition", extra: image("uefi_variables", big[:9]), code: fail.Data, want: "no partition B_uefi_variables"},
		{name: "a name with the chain in it", extra: image("A_smm-fw", big[:9]), code: fail.Data, want: "no partition B_A_smm-fw"},
		{name: "eks", extra: image("eks", big[:9]), code: fail.Data, want: "both slots' secrets"},
		{name: "an empty image", extra: image("smm-fw", nil), code: fail.Data, want: "is empty"},
		{name: "no mb1", drop: "mb1", code: fail.Data, want: "holds no mb1"},
		{name: "both tables damaged", flash: func(f []byte) { f[a] ^= 1; f[b] ^= 1 }, code: fail.Unavailable, want: "checksum"},
		{name: "the running chain's table damaged", flash: func(f []byte) { f[a+gpt.ChainEntries+20] ^= 1 }, code: fail.Unavailable, want: "checksum"},
		{name: "the target's table damaged and none in the update", flash: func(f []byte) { f[b+5] ^= 1 }, code: fail.Unavailable, want: "the update brings none"},
		{name: "the running chain's table gone", flash: func(f []byte) { clear(f[a : a+gpt.ChainSize]) }, code: fail.Unavailable, want: "is gone"},
		{name: "no table at all", flash: func(f []byte) { clear(f[a : a+gpt.ChainSize]); clear(f[b : b+gpt.ChainSize]) }, code: fail.Unavailable, want: "no boot flash is visible"},
		{name: "tables that disagree on the target", flash: func(f []byte) { copy(f[a:], p.changed("B_mb2", 0, -512).table(a)) }, code: fail.Unavailable, want: "disagree on B_mb2"},
		{name: "a target over another of the target's", flash: func(f []byte) { both(f, p.changed("B_mb2", -p.erase, 0)) }, code: fail.Unavailable, want: "B_nvdec (/dev/mtd0 at 0x4a000): it overlaps B_mb2"},
		{name: "a target over the other chain", flash: func(f []byte) { both(f, p.changed("B_mb1", -p.erase, 0)) }, code: fail.Unavailable, want: "overlaps A_reserved_on_boot"},
		{name: "a target over a shared partition", flash: func(f []byte) { both(f, p.changed("uefi_variables", -2*p.erase, 0).changed("B_pva-fw", p.erase, 0)) }, code: fail.Unavailable, want: "overlaps"},
		{name: "a target over the running chain's table", flash: func(f []byte) { both(f, p.changed("B_VER", 2*unit64, 0)) }, code: fail.Unavailable, want: "overlaps the partition table of chain A"},
		{name: "a target over its own table", flash: func(f []byte) { both(f, p.changed("B_VER", -unit64, 0)) }, code: fail.Unavailable, want: "overlaps secondary_gpt_backup"},
		{name: "a place that no block starts at", flash: func(f []byte) { both(f, p.changed("B_pva-fw", 512, -512)) }, code: fail.Unavailable, want: "not whole erase blocks"},
		{name: "a size of no whole blocks", flash: func(f []byte) { both(f, p.changed("B_pva-fw", 0, -512)) }, code: fail.Unavailable, want: "not whole erase blocks"},
		{name: "a table without mb1", flash: func(f []byte) { both(f, p.without("B_mb1")) }, code: fail.Unavailable, want: "lists no B_mb1"},
		{name: "a partition twice", flash: func(f []byte) {
			q := p.without("B_eks")
			q.parts = append(q.parts, partition{"B_mb2", p.part("B_eks").off, p.part("B_eks").size})
			both(f, q)
		}, code: fail.Unavailable, want: "names B_mb2 twice"},
		{name: "a table that moves a partition", extra: image(tableImages[1], p.changed("B_pva-fw", p.erase, 0).table(b)), code: fail.Data, want: "moves, resizes or drops B_pva-fw"},
		{name: "a table that resizes a partition of the other chain", extra: image(tableImages[1], p.changed("A_pva-fw", 0, -512).table(b)), code: fail.Data, want: "drops A_pva-fw"},
		{name: "a table that drops a partition", extra: image(tableImages[1], p.without("worm").table(b)), code: fail.Data, want: "drops worm"},
		{name: "a table whose new partition overlaps", extra: image(tableImages[1], p.table(b, partition{"B_new", 0, p.erase})), code: fail.Data, want: "overlaps BCT"},
		{name: "a damaged table", extra: image(tableImages[1], func() []byte { x := p.table(b); x[3] ^= 1; return x }()), code: fail.Data, want: "checksum"},
		{name: "a table that is cut off", extra: image(tableImages[1], p.table(b)[:gpt.ChainSize-512]), code: fail.Data, want: "want 16896"},
		{name: "a table that would not be found", extra: image(tableImages[1], p.table(p.part("worm").off)), code: fail.Data, want: "would not be found"},
		{name: "NAND", rig: func(r *rig) { r.kind(unix.MTD_NANDFLASH) }, code: fail.Unavailable, want: "want NOR flash"},
		{name: "RAM", rig: func(r *rig) { r.kind(unix.MTD_RAM) }, code: fail.Unavailable, want: "want NOR flash"},
		{name: "a chip of unknown layout", rig: func(r *rig) { r.s.chip = chip.T264 }, code: fail.Unavailable, want: "layout of its boot flash is not known"},
		{name: "no flash device", rig: func(r *rig) { r.file("/proc/mtd", "dev:    size   erasesize  name\n") }, code: fail.Unavailable, want: "PcdAllowOsAccessQspi"},
		{name: "a flash device that does not open", rig: func(r *rig) {
			r.s.open = func(*device.Machine, string, bool) (mtd.Flash, error) { return nil, fail.New(fail.Permission, "no") }
		}, code: fail.Permission, want: "no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flash := p.old(p.release(1))
			if tt.flash != nil {
				tt.flash(flash)
			}
			r := newRig(t, p, flash, nil)
			if tt.rig != nil {
				tt.rig(r)
			}
			update := images{}
			for name, data := range im {
				if name != tt.drop {
					update[name] = data
				}
			}
			_, err := r.install(pack(t, update, tt.extra...), backends.B)
			if fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v (%v), want %q (%v)", err, fail.CodeOf(err), tt.want, tt.code)
			}
			if c := r.chip.Counts(); c != (nor.Counts{}) || !bytes.Equal(r.bytes(), flash) {
				t.Errorf("the flash changed: %+v", c)
			}
		})
	}
}

func (r *rig) kind(kind uint8) {
	r.s.open = func(m *device.Machine, node string, _ bool) (mtd.Flash, error) {
		return otherKind{mtd.On(m, node, r.chip), kind}, nil
	}
}
