package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// What is refused changes nothing, and RAUC's install then ends with the slot bad and the primary as it was.
func TestSetPrimaryRefusals(t *testing.T) {
	older := func(d *ruleDevice) {
		d.raucInstalled("one", "36.4.3")
		d.arrive(backends.B)
	}
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		slot  backends.Slot
		code  fail.Code
		words string
	}{
		{
			"torn, without a word", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); ruleMust(d.t, d.abort()) }, backends.B,
			fail.Unavailable, "half written",
		},
		{
			"unconfirmed", func(d *ruleDevice) { ruleMust(d.t, d.writeFrom("APP", "u", strings.NewReader("image"), true)) },
			backends.B, fail.Unavailable, "did not confirm",
		},
		{"dirty", func(d *ruleDevice) {
			d.cutCapsule(virtual.AfterCutBothCleared)
			d.boot(virtual.BootOptions{})
			d.raucInstalls("two", "")
		}, backends.B, fail.Unavailable, "firmware may be half written"},
		{"on trial", func(d *ruleDevice) { d.onTrial("") }, backends.A, fail.Busy, "not judged"},
		{
			"chain and root disagree", func(d *ruleDevice) { d.raucInstalls("one", ""); ruleWrongRoot(d) }, backends.B,
			fail.Unavailable, "root file system of slot B",
		},
		{"the running one, chain and root disagree", ruleWrongRoot, backends.A, fail.Unavailable, "root file system of slot B"},
		{"BootNext", func(d *ruleDevice) {
			d.raucInstalls("one", "")
			d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00")
		}, backends.B, fail.Unavailable, "BootNext"},
		{
			"foreign switch", func(d *ruleDevice) { d.raucInstalls("one", ""); d.set("BootChainFwNext", 1) }, backends.B,
			fail.Unavailable, "not tegra-ota's",
		},
		{"older firmware", func(d *ruleDevice) {
			older(d)
			_, err := d.setBad(backends.A)
			ruleMust(d.t, err)
			d.outside(backends.A, 0, "two")
		}, backends.A, fail.Unavailable, "36.4.0 is older than the running 36.4.3"},
		// The word is about this boot's write; nobody knows what a power cut left of it.
		{"after a reboot", func(d *ruleDevice) { d.raucInstalls("one", ""); d.arrive(backends.A) }, backends.B, fail.Unavailable, "half written"},
		{
			"after a reboot, before boot-verify", func(d *ruleDevice) { d.raucInstalls("one", ""); d.bare(virtual.BootOptions{}) },
			backends.B, fail.Unavailable, "rebooted",
		},
		{"after the hook failed", func(d *ruleDevice) {
			d.raucInstalls("one", "")
			if _, err := d.stageRaw(d.capsule("36.4.3")[:5000], ruleRAUC); err == nil {
				d.t.Fatal("half a capsule was staged")
			}
			ruleMust(d.t, d.abort())
		}, backends.B, fail.Unavailable, "half written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.spoil(d)
			before := d.snapshot()
			_, err := d.setPrimary(tt.slot)
			ruleRefused(t, err, tt.code, tt.words)
			d.wantSame(before)
		})
	}
}

// mark-active is a person's, outside an install: it vouches for nothing that was written since set-state bad.
func (d *ruleDevice) markActive(slot backends.Slot) (backends.Activation, error) {
	d.t.Helper()
	_, c := d.control()
	return c.SetPrimary(context.Background(), ruleRAUC, slot, false)
}

func TestMarkActiveDoesNotVouchForAnInstallThatDidNotEnd(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		words   string
	}{
		{"idle", func(*ruleDevice) {}, ""},
		{"marked bad, and nothing written", func(d *ruleDevice) { d.bad(backends.B) }, ""},
		{"installed", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3") }, ""},
		{"installed, and taken back", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3"); d.active(backends.A) }, ""},
		{"another front end's, complete", func(d *ruleDevice) { d.install("36.4.3") }, ""},
		{"half written", func(d *ruleDevice) { d.bad(backends.B); d.outside(backends.B, 0, "x") }, "the install did not end"},
		{
			"half written, behind the first blocks", func(d *ruleDevice) { d.bad(backends.B); d.outside(backends.B, 1<<20, "x") },
			"the install did not end",
		},
		{"written, and the hook failed", func(d *ruleDevice) { d.raucInstalls("one", "36.4.3") }, "the install did not end"},
		{"half written, and marked bad once more", func(d *ruleDevice) {
			d.bad(backends.B)
			d.outside(backends.B, 0, "x")
			d.bad(backends.B)
		}, "half written"},
		{"half written, and a reboot", func(d *ruleDevice) { d.raucInstalls("one", ""); d.arrive(backends.A) }, "half written"},
		{"half written, a reboot, marked bad once more", func(d *ruleDevice) {
			d.raucInstalls("one", "")
			d.arrive(backends.A)
			d.bad(backends.B)
		}, "half written"},
		{
			"half written by tegra-image",
			func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); ruleMust(d.t, d.abort()); d.bad(backends.B) }, "half written",
		},
		{"the running slot", func(d *ruleDevice) { d.bad(backends.A) }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			ruleMust(t, d.commit())
			tt.prepare(d)
			slot := backends.B
			if tt.name == "the running slot" {
				slot = backends.A
			}
			before := d.snapshot()
			_, err := d.markActive(slot)
			if tt.words != "" {
				ruleRefused(t, err, fail.Unavailable, tt.words)
				d.wantSame(before)
				return
			}
			ruleMust(t, err)
			d.arrive(slot)
		})
	}
}

// Set-primary on the running slot takes an activation back.
func TestSetPrimaryOnTheRunningSlotTakesAnActivationBack(t *testing.T) {
	for name, l4t := range map[string]string{"switch": "", "capsule": "36.4.3"} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.raucInstalled("one", l4t)
			a, err := d.setPrimary(backends.A)
			ruleMust(t, err)
			if a.Slot != backends.A || d.primary() != backends.A || d.word("BootChainFwNext") >= 0 || d.requested() || d.has(ruleArmed) {
				t.Errorf("%+v, primary %s, BootChainFwNext %d, requested %t", a, d.primary(), d.word("BootChainFwNext"), d.requested())
			}
			_, err = d.setPrimary(backends.B) // and again
			ruleMust(t, err)
			d.arrive(backends.B)
		})
	}
}

// A slot that runs although it may be half written is not made the primary one, and the way out of it is not taken away.
func TestSetPrimaryOnATornRunningSlotChangesNothing(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.remark("A", "rootfs", "torn")
	d.remark("B", "rootfs", "whole")
	_, err := d.activate(backends.B)
	ruleMust(t, err)
	before := d.snapshot()
	_, err = d.setPrimary(backends.A)
	ruleRefused(t, err, fail.Unavailable, "half written")
	d.wantSame(before)
	d.arrive(backends.B)
}

// Set-primary on a slot on trial is no verdict: boot-verify still judges.
func TestSetPrimaryOnTheSlotOnTrialEndsNoTrial(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.onTrial("36.4.3")
	if _, err := d.setPrimary(backends.B); err != nil && fail.CodeOf(err) != fail.Busy {
		t.Error(err)
	}
	_, err := d.verify()
	ruleMust(t, err)
	d.wantBoot(backends.B, false, true)
	d.arrive(backends.A)
}
