package backends_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The rules_outside_*_test.go files hold the rules of an updater that writes the root file system itself, as RAUC does. It says
// when it begins (set-state bad) and when it has finished (set-primary), and writes in between without asking anybody.

// ruleRAUC is the name of RAUC's updates.
const ruleRAUC = "rauc"

// setBad is RAUC's set-state bad: mark-bad, and the first step of an install.
func (d *ruleDevice) setBad(slot backends.Slot) ([]string, error) {
	d.t.Helper()
	_, c := d.control()
	return c.SetBad(context.Background(), ruleRAUC, slot, true)
}

// bad is setBad that must be obeyed, without a warning.
func (d *ruleDevice) bad(slot backends.Slot) {
	d.t.Helper()
	warnings, err := d.setBad(slot)
	ruleMust(d.t, err)
	if len(warnings) > 0 {
		d.t.Errorf("marking slot %s bad warns %q", slot, warnings)
	}
}

// setGood is RAUC's set-state good.
func (d *ruleDevice) setGood(slot backends.Slot) error {
	d.t.Helper()
	_, c := d.control()
	_, err := c.SetGood(context.Background(), slot)
	return err
}

// setPrimary is RAUC's set-primary: mark-active, and the last step of an install.
func (d *ruleDevice) setPrimary(slot backends.Slot) (backends.Activation, error) {
	d.t.Helper()
	_, c := d.control()
	return c.SetPrimary(context.Background(), ruleRAUC, slot, true)
}

// primary is RAUC's get-primary.
func (d *ruleDevice) primary() backends.Slot {
	d.t.Helper()
	_, c := d.control()
	slot, err := c.Primary(context.Background())
	ruleMust(d.t, err)
	d.unchanged("get-primary")
	return slot
}

// good is RAUC's get-state.
func (d *ruleDevice) good(slot backends.Slot) bool {
	d.t.Helper()
	_, c := d.control()
	good, err := c.Good(context.Background(), slot)
	ruleMust(d.t, err)
	d.unchanged("get-state")
	return good
}

func (d *ruleDevice) unchanged(verb string) {
	d.t.Helper()
	if n := d.trace.Count(); n != 0 {
		d.t.Errorf("%s changed the device: %q", verb, d.trace.Changes())
	}
}

// outside writes bytes into a slot's root file system behind tegra-ota's back.
func (d *ruleDevice) outside(slot backends.Slot, at int64, text string) {
	d.t.Helper()
	f, err := os.OpenFile(d.path("dev/disk/by-partlabel/"+slot.RootPartition()), os.O_WRONLY, 0)
	ruleMust(d.t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte(text), at)
	ruleMust(d.t, err)
}

// raucInstalls is what `rauc install` does with a bundle, up to but without set-primary: l4t is the firmware in it, "" for none.
func (d *ruleDevice) raucInstalls(image, l4t string) {
	d.t.Helper()
	_, err := d.setBad(backends.B)
	ruleMust(d.t, err)
	d.outside(backends.B, 0, strings.Repeat(image, 4000))
	if l4t != "" {
		_, err := d.stage(l4t, ruleRAUC)
		ruleMust(d.t, err)
	}
}

// raucInstalled is the whole of `rauc install`.
func (d *ruleDevice) raucInstalled(image, l4t string) {
	d.t.Helper()
	d.raucInstalls(image, l4t)
	_, err := d.setPrimary(backends.B)
	ruleMust(d.t, err)
}

// The whole way: install, reboot, verdict, mark-good, and back again.
func TestOutsideUpdateFromInstallToMarkGood(t *testing.T) {
	for name, l4t := range map[string]string{"with firmware": "36.4.3", "without firmware": ""} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.raucInstalled("one", l4t)
			d.arrive(backends.B)
			if v := d.verdict(); v.Outcome != backends.Applied {
				t.Errorf("verdict %+v", v)
			}
			ruleMust(t, d.setGood(backends.B))
			d.wantMarks(ruleBootable, ruleBootable)
			st := d.status()
			if st.Update.State != backends.Committed || st.Slots[backends.B].Rootfs != backends.Whole || st.Update.ID != ruleRAUC {
				t.Errorf("update %q is %s, B is %s; want %q committed, whole", st.Update.ID, st.Update.State, st.Slots[backends.B].Rootfs, ruleRAUC)
			}
			// Back, into the group that runs no more.
			_, err := d.setBad(backends.A)
			ruleMust(t, err)
			d.outside(backends.A, 0, strings.Repeat("two", 4000))
			if l4t != "" {
				_, err := d.stage(l4t, ruleRAUC)
				ruleMust(t, err)
			}
			_, err = d.setPrimary(backends.A)
			ruleMust(t, err)
			d.arrive(backends.A)
		})
	}
}

// A failing system is left for the old one, as with every other update.
func TestOutsideUpdateThatFailsIsRolledBack(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.raucInstalled("one", "36.4.3")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	d.arrive(backends.A)
	if d.good(backends.B) || d.primary() != backends.A {
		t.Errorf("B good %t, primary %s; want bad, A", d.good(backends.B), d.primary())
	}
}

// While the updater writes, nobody takes the update for complete: the capsule that was staged meanwhile does not make it so.
func TestOutsideUpdateIsIncompleteUntilTheUpdaterSaysSo(t *testing.T) {
	d := newRule(t)
	d.raucInstalls("one", "36.4.3")
	if got := d.status().Update.State; got != backends.Installing {
		t.Errorf("the update is %s with its firmware staged, want installing", got)
	}
	before := d.snapshot()
	for _, slot := range []backends.Slot{backends.None, backends.B} {
		_, err := d.activate(slot)
		ruleRefused(t, err, fail.Unavailable, "the updater has not said that the root file system is complete")
	}
	d.wantSame(before)
	_, _, err := d.activateFirmware()
	ruleRefused(t, err, fail.Unavailable, "the updater has not said that the root file system is complete")
	d.wantSame(before)
}

// Set-state bad begins an update; what never came is told at the next boot, by what did come.
func TestAbandonedOutsideUpdateIsToldAtTheNextBoot(t *testing.T) {
	for _, tt := range []struct {
		name, l4t, words string
	}{
		{"marked", "", "slot B was marked bad, and no install of it was finished"},
		{"firmware staged", "36.4.3", "the install was interrupted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.raucInstalls("one", tt.l4t)
			d.arrive(backends.A)
			u := d.status().Update
			if u.State != backends.Failed || !strings.Contains(u.Reason, tt.words) || u.NextStep == "" {
				t.Errorf("the update is %s: %q, next %q; want failed: %q", u.State, u.Reason, u.NextStep, tt.words)
			}
			if d.has(ruleStaged) || d.has(ruleArmed) || d.requested() {
				t.Error("the capsule is still there")
			}
			d.wantMarks(ruleBootable, ruleUnbootable)
			if d.good(backends.B) {
				t.Error("B is good")
			}
			d.raucInstalled("two", tt.l4t) // the cure
			d.arrive(backends.B)
		})
	}
}

func (d *ruleDevice) activateFirmware() (backends.Activation, bool, error) {
	d.t.Helper()
	_, c := d.control()
	return c.ActivateFirmwareOnly(context.Background(), ruleRAUC)
}
