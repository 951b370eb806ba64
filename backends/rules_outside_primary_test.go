package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// After set-state bad, set-primary is RAUC's word that the slot is whole: bootable, selected, read back.
func TestSetPrimaryTakesTheUpdatersWord(t *testing.T) {
	d := newRule(t)
	d.raucInstalls("one", "")
	a, err := d.setPrimary(backends.B)
	ruleMust(t, err)
	if a.Slot != backends.B || a.Firmware != nil || d.word("BootChainFwNext") != 1 || d.requested() {
		t.Errorf("%+v, BootChainFwNext %d, capsule requested %t; want a plain switch to B", a, d.word("BootChainFwNext"), d.requested())
	}
	d.wantMarks(ruleBootable, ruleBootable)
	if got := d.status().Slots[backends.B].Rootfs; got != backends.Whole || !d.good(backends.B) || d.primary() != backends.B {
		t.Errorf("B is %s, good %t, primary %s; want whole, good, B", got, d.good(backends.B), d.primary())
	}
	_, err = d.setPrimary(backends.B) // idempotent
	ruleMust(t, err)
	d.arrive(backends.B)
}

// With firmware staged it arms the capsule, which is the switch; both at once would cancel each other.
func TestSetPrimaryArmsTheStagedCapsule(t *testing.T) {
	d := newRule(t)
	d.raucInstalls("one", "36.4.3")
	a, err := d.setPrimary(backends.B)
	ruleMust(t, err)
	if a.Firmware == nil || !d.requested() || !d.has(ruleArmed) || d.word("BootChainFwNext") >= 0 {
		t.Errorf("%+v, requested %t, armed %t, BootChainFwNext %d; want the capsule alone",
			a, d.requested(), d.has(ruleArmed), d.word("BootChainFwNext"))
	}
	if d.primary() != backends.B {
		t.Errorf("primary is %q with the capsule armed, want B", d.primary())
	}
	d.arrive(backends.B)
	if c, err := d.Chain(virtual.B); err != nil || c.VersionText != "36.4.3" {
		t.Errorf("chain B holds %s (%v)", c.VersionText, err)
	}
}

// Without an install it is a person's switch, recorded and judged like one.
func TestSetPrimaryRecordsAnUpdateWithAnIdleJournal(t *testing.T) {
	d := newRule(t)
	_, err := d.setPrimary(backends.B)
	ruleMust(t, err)
	if u := d.status().Update; u.State != backends.Activated || *u.Target != backends.B {
		t.Errorf("the update is %s, want activated for B", u.State)
	}
	d.arrive(backends.B)
	if u := d.status().Update; u.State != backends.Committed {
		t.Errorf("the update is %s, want committed", u.State)
	}
}

// The update of another front end is activated by it, too.
func TestSetPrimaryActivatesAnUpdateInFlight(t *testing.T) {
	d := newRule(t)
	d.install("36.4.3")
	_, err := d.setPrimary(backends.B)
	ruleMust(t, err)
	if !d.requested() || d.word("BootChainFwNext") >= 0 {
		t.Error("the staged capsule is not armed")
	}
	d.arrive(backends.B)
}

// RAUC's word does not reach what tegra-image left half written and nobody has touched since.
func TestSetPrimaryDoesNotVouchForWhatTegraImageTore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		between func(d *ruleDevice)
		words   string
	}{
		{"nothing written", func(*ruleDevice) {}, "half written, and nothing was written to it since"},
		{"marked twice", func(d *ruleDevice) { d.bad(backends.B) }, "half written, and nothing was written to it since"},
		{
			"marked in two boots", func(d *ruleDevice) { d.arrive(backends.A); d.bad(backends.B) },
			"half written, and nothing was written to it since",
		},
		{
			"firmware staged", func(d *ruleDevice) { _, err := d.stage("36.4.3", ruleRAUC); ruleMust(d.t, err) },
			"half written, and nothing was written to it since",
		},
		{"written", func(d *ruleDevice) { d.outside(backends.B, 0, "one") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			if err := d.writeFrom("APP", "u", &ruleBroken{left: 3 << 19}, false); err == nil {
				t.Fatal("a broken stream was accepted")
			}
			d.bad(backends.B)
			tt.between(d)
			before := d.snapshot()
			_, err := d.setPrimary(backends.B)
			if tt.words != "" {
				ruleRefused(t, err, fail.Unavailable, tt.words)
				d.wantSame(before)
				d.wantMarks(ruleBootable, ruleUnbootable)
				return
			}
			ruleMust(t, err)
			d.arrive(backends.B)
		})
	}
}

// The same bundle once more, after an install of it was interrupted: what RAUC tore, RAUC cures. The first blocks are already
// those of the image then, and must not be taken for a proof that nobody wrote.
func TestSameBundleAgainIsTheCure(t *testing.T) {
	for _, tt := range []struct {
		name      string
		interrupt func(d *ruleDevice)
	}{
		{"in the same boot", func(*ruleDevice) {}},
		{"after a power cut", func(d *ruleDevice) { d.boot(virtual.BootOptions{Cold: true}); d.wantBoot(backends.A, true, false) }},
		{"interrupted twice", func(d *ruleDevice) {
			d.boot(virtual.BootOptions{Cold: true})
			d.bad(backends.B)
			d.outside(backends.B, 0, "the image")
			d.boot(virtual.BootOptions{Cold: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			d.bad(backends.B)
			d.outside(backends.B, 0, "the image") // and no more of it
			tt.interrupt(d)
			d.bad(backends.B)
			d.outside(backends.B, 0, "the image")
			d.outside(backends.B, 1<<20, "its end")
			_, err := d.setPrimary(backends.B)
			ruleMust(t, err)
			d.arrive(backends.B)
		})
	}
}

// The bundle that is installed already, over itself: not a byte changes, and it is an install all the same.
func TestSameBundleOverItselfInstalls(t *testing.T) {
	d := newRule(t)
	d.raucInstalled("one", "")
	d.raucInstalled("one", "36.4.3")
	d.arrive(backends.B)
}

// A kernel that an earlier update tore is not in RAUC's word: that is about the root file system it wrote.
func TestSetPrimaryDoesNotVouchForATornKernel(t *testing.T) {
	d := newRule(t, ruleRoomy)
	if err := d.writeFrom("kernel", "u", &ruleBroken{left: 3 << 19}, false); err == nil {
		t.Fatal("a broken stream was accepted")
	}
	d.raucInstalls("one", "")
	before := d.snapshot()
	_, err := d.setPrimary(backends.B)
	ruleRefused(t, err, fail.Unavailable, "kernel may be half written")
	d.wantSame(before)
	d.wantMarks(ruleBootable, ruleUnbootable)
}
