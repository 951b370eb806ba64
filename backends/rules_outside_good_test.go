package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Set-state good on the running slot is the whole commit, without health checks: the gate is our unit's.
func TestSetGoodOnTheRunningSlotIsTheWholeCommit(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "touch "+d.path("ran")+"; exit 1")
	d.onTrial("36.4.3")
	d.set("BootChainFwStatus", 1)
	ruleMust(t, d.setGood(backends.B))
	st := d.status()
	dirty, trial, stamp := st.Slots[backends.B].FirmwareDirty, d.word("BootChainFwStatus"), d.has("run/tegra-ota/committed")
	if st.Update.State != backends.Committed || dirty || trial >= 0 || !stamp {
		t.Errorf("update %s, B dirty %t, BootChainFwStatus %d, stamp %t; want committed, clean, none, there",
			st.Update.State, dirty, trial, stamp)
	}
	d.wantMarks(ruleBootable, ruleBootable)
	if d.has("ran") {
		t.Error("health checks ran")
	}
	ruleMust(t, d.setGood(backends.B)) // at each boot
	d.wantMarks(ruleBootable, ruleBootable)
}

// It is Commit with all that Commit refuses.
func TestSetGoodOnTheRunningSlotRefusesWhatCommitRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		code  fail.Code
		words string
	}{
		{"rolled back", func(d *ruleDevice) { _, err := d.rollback(); ruleMust(d.t, err) }, fail.Busy, "rolled back"},
		{"torn", func(d *ruleDevice) { ruleMust(d.t, d.commit()); d.remark("B", "rootfs", "torn") }, fail.Unavailable, "half written"},
		{"chain and root disagree", func(d *ruleDevice) {
			d.mounts(func(l string) string {
				return ruleReplace(l, "259:2 / / ", "259:1 / / ", "/dev/nvme0n1p2 ", "/dev/nvme0n1p1 ")
			})
		}, fail.Unavailable, "chain B runs with the root file system of slot A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.onTrial("")
			tt.spoil(d)
			before := d.snapshot()
			ruleRefused(t, d.setGood(backends.B), tt.code, tt.words)
			d.wantSame(before)
		})
	}
}

// On the other slot it makes bootable what nothing speaks against, and 69 is the answer where something does.
func TestSetGoodOnTheOtherSlot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		words string // of the refusal; "" for none
	}{
		{"nothing known, retries lost", func(d *ruleDevice) { d.put(rulePMC+"rootfs_retry_count_b", "0x0\n") }, ""},
		{"nothing known, status 0xFF", ruleUnbootableB, ""},
		{"whole, status 0xFF", func(d *ruleDevice) { d.remark("B", "rootfs", "whole"); ruleUnbootableB(d) }, ""},
		{"torn", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")) }, "root file system may be half written"},
		{
			"torn, status lost", func(d *ruleDevice) { d.remark("B", "rootfs", "torn"); d.set("RootfsStatusSlotB", 0) },
			"root file system may be half written",
		},
		{"dirty", func(d *ruleDevice) { d.remark("B", "firmware", "dirty") }, "firmware may be half written"},
		{
			"a capsule was cut", func(d *ruleDevice) { d.cutCapsule(virtual.AfterCutBothCleared); d.boot(virtual.BootOptions{}) },
			"firmware may be half written",
		},
		{"chain and root disagree", ruleWrongRoot, "chain A runs with the root file system of slot B"},
		{"efivarfs read-only", func(d *ruleDevice) { d.readOnly(ruleVariables) }, "read-only"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			tt.spoil(d)
			before := d.snapshot()
			err := d.setGood(backends.B)
			if tt.words != "" {
				ruleRefused(t, err, fail.Unavailable, tt.words)
				d.wantSame(before)
				return
			}
			ruleMust(t, err)
			d.wantMarks(ruleBootable, ruleBootable)
			if d.word("BootChainFwNext") >= 0 || d.primary() != backends.A {
				t.Error("it selects the slot")
			}
			ruleMust(t, d.setGood(backends.B))
			d.wantMarks(ruleBootable, ruleBootable)
		})
	}
}

