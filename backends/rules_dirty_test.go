package backends_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

var ruleAfterCuts = []virtual.AfterCut{virtual.AfterCutRetry, virtual.AfterCutFlagCleared, virtual.AfterCutBothCleared}

// From the moment the firmware may write, both records know.
func TestTargetIsDirtyInJournalAndOnTheESPBeforeArming(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.wantOrder("marks-[01].json", "rename .*journal.json", "rename .*TEGRA_BL.Cap", "OsIndications")
	newest := d.espMarks()
	if d.journal().Marks["B"]["firmware"] != "dirty" || newest["B"]["firmware"] != "dirty" {
		t.Errorf("journal %v, ESP %v; want B dirty in both", d.journal().Marks, newest)
	}
}

// espMarks is the newer of the two copies on the ESP.
func (d *ruleDevice) espMarks() map[string]map[string]string {
	d.t.Helper()
	var best map[string]map[string]string
	sequence := -1
	for _, p := range []string{"boot/efi/EFI/tegra-ota/marks-0.json", "boot/efi/EFI/tegra-ota/marks-1.json"} {
		if !d.has(p) {
			continue
		}
		var at int
		if _, err := fmt.Sscanf(ruleCut(d.text(p), `"sequence":`), "%d", &at); err == nil && at > sequence {
			best, sequence = d.record(p).Marks, at
		}
	}
	return best
}

// A copy of the marks that was lost since is written again before a capsule is armed.
func TestLostMarksOnTheESPAreWrittenAgainBeforeArming(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.boot(virtual.BootOptions{})
	for _, p := range []string{"boot/efi/EFI/tegra-ota/marks-0.json", "boot/efi/EFI/tegra-ota/marks-1.json"} {
		d.remove(p)
	}
	_, err := d.stage("36.4.3", "cure") // B is dirty and its root file system whole, before and after
	ruleMust(t, err)
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	if got := d.espMarks()["B"]["firmware"]; got != "dirty" {
		t.Errorf("the ESP says %q of B's firmware, want dirty", got)
	}
}

// An ESP that does not take the mark takes no capsule.
func TestNothingIsArmedWithoutTheMarkOnTheESP(t *testing.T) {
	d := newRule(t)
	d.install("36.4.3")
	for _, p := range []string{"boot/efi/EFI/tegra-ota/marks-0.json", "boot/efi/EFI/tegra-ota/marks-1.json"} {
		d.remove(p)
		ruleMust(t, os.Mkdir(d.path(p), 0o755))
	}
	_, err := d.activate(backends.None)
	if err == nil || d.requested() || d.has(ruleArmed) {
		t.Errorf("error %v, armed %t; want a refusal", err, d.has(ruleArmed))
	}
}

const (
	rule3643 = 0x240403
	rule3640 = 0x240400
)

// A cut capsule looks like one that was never tried.
func TestDirtyNotClearedByNotAttempted(t *testing.T) {
	for _, after := range ruleAfterCuts {
		t.Run(string(after), func(t *testing.T) {
			d := newRule(t)
			d.cutCapsule(after)
			// Whatever the cut left, this boot is to judge it and not to try it again.
			d.request(0)
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.A, true, false)
			v := d.verdict()
			want := backends.NotAttempted
			if after == virtual.AfterCutBothCleared {
				want = backends.Refused // an equal pair with the file gone
			}
			if v.Outcome != want || !ruleMatch(v.Reason, "not attempted or interrupted") || v.NextStep != "install the same firmware again" {
				t.Errorf("verdict %+v, want %s", v, want)
			}
			if got := d.journal().Marks["B"]["firmware"]; got != "dirty" {
				t.Errorf("B's firmware is %s, want dirty", got)
			}
			if d.has(ruleArmed) || d.requested() {
				t.Error("the capsule is still armed")
			}
		})
	}
}

// If file and request are still there when Linux runs, they are taken back, and it is said.
func TestWhatACutLeftArmedIsDisarmedAndReported(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.ended(0, 0, true)
	_, err := d.verify()
	ruleMust(t, err)
	if d.has(ruleArmed) || d.requested() {
		t.Error("the capsule is still armed")
	}
	if !ruleMatch(d.status().Update.Reason, "still there.*taken back") {
		t.Errorf("reason %q does not report it", d.status().Update.Reason)
	}
}

// The launcher's fall-back knows no journal: the first thing on the old slot is to take the dirty target away from it.
func TestDirtyTargetMadeUnbootableBeforeHealthChecks(t *testing.T) {
	for _, after := range ruleAfterCuts {
		t.Run(string(after), func(t *testing.T) {
			d := newRule(t)
			d.health("10-never", "touch "+d.path("ran"))
			d.cutCapsule(after)
			d.request(0)
			d.bare(virtual.BootOptions{})
			d.wantMarks("0 0x2", "0 0x3")
			_, err := d.count()
			ruleMust(t, err)
			if got := d.mark("B"); got != ruleUnbootable {
				t.Errorf("after the early unit B is %s, want %s", got, ruleUnbootable)
			}
			_, err = d.verify()
			ruleMust(t, err)
			d.wantMarks(ruleBootable, ruleUnbootable)
			if d.has("ran") {
				t.Error("health checks ran for a slot that is not on trial")
			}
		})
	}
}

// That holds where no verdict can be had, too, and in boot-verify without the early unit.
func TestDirtyTargetMadeUnbootableWithoutAVerdict(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.bare(virtual.BootOptions{})
	d.remove(ruleESRT)
	if _, err := d.verify(); err == nil {
		t.Error("boot-verify made up a verdict without ESRT")
	}
	if got := d.mark("B"); got != ruleUnbootable {
		t.Errorf("B is %s, want %s", got, ruleUnbootable)
	}
}

// Within the boot of the activation nothing is written yet: the armed target keeps its status.
func TestArmedTargetStaysBootable(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	_, err := d.verify()
	ruleMust(t, err)
	d.wantMarks(ruleBootable, ruleBootable)
	d.arrive(backends.B)
}

// A dirty chain is not selected and not rolled back to.
func TestDirtyChainIsNeverSelected(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.boot(virtual.BootOptions{})
	before := d.snapshot()
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "firmware may be half written")
	d.wantSame(before)
	ruleMust(t, d.write("APP", "v"))
	_, err = d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "firmware may be half written")
}
