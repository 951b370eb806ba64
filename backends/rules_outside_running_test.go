package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Set-state bad on the running slot is an order: obeyed, no slot selected, no update begun. The other one boots next by the
// launcher's fall-back.
func TestSetBadOnTheRunningSlotObeysAndSelectsNothing(t *testing.T) {
	for name, cold := range map[string]bool{"warm": false, "cold": true} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.bad(backends.A)
			d.wantMarks(ruleUnbootable, ruleBootable)
			st := d.status()
			if st.Update.State != backends.Idle || d.word("BootChainFwNext") >= 0 || *st.Next != backends.A {
				t.Errorf("update %s, BootChainFwNext %d, next %s; want idle, none, A", st.Update.State, d.word("BootChainFwNext"), *st.Next)
			}
			if d.good(backends.A) || d.primary() != backends.None {
				t.Errorf("A good %t, primary %q; want bad, none", d.good(backends.A), d.primary())
			}
			d.boot(virtual.BootOptions{Cold: cold})
			d.wantBoot(backends.B, true, false)
			if d.good(backends.A) || d.primary() != backends.B {
				t.Errorf("on B: A good %t, primary %s; want bad, B", d.good(backends.A), d.primary())
			}
		})
	}
}

// Somebody found that slot bad: nothing of ours goes back to it, until it is called good again.
func TestSetBadOnTheRunningSlotTakesTheWayBack(t *testing.T) {
	for name, revive := range map[string]bool{"marked bad": false, "and good again": true} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.raucInstalled("one", "")
			d.bad(backends.A)
			if revive {
				ruleMust(t, d.setGood(backends.A))
			}
			d.health("10-no", "exit 1")
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.B, !revive, revive)
			if !revive && (d.last.State != backends.Failed || !ruleMatch(d.last.Message, "no way back")) {
				t.Errorf("%s: %s; want failed, no way back", d.last.State, d.last.Message)
			}
		})
	}
}

// A person may: marked good, or active, it boots again after the reboot, too.
func TestSlotMarkedBadWhileItRanIsRevivedByAPerson(t *testing.T) {
	for name, act := range map[string]func(d *ruleDevice) error{
		"mark-good":   func(d *ruleDevice) error { return d.setGood(backends.A) },
		"mark-active": func(d *ruleDevice) error { _, err := d.markActive(backends.A); return err },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.bad(backends.A)
			d.arrive(backends.B)
			ruleMust(t, act(d))
			d.wantMarks(ruleBootable, ruleBootable)
			if !d.good(backends.A) {
				t.Error("A is bad")
			}
			_, err := d.markActive(backends.A)
			ruleMust(t, err)
			d.arrive(backends.A)
		})
	}
}

// On the last bootable slot the order is obeyed all the same, and what follows is said.
func TestSetBadOnTheLastBootableSlotObeysAndWarns(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.bad(backends.B)
	warnings, err := d.setBad(backends.A)
	ruleMust(t, err)
	if !ruleContains(warnings, "slot A was the last bootable one.*recovery") {
		t.Errorf("it warns %q", warnings)
	}
	d.wantMarks(ruleUnbootable, ruleUnbootable)
	if r := d.bare(virtual.BootOptions{}); r.Outcome != virtual.OutcomeRecovery {
		t.Errorf("the boot ended %s, want recovery, as ordered", r.Outcome)
	}
}

// The other order: the running slot is bad already. It is not revived behind the back of whoever said so; RAUC's own
// install then is the cure.
func TestSetBadOnTheOtherSlotDoesNotReviveTheRunningOne(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.bad(backends.A)
	warnings, err := d.setBad(backends.B)
	ruleMust(t, err)
	if !ruleContains(warnings, "no slot is bootable now") {
		t.Errorf("it warns %q", warnings)
	}
	d.wantMarks(ruleUnbootable, ruleUnbootable)
	d.outside(backends.B, 0, "one")
	_, err = d.setPrimary(backends.B)
	ruleMust(t, err)
	d.wantMarks(ruleUnbootable, ruleBootable)
	d.arrive(backends.B)
}

// Nobody but RAUC gives such an order: our own install makes sure of the running slot.
func TestOnlyAnOrderMakesBothSlotsUnbootable(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.bad(backends.A)
	ruleMust(t, d.write("APP", "u"))
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// That order is RAUC's word about the running slot, and nothing else is: a slot that is known whole, and that somebody else's hand or
// the launcher marked, is made sure of before the other one is.
func TestSetBadOnTheOtherSlotRevivesARunningOneThatNobodyCalledBad(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.set("RootfsStatusSlotA", 255)
	d.bad(backends.B)
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// Twice is once.
func TestSetBadOnTheRunningSlotIsIdempotent(t *testing.T) {
	d := newRule(t)
	d.bad(backends.A)
	d.bad(backends.A)
	d.wantMarks(ruleUnbootable, ruleBootable)
}

// Mark-good takes the order back, and so does mark-active.
func TestRunningSlotIsRevivedByMarkGoodAndMarkActive(t *testing.T) {
	for name, act := range map[string]func(d *ruleDevice) error{
		"mark-good":   func(d *ruleDevice) error { return d.setGood(backends.A) },
		"mark-active": func(d *ruleDevice) error { _, err := d.setPrimary(backends.A); return err },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.bad(backends.A)
			ruleMust(t, act(d))
			d.wantMarks(ruleBootable, ruleBootable)
			if !d.good(backends.A) || d.primary() != backends.A {
				t.Errorf("A good %t, primary %q; want good, A", d.good(backends.A), d.primary())
			}
			d.arrive(backends.A)
		})
	}
}

// Where the firmware has nothing to fall back to the order cannot be obeyed.
func TestSetBadOnTheRunningSlotRefusals(t *testing.T) {
	for _, tt := range []struct {
		name       string
		redundancy virtual.Redundancy
		spoil      func(d *ruleDevice)
		words      string
	}{
		{"redundancy 0", virtual.BootOnly, nil, "no other root file system"},
		{"redundancy absent", virtual.NoVariables, func(d *ruleDevice) { d.opts.AllowWithoutFallback = true }, "no other root file system"},
		{"chain and root disagree", virtual.RootfsAB, ruleWrongRoot, "chain A runs with the root file system of slot B"},
		{"efivarfs read-only", virtual.RootfsAB, func(d *ruleDevice) { d.readOnly(ruleVariables) }, "read-only"},
		{
			"journal on the root file system", virtual.RootfsAB, func(d *ruleDevice) { d.opts.JournalFolder = "/var/lib/tegra-ota" },
			"root file system",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = tt.redundancy })
			ruleMust(t, d.commit())
			if tt.spoil != nil {
				tt.spoil(d)
			}
			before := d.snapshot()
			_, err := d.setBad(backends.A)
			ruleRefused(t, err, fail.Unavailable, tt.words)
			d.wantSame(before)
		})
	}
}

// With RootfsRedundancyLevel 0 the root file system that runs is A's, also under chain B.
func TestSetBadOnAPinnedRootIsTheRunningSlots(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly })
	_, err := d.stage("36.4.3", "u")
	ruleMust(t, err)
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.B)
	before := d.snapshot()
	for _, slot := range backends.Slots {
		_, err := d.setBad(slot)
		ruleRefused(t, err, fail.Unavailable, "RootfsRedundancyLevel is 0|no other root file system")
	}
	d.wantSame(before)
	ruleMust(t, d.setGood(backends.A)) // the whole commit, as for the slot that runs
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "RootfsRedundancyLevel is 0")
}