// ruleUnbootableB is somebody else's hand, or the launcher's.
func ruleUnbootableB(d *ruleDevice) {
	d.set("RootfsStatusSlotB", 255)
	d.put(rulePMC+"rootfs_retry_count_b", "0x0\n")
}

// The firmware's status is the second copy of the mark: with the journal lost it is all that is known of a half-written slot,
// now and after boots that began a new journal.
func TestSetGoodBelieves0xFFWhereTheJournalWasLost(t *testing.T) {
	for name, lose := range map[string]func(d *ruleDevice){
		"torn":             func(d *ruleDevice) { d.put(ruleJournalPath, d.text(ruleJournalPath)[:40]) },
		"gone":             func(d *ruleDevice) { d.remove("data/tegra-ota") },
		"gone, and a boot": func(d *ruleDevice) { d.remove("data/tegra-ota"); d.arrive(backends.A) },
		"torn, and a boot": func(d *ruleDevice) { d.put(ruleJournalPath, d.text(ruleJournalPath)[:40]); d.arrive(backends.A) },
		"torn, and a mark-good": func(d *ruleDevice) {
			d.put(ruleJournalPath, d.text(ruleJournalPath)[:40])
			ruleMust(d.t, d.setGood(backends.A))
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.write("APP", "u"))
			d.remove("boot/efi/EFI/tegra-ota")
			lose(d)
			ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "journal was lost|knows nothing|half written")
			if got := d.mark("B"); got != ruleUnbootable {
				t.Errorf("B is %s, want %s", got, ruleUnbootable)
			}
		})
	}
}

// Marked bad, and nobody has written since: good means what it was.
func TestSetGoodAfterSetBadAloneRestoresTheMark(t *testing.T) {
	twice := func(d *ruleDevice) { d.bad(backends.B) }
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		between func(d *ruleDevice)
		want    backends.Integrity
	}{
		{"unknown", func(*ruleDevice) {}, nil, backends.Unknown},
		{"whole", func(d *ruleDevice) { d.remark("B", "rootfs", "whole") }, nil, backends.Whole},
		{"whole, marked twice", func(d *ruleDevice) { d.remark("B", "rootfs", "whole") }, twice, backends.Whole},
		{"activated", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3") }, nil, backends.Whole},
		{"activated, marked twice", func(d *ruleDevice) { d.raucInstalled("one", "") }, twice, backends.Whole},
		{
			"firmware staged in between", func(*ruleDevice) {},
			func(d *ruleDevice) { _, err := d.stage("36.4.3", ruleRAUC); ruleMust(d.t, err) }, backends.Unknown,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			ruleMust(t, d.commit())
			tt.prepare(d)
			d.bad(backends.B)
			if tt.between != nil {
				tt.between(d)
			}
			ruleMust(t, d.setGood(backends.B))
			d.wantMarks(ruleBootable, ruleBootable)
			st := d.status()
			if st.Slots[backends.B].Rootfs != tt.want || st.Update.State != backends.Idle || !d.good(backends.B) || d.has(ruleStaged) {
				t.Errorf("B is %s, good %t, the update %s, staged capsule %t; want %s, good, idle, none",
					st.Slots[backends.B].Rootfs, d.good(backends.B), st.Update.State, d.has(ruleStaged), tt.want)
			}
			ruleMust(t, d.setGood(backends.B))
			_, err := d.activate(backends.B)
			ruleMust(t, err)
			d.arrive(backends.B)
		})
	}
}

// What it was before may be no good either.
func TestSetGoodAfterSetBadAloneDoesNotHealATornSlot(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.write("APP", "u"))
	ruleMust(t, d.abort())
	d.bad(backends.B)
	before := d.snapshot()
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
	d.wantSame(before)
	d.bad(backends.B)
	ruleRefused(t, d.setGood(backends.B), fail.Unavailable, "half written")
	d.wantMarks(ruleBootable, ruleUnbootable)
}
