package backends_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// order is set-state bad while nothing is installed: somebody's order, and no beginning of an update.
func (d *ruleDevice) order(slot backends.Slot) []string {
	d.t.Helper()
	_, c := d.control()
	warnings, err := c.SetBad(context.Background(), ruleRAUC, slot, false)
	ruleMust(d.t, err)
	return warnings
}

// A slot that is marked bad by hand is not half written: it is good again when somebody says so, also after a reboot, and
// bootable when somebody selects it. Until then it is no fall-back and no target of firmware alone.
func TestOrderAgainstTheOtherSlotIsNoUpdate(t *testing.T) {
	for name, reboot := range map[string]bool{"at once": false, "after a reboot": true} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.order(backends.B)
			d.order(backends.B)
			d.wantMarks(ruleBootable, ruleUnbootable)
			st := d.status()
			if st.Update.State != backends.Idle || st.Slots[backends.B].Rootfs != backends.Whole || d.good(backends.B) {
				t.Errorf("update %s, B %s and good %t; want idle, whole, bad", st.Update.State, st.Slots[backends.B].Rootfs, d.good(backends.B))
			}
			if reboot {
				d.boot(virtual.BootOptions{})
				d.wantBoot(backends.A, true, false)
			}
			_, c := d.control()
			problems, err := c.Check(context.Background(), backends.Scope{FirmwareOnly: true})
			ruleMust(t, err)
			refused := false
			for _, p := range problems {
				refused = refused || p.Code() == fail.Unavailable
			}
			if !refused {
				t.Errorf("firmware alone would boot a slot that was marked bad: %v", problems)
			}
			ruleMust(t, d.setGood(backends.B))
			d.wantMarks(ruleBootable, ruleBootable)
			d.order(backends.B)
			_, err = d.setPrimary(backends.B)
			ruleMust(t, err)
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.B, true, false)
		})
	}
}

// As RAUC's prevent-late-fallback does behind mark-good at every boot: the verdict stays what it was.
func TestOrderAgainstTheOtherSlotKeepsTheVerdict(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	ruleMust(t, d.setGood(backends.B))
	d.order(backends.A)
	d.wantMarks(ruleUnbootable, ruleBootable)
	if st := d.status(); st.Update.State != backends.Committed || d.verdict().Outcome != backends.Applied {
		t.Errorf("update %s, verdict %s; want committed, applied", st.Update.State, d.verdict().Outcome)
	}
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, true, false)
}

// A system on trial that calls itself bad is given up, whatever the health checks say; accepted later, the order is forgotten.
func TestOrderAgainstTheSlotOnTrialGivesItUp(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	d.order(backends.B)
	b, err := d.verify()
	ruleMust(t, err)
	if !b.Reboot || b.Committed {
		t.Errorf("committed %t, reboot %t; want the slot given up: %s", b.Committed, b.Reboot, b.Message)
	}
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.A, true, false)
	d.raucInstalled("the next", "")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, true, false)
}

// Without a trial, too: boot-verify, and whoever waits for its commit, does not call good what was called bad in the same boot. Where
// no other slot can boot, the running one goes on.
func TestOrderAgainstTheRunningSlotOutlivesBootVerify(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.bare(virtual.BootOptions{})
	d.order(backends.A)
	b, err := d.verify()
	ruleMust(t, err)
	if b.Committed || b.Reboot || !strings.Contains(b.Message, "marked bad while it ran") {
		t.Errorf("committed %t, reboot %t: %s", b.Committed, b.Reboot, b.Message)
	}
	d.wantMarks(ruleUnbootable, ruleBootable)
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, true, false)

	d.order(backends.A)
	d.order(backends.B)
	b, err = d.verify()
	ruleMust(t, err)
	if !b.Committed {
		t.Errorf("slot B is the only one that can go on: %s", b.Message)
	}
	d.wantMarks(ruleUnbootable, ruleBootable)
}

// A slot that was marked bad while it ran is no way back for what comes after it.
func TestNoRollBackToASlotThatWasMarkedBad(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.activated("")
	d.order(backends.A)
	d.bare(virtual.BootOptions{})
	reboot, err := d.rollback()
	ruleMust(t, err)
	if st := d.status(); reboot || !strings.Contains(st.Update.Reason, "no way back: slot A was marked bad") || st.Slots[backends.A].Rootfs != backends.Whole {
		t.Errorf("reboot %t, A %s: %s", reboot, st.Slots[backends.A].Rootfs, st.Update.Reason)
	}
}

// Any one write that fails in set-primary leaves nothing that looks like a success: RAUC says that the install failed. Then the
// same call works.
func TestFailedActivationIsTakenBack(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		for at := 1; at <= 30; at++ { // a capsule takes some 20 changes
			t.Run(fmt.Sprintf("%s %d", l4t, at), func(t *testing.T) {
				d := newRule(t)
				ruleMust(t, d.commit())
				d.raucInstalls("new", l4t)
				d.failAt = at
				if _, err := d.setPrimary(backends.B); err == nil {
					return // a change that may fail, as the marks' copy on the ESP, or none any more
				}
				if d.primary() != backends.A || d.good(backends.B) {
					t.Errorf("primary %q, B good %t; want A, bad", d.primary(), d.good(backends.B))
				}
				d.wantMarks(ruleBootable, ruleUnbootable)
				_, err := d.setPrimary(backends.B)
				ruleMust(t, err)
				d.boot(virtual.BootOptions{})
				d.wantBoot(backends.B, true, false)
			})
		}
	}
}
