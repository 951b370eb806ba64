package backends_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Journal, ESP and firmware know of the dirty chain before its first byte changes; nothing selects the slot before it is whole.
func TestChainIsDirtyAndNoWayBackBeforeItIsWritten(t *testing.T) {
	d := newRule(t)
	d.writing(chainWriter{})
	early := d.clone(t)
	_, err := d.writes("u")
	ruleMust(t, err)
	early.cutAt = 1 + slices.Index(d.trace.Changes(), "write chain B mb1")
	if _, err := early.writes("u"); !errors.Is(err, device.ErrPowerCut) {
		t.Fatal(err)
	}
	if early.journal().Marks["B"]["firmware"] != "dirty" || early.espMarks()["B"]["firmware"] != "dirty" || early.mark("B") != ruleUnbootable {
		t.Errorf("before the first write: journal %v, ESP %v, status and retries %s", early.journal().Marks["B"], early.espMarks()["B"], early.mark("B"))
	}
	for _, c := range d.trace.Changes() {
		if strings.Contains(c, "BootChainFwNext") {
			t.Errorf("install selects a slot: %s", c)
		}
	}
	if st := d.status(); st.Update.State != backends.StagedAll || st.Slots[backends.B].FirmwareDirty || *st.Next != backends.A ||
		*st.Slots[backends.B].Firmware != writerVersion || st.Method != backends.ByMTD {
		t.Errorf("update %s, dirty %t, next %s, firmware %s", st.Update.State, st.Slots[backends.B].FirmwareDirty, *st.Next, st.Slots[backends.B].Firmware)
	}
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// What install wrote is switched to, and nothing is armed.
func TestFirmwareThatInstallWroteIsSwitchedTo(t *testing.T) {
	for name, image := range map[string]bool{"alone": false, "with a root file system": true} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.writing(chainWriter{})
			if image {
				ruleMust(t, d.write("APP", "u"))
			}
			_, err := d.writes("u")
			ruleMust(t, err)
			a, err := d.activate(backends.None)
			ruleMust(t, err)
			if a.Slot != backends.B || d.requested() || d.has(ruleArmed) || d.word("BootChainFwNext") != 1 {
				t.Fatalf("activated %s, armed %t, next %d; want a switch to B", a.Slot, d.requested(), d.word("BootChainFwNext"))
			}
			d.wantMarks(ruleBootable, ruleBootable)
			d.arrive(backends.B)
			st := d.status()
			if st.Update.State != backends.Committed || *st.Slots[backends.B].Firmware != writerVersion || !strings.Contains(st.Verdict.Reason, "36.4.3") {
				t.Errorf("%s, firmware %s: %s", st.Update.State, st.Slots[backends.B].Firmware, st.Verdict.Reason)
			}
		})
	}
}

// A writer that fails leaves a dirty chain that nobody selects, and the same firmware again is the cure.
func TestFailedWriterLeavesTheChainDirty(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.writing(chainWriter{fail: errors.New("the flash does not answer")})
	_, err := d.writes("u")
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Fatal(err)
	}
	st := d.status()
	if !st.Slots[backends.B].FirmwareDirty || st.Update.State != backends.Failed || d.espMarks()["B"]["firmware"] != "dirty" {
		t.Errorf("dirty %t, update %s", st.Slots[backends.B].FirmwareDirty, st.Update.State)
	}
	d.wantMarks(ruleBootable, ruleUnbootable)
	if _, err := d.activate(backends.B); fail.CodeOf(err) != fail.Unavailable || !errors.Is(err, backends.ErrDirtyFirmware) {
		t.Errorf("a dirty chain is selected: %v", err)
	}
	d.arrive(backends.A)
	d.writing(chainWriter{})
	_, err = d.writes("cure")
	ruleMust(t, err)
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.B)
}

// A second install starts over from what the first one left: the slot is usable, though its status was taken away meanwhile.
func TestSecondInstallStartsFromWhatTheFirstLeft(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.writing(chainWriter{})
	for i := 0; i < 2; i++ {
		r, err := d.writes("")
		if err != nil || len(r.Warnings) > 0 {
			t.Fatalf("install %d: %v, warnings %q", i+1, err, r.Warnings)
		}
	}
	_, err := d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.B)
}

