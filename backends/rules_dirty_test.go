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
	d.activated("36.4.3") // the cure; B is dirty before and after
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

// A success that everything confirms clears the mark.
func TestVerifiedSuccessClearsDirty(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.arrive(backends.B)
	if got := d.journal().Marks["B"]["firmware"]; got != "whole" {
		t.Errorf("B's firmware is %s, want whole", got)
	}
}

// So does one whose system was then not accepted: it is not the firmware that failed.
func TestVerifiedSuccessClearsDirtyEvenIfHealthFails(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.activated("36.4.3")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	d.arrive(backends.A)
	if got := d.journal().Marks["B"]["firmware"]; got != "whole" {
		t.Errorf("B's firmware is %s, want whole", got)
	}
}

// Within the boot of the activation the firmware had no chance to write.
func TestDisarmingInTheSameBootRestoresTheMark(t *testing.T) {
	for name, act := range map[string]func(d *ruleDevice) error{
		"select the running slot": func(d *ruleDevice) error { _, err := d.activate(backends.B); return err },
		"abort":                   (*ruleDevice).abort,
		"another update":          func(d *ruleDevice) error { return d.write("APP", "v") },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.activated("36.4.3")
			d.arrive(backends.B)
			d.activated("36.4.3") // into A, which is whole
			ruleMust(t, act(d))
			if got := d.journal().Marks["A"]["firmware"]; got != "whole" {
				t.Errorf("A's firmware is %s, want whole as before", got)
			}
		})
	}
}

// A dirty chain stays dirty when the cure is taken back.
func TestDisarmingTheCureKeepsDirty(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.boot(virtual.BootOptions{})
	d.activated("36.4.3")
	ruleMust(t, d.abort())
	if got := d.journal().Marks["B"]["firmware"]; got != "dirty" {
		t.Errorf("B's firmware is %s, want dirty", got)
	}
}

// ended fakes a boot of A after an activation in which the firmware reported something.
func (d *ruleDevice) ended(version, status uint32, filesStay bool) {
	d.t.Helper()
	if !filesStay {
		d.remove(ruleArmed)
		d.request(0)
	}
	d.put(ruleESRT+"last_attempt_version", fmt.Sprintln(version))
	d.put(ruleESRT+"last_attempt_status", fmt.Sprintln(status))
	d.put("proc/sys/kernel/random/boot_id", "another-boot\n")
}

const (
	rule3643 = 0x240403
	rule3640 = 0x240400
)

// Codes that precede the first erase leave the target as it was; all others may have cut it short.
func TestOnlyCodesBeforeTheFirstEraseClearDirty(t *testing.T) {
	t.Parallel()
	clears := map[uint32]bool{4112: true, 4114: true, 3: true, 4: true, 5: true, 6155: true, 6156: true, 6162: true, 6163: true}
	for c := uint32(6145); c <= 6151; c++ {
		clears[c] = true
	}
	codes := []uint32{1, 2, 3, 4, 5, 6, 7, 8, 4096, 4112, 4113, 4114, 9999}
	for c := uint32(6144); c <= 6170; c++ {
		codes = append(codes, c)
	}
	base := newRule2(t)
	base.activated("36.4.3")
	for _, code := range codes {
		d := base.clone(t)
		d.ended(rule3643, code, false)
		_, err := d.verify()
		ruleMust(t, err)
		want := "dirty"
		if clears[code] {
			want = "unknown"
		}
		if got := d.journal().Marks["B"]["firmware"]; got != want {
			t.Errorf("after ESRT %d B's firmware is %s, want %s", code, got, want)
		}
		if d.last.Verdict.Outcome != backends.Refused || !d.last.Committed {
			t.Errorf("after ESRT %d: %+v, want refused, A committed", code, d.last)
		}
	}
}

// A code that was there before says nothing about this capsule, nor does one about another version.
func TestStaleESRTCodeDoesNotClearDirty(t *testing.T) {
	for _, tt := range []struct {
		name            string
		version, status uint32
		stale           bool // there before the activation
	}{
		{"the same pair", rule3643, 6163, true},
		{"the pair of another capsule", rule3640, 6163, true},
		{"a new code for another version", rule3640, 6163, false},
		{"success of another version", rule3640, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			if tt.stale {
				d.put(ruleESRT+"last_attempt_version", fmt.Sprintln(tt.version))
				d.put(ruleESRT+"last_attempt_status", fmt.Sprintln(tt.status))
			}
			d.activated("36.4.3")
			d.ended(tt.version, tt.status, false)
			_, err := d.verify()
			ruleMust(t, err)
			if got := d.journal().Marks["B"]["firmware"]; got != "dirty" {
				t.Errorf("B's firmware is %s, want dirty", got)
			}
		})
	}
}

// That the target was seen running proves its chain only together with ESRT's word.
func TestATargetThatRanWithAStaleCodeStaysDirty(t *testing.T) {
	d := newRule(t)
	d.put(ruleESRT+"last_attempt_version", fmt.Sprintln(rule3643))
	d.put(ruleESRT+"last_attempt_status", "6163\n")
	d.activated("36.4.3")
	d.set("BootChainFwCurrent", 1) // the launcher's own fall-back took the target's old firmware
	d.set("BootChainOsCurrent", 1)
	d.ended(rule3643, 6163, false)
	_, err := d.count()
	ruleMust(t, err)
	d.set("BootChainFwCurrent", 0)
	d.set("BootChainOsCurrent", 0)
	d.put("proc/sys/kernel/random/boot_id", "a-third-boot\n")
	_, err = d.verify()
	ruleMust(t, err)
	if got := d.journal().Marks["B"]["firmware"]; got != "dirty" {
		t.Errorf("B's firmware is %s, want dirty", got)
	}
}

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

// A capsule is the cure, even one that brings no root file system: the target's 0xFF is ours then.
func TestDirtyChainIsCuredByACapsule(t *testing.T) {
	for _, with := range []string{"root file system", "firmware alone"} {
		for _, after := range ruleAfterCuts {
			t.Run(with+" "+string(after), func(t *testing.T) {
				d := newRule(t)
				if with == "firmware alone" {
					_, err := d.stage("36.4.3", "u")
					ruleMust(t, err)
					_, err = d.activate(backends.None)
					ruleMust(t, err)
					d.bare(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: after})
				} else {
					d.cutCapsule(after)
				}
				d.request(0)
				d.arrive(backends.A)
				_, err := d.stage("36.4.3", "again")
				ruleMust(t, err)
				if with != "firmware alone" {
					ruleMust(t, d.write("APP", "again"))
				}
				_, err = d.activate(backends.None)
				ruleMust(t, err)
				d.arrive(backends.B)
				if got := d.journal().Marks["B"]["firmware"]; got != "whole" {
					t.Errorf("B's firmware is %s, want whole", got)
				}
			})
		}
	}
}
