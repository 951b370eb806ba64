package backends_test

import (
	"fmt"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// A success that everything confirms clears the mark.
func TestVerifiedSuccessClearsDirty(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.arrive(backends.B)
	if got := d.journal().Marks["B"]["firmware"]; got != "whole" {
		t.Errorf("B's firmware is %s, want whole", got)
	}
}

// So does one whose system was then not accepted: it is not the firmware that failed. It is installed again with the
// next update all the same.
func TestVerifiedSuccessClearsDirtyEvenIfHealthFails(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.activated("36.4.3")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	d.arrive(backends.A)
	if got := d.journal().Marks["B"]["firmware"]; got != "unknown" {
		t.Errorf("B's firmware is %s, want unknown", got)
	}
	r, err := d.stage("36.4.3", "again")
	ruleMust(t, err)
	if r.Skipped {
		t.Error("firmware that was rolled back has nothing to do a second time")
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
	base := makeRule(t)
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