// nv_update_engine makes the slot that it wrote the active one; that is activate's business.
func TestSwitchByTheWriterIsTakenBack(t *testing.T) {
	for name, w := range map[string]chainWriter{"and it succeeds": {moves: true}} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.writing(w)
			_, err := d.writes("u")
			ruleMust(t, err)
			if d.word("BootChainFwNext") != -1 {
				t.Errorf("install leaves BootChainFwNext %d", d.word("BootChainFwNext"))
			}
			d.wantMarks(ruleBootable, ruleUnbootable)
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.A, true, false)
		})
	}
}

// A chain that holds everything is not touched. Firmware alone is then nothing to do, unless other firmware runs: an update that was cut
// after its last write, and is repeated, ends in the switch.
func TestEqualFirmwareIsNotWrittenAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		l4t     string
		nothing bool
	}{"and runs": {"36.4.3", true}, "and other firmware runs": {"36.4.0", false}} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) { o.L4T = tt.l4t })
			ruleMust(t, d.commit())
			d.writing(chainWriter{equal: true})
			r, err := d.writes("u")
			ruleMust(t, err)
			if r.Skipped != tt.nothing || r.Written == tt.nothing {
				t.Errorf("%+v", r)
			}
			for _, c := range d.trace.Changes() {
				if strings.Contains(c, "write chain") || strings.Contains(c, "RootfsStatus") {
					t.Errorf("the device is changed: %s", c)
				}
			}
			a, err := d.activate(backends.None)
			ruleMust(t, err)
			if a.Nothing != tt.nothing || (d.word("BootChainFwNext") == 1) == tt.nothing {
				t.Errorf("%+v, next %d", a, d.word("BootChainFwNext"))
			}
		})
	}
}

// A slot that was written completely is a way back again when its update is given up.
func TestAbortMakesAWrittenSlotAWayBackAgain(t *testing.T) {
	for name, giveUp := range map[string]func(d *ruleDevice){
		"abort":                     func(d *ruleDevice) { ruleMust(d.t, d.abort()) },
		"a reboot without activate": func(d *ruleDevice) { d.arrive(backends.A) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.writing(chainWriter{})
			_, err := d.writes("u")
			ruleMust(t, err)
			giveUp(d)
			d.wantMarks(ruleBootable, ruleBootable)
			if st := d.status(); st.Update.State != backends.Failed {
				t.Errorf("update %s", st.Update.State)
			}
		})
	}
}

// Power is cut at every change of the whole install: slot A boots, whole, B is no way back while it may be half written, and the same
// update again succeeds.
func TestCutsOfAWriterAreCured(t *testing.T) {
	base := newRule(t)
	ruleMust(t, base.commit())
	base.writing(chainWriter{moves: true})
	total := 0
	for cut := 1; ; cut++ {
		d := base.clone(t)
		d.cutAt = cut
		_, err := d.writes("u")
		if !d.trace.WasCut() {
			ruleMust(t, err)
			break
		}
		total++
		what := fmt.Sprintf("cut %d (%s)", cut, d.trace.Changes()[cut-1])
		if !errors.Is(err, device.ErrPowerCut) {
			t.Fatalf("%s: %v", what, err)
		}
		// Where the writer had moved the slot, the launcher finds it unbootable and goes back.
		r := d.boot(virtual.BootOptions{Cold: cut%2 == 0})
		if d.err != nil || d.last.Slot != backends.A || r.Outcome != virtual.OutcomeRunning {
			t.Fatalf("%s: %s, slot %s: %v", what, r.Outcome, d.last.Slot, d.err)
		}
		if c, err := d.Chain(virtual.B); err != nil || !c.Whole && d.mark("B") != ruleUnbootable {
			t.Fatalf("%s: chain B is half written and a way back (%s, %v)", what, d.mark("B"), err)
		}
		d.writing(chainWriter{})
		staged, err := d.writes("again")
		if err != nil {
			t.Fatalf("%s: the same update again: %v", what, err)
		}
		a, err := d.activate(backends.None)
		if err != nil || a.Nothing || staged.Skipped {
			t.Fatalf("%s: the same update again: %+v, %v", what, a, err)
		}
		d.arrive(backends.B)
	}
	if total < 30 {
		t.Errorf("%d cuts: the install is not what it was", total)
	}
	t.Logf("%d cuts", total)
}
