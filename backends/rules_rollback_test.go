package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// onTrial boots B for the first time without judging it.
func (d *ruleDevice) onTrial(l4t string) {
	d.t.Helper()
	ruleMust(d.t, d.commit()) // A is known whole
	d.activated(l4t)
	if r := d.bare(virtual.BootOptions{}); r.Chain != virtual.B {
		d.t.Fatalf("chain %s runs: %q", r.Chain, r.Timeline)
	}
}

// The own slot is given up last: until then it can boot.
func TestRollbackOrder(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	d.set("RootfsStatusSlotA", 255) // the launcher's; A is whole
	d.put(rulePMC+"rootfs_retry_count_a", "0x0\n")
	reboot, err := d.rollback()
	if err != nil || !reboot {
		t.Fatalf("reboot %t, %v", reboot, err)
	}
	d.wantOrder("rename .*journal.json", "RootfsStatusSlotA", "rootfs_retry_count_a", "BootChainFwStatus", "BootChainFwNext", "RootfsStatusSlotB", "rootfs_retry_count_b")
	d.wantMarks(ruleBootable, ruleUnbootable)
	d.arrive(backends.A)
}

// The other chain still holds its firmware; a capsule would be refused for its version.
func TestRollbackIsNeverACapsule(t *testing.T) {
	d := newRule(t)
	d.activatedFloor()
	d.health("10-no", "exit 1")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	if d.requested() || d.has(ruleArmed) || d.word("BootChainFwNext") != 0 {
		t.Errorf("capsule %t, next %d; want a switch to A alone", d.requested(), d.word("BootChainFwNext"))
	}
	d.arrive(backends.A)
	if r, err := d.Chain(virtual.A); err != nil || r.VersionText != "36.4.0" {
		t.Errorf("A has firmware %s, %v", r.VersionText, err)
	}
	// The floor lies above what runs now, and that is said.
	if p := ruleProblem(d.status().Problems, "lowest supported firmware 36.4.3 lies above the running 36.4.0: no older capsule installs"); p == nil {
		t.Errorf("status does not say that no older capsule installs: %+v", d.status().Problems)
	}
}

// activatedFloor activates a capsule that raises the lowest supported version.
func (d *ruleDevice) activatedFloor() {
	d.t.Helper()
	_, err := d.stageRaw(d.capsule("36.4.3", func(o *virtual.CapsuleOptions) { o.Lowest = "36.4.3" }), "u")
	ruleMust(d.t, err)
	ruleMust(d.t, d.write("APP", "u"))
	_, err = d.activate(backends.None)
	ruleMust(d.t, err)
}

// Without a safe other slot the device stays where it is.
func TestRollbackOnlyToSafeSlot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		safe  bool
	}{
		{"whole", func(*ruleDevice) {}, true},
		{"torn", func(d *ruleDevice) { d.remark("A", "rootfs", "torn") }, false},
		{"dirty", func(d *ruleDevice) { d.remark("A", "firmware", "dirty") }, false},
		{"unknown and bootable", func(d *ruleDevice) { d.remark("A", "rootfs", "unknown") }, true},
		{"unknown and unbootable", func(d *ruleDevice) { d.remark("A", "rootfs", "unknown"); d.set("RootfsStatusSlotA", 255) }, false},
		{"whole and unbootable by the launcher", func(d *ruleDevice) { d.set("RootfsStatusSlotA", 255) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.health("10-no", "exit 1")
			d.onTrial("")
			tt.spoil(d)
			_, err := d.verify()
			ruleMust(t, err)
			if d.last.Reboot != tt.safe {
				t.Fatalf("reboot %t, want %t: %s", d.last.Reboot, tt.safe, d.last.Message)
			}
			if tt.safe {
				return
			}
			u := d.journal().Update
			if d.last.State != backends.Failed || u["next_step"] == "" || d.mark("B") != ruleBootable || d.word("BootChainFwNext") >= 0 {
				t.Errorf("state %s, next step %v, B %s, next %d; want failed, refilled, no switch", d.last.State, u["next_step"], d.mark("B"), d.word("BootChainFwNext"))
			}
		})
	}
}

// One roll back per update: the old slot is taken as it is.
func TestNoPingPong(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "echo $TEGRA_OTA_SLOT >>"+d.path("ran")+"; exit 1")
	d.activated("")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	for i := 0; i < 3; i++ {
		d.arrive(backends.A)
	}
	if got := d.text("ran"); got != "B" {
		t.Errorf("health checks ran on %q, want on B alone", got)
	}
	if got := d.status().Update.State; got != backends.RolledBack {
		t.Errorf("the update is %s", got)
	}
}

// A firmware that does not switch back is not asked for ever.
func TestRollbackThatTheFirmwareRefusesEnds(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.activated("")
	boots := 0
	for ; boots < 20; boots++ {
		d.boot(virtual.BootOptions{})
		if d.err != nil {
			t.Fatal(d.err)
		}
		if d.last.Slot != backends.B {
			t.Fatalf("slot %s runs", d.last.Slot)
		}
		if !d.last.Reboot {
			break
		}
		d.set("BootChainFwNext", 7) // the firmware gives up such a request
		d.set("RootfsStatusSlotB", 0)
		d.put(rulePMC+"rootfs_retry_count_b", "0x3\n")
	}
	if boots > 6 || d.last.State != backends.Failed || !ruleMatch(d.last.Message, "no way back") {
		t.Errorf("after %d reboots: %s: %s; want failed after a few", boots, d.last.State, d.last.Message)
	}
	d.arrive(backends.B)
}

// BootNext would make the firmware drop the switch; then the own slot must not be given up.
func TestRollbackBesideBootNextChangesNothing(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00")
	_, err := d.rollback()
	ruleRefused(t, err, fail.Unavailable, "BootNext")
	d.wantMarks(ruleBootable, "0 0x2")
}

// The other slot is the fall-back while this one is on trial: it is not overwritten, nor is the trial aborted or activated over.
func TestFallBackIsNotTouchedDuringATrial(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	before := d.snapshot()
	ruleRefused(t, d.write("APP", "v"), fail.Busy, "slot B runs on trial, and slot A is its fall-back")
	_, err := d.stage("36.4.3", "v")
	ruleRefused(t, err, fail.Busy, "on trial")
	_, err = d.activate(backends.A)
	ruleRefused(t, err, fail.Busy, "not judged")
	ruleRefused(t, d.abort(), fail.Busy, "on trial")
	d.wantProblem("runs on trial", backends.SeverityError, fail.Busy)
	d.wantSame(before)
}

// Commit says yes to a trial without health.d; a slot that was rolled back is not committed any more.
func TestCommitAcceptsATrialButNotARolledBackSlot(t *testing.T) {
	d := newRule(t)
	d.onTrial("")
	rolledBack := d.clone(t)
	ruleMust(t, d.commit())
	if got := d.status().Update.State; got != backends.Committed || d.mark("B") != ruleBootable || d.word("BootChainFwStatus") >= 0 {
		t.Errorf("state %s, B %s", got, d.mark("B"))
	}
	d = rolledBack
	_, err := d.rollback()
	ruleMust(t, err)
	ruleRefused(t, d.commit(), fail.Busy, "rolled back")
}
