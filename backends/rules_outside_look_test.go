package backends_test

import (
	"os"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Marked bad and written: only a complete install makes it good again.
func TestSetGoodAfterSetBadAndAWriteIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(d *ruleDevice)
	}{
		{"the first block", func(d *ruleDevice) { d.outside(backends.B, 0, "x") }},
		{"the first block, which is not counted yet", func(d *ruleDevice) {
			part := d.path("dev/disk/by-partlabel/APP_b")
			info, err := os.Stat(part)
			ruleMust(d.t, err)
			d.outside(backends.B, 0, "x")
			ruleMust(d.t, os.Chtimes(part, info.ModTime(), info.ModTime())) // the page cache has it; the kernel counts what leaves that
		}},
		{"marked once more", func(d *ruleDevice) { d.outside(backends.B, 0, "x"); d.bad(backends.B) }},
		{"by tegra-image", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", ruleRAUC)) }},
		{"a kernel by tegra-image", func(d *ruleDevice) { ruleMust(d.t, d.write("kernel", ruleRAUC)) }},
		// What was written last may have reached the storage first: after a reboot the first blocks prove nothing.
		{"nothing that is known, and a reboot", func(d *ruleDevice) { d.arrive(backends.A) }},
		{"the last block, and a power cut", func(d *ruleDevice) { d.outside(backends.B, 1<<20, "x"); d.arrive(backends.A) }},
		{"the same, and marked once more", func(d *ruleDevice) {
			d.outside(backends.B, 1<<20, "x")
			d.arrive(backends.A)
			d.bad(backends.B)
		}},
		{"the same before boot-verify", func(d *ruleDevice) {
			d.outside(backends.B, 1<<20, "x")
			d.bare(virtual.BootOptions{Cold: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			ruleMust(t, d.commit())
			d.bad(backends.B)
			tt.act(d)
			before := d.snapshot()
			ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
			d.wantSame(before)
			if d.good(backends.B) {
				t.Error("B is good")
			}
		})
	}
}

// Two reproducible images can have the same first blocks: mke2fs 1.47 with a fixed UUID, hash seed and time writes the same 64 KiB
// for trees that differ in a file's content alone. An install of the one over the other that stops half-way leaves a torn slot.
func TestSetGoodAfterAWriteBehindTheFirstBlocksIsRefused(t *testing.T) {
	d := newRule(t, ruleRoomy)
	image := []byte(d.rawText("dev/disk/by-partlabel/APP_b"))
	d.bad(backends.B)
	d.outside(backends.B, 0, string(image[:1<<20]))
	d.outside(backends.B, 1<<20, "another file's content; the rest of the image never came")
	before := d.snapshot()
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
	d.wantSame(before)
}

// Nor does a read error prove that nobody wrote.
func TestSetGoodWhereTheSlotCannotBeReadIsRefused(t *testing.T) {
	d := newRule(t)
	d.bad(backends.B)
	d.remove("dev/nvme0n1p2")
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
	d = makeRule(t)
	d.remove("dev/nvme0n1p2")
	d.bad(backends.B)
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
}
