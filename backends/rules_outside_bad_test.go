package backends_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Set-state bad on the other slot: an update is in flight from then on, and the slot cannot boot before the first byte is
// written. The running slot, the only one left, is made sure of first.
func TestSetBadRecordsAnUpdateAndMakesTheTargetUnbootable(t *testing.T) {
	d := newRule(t)
	d.put(rulePMC+"rootfs_retry_count_a", "0x1\n")
	d.bad(backends.B)
	d.wantOrder("rootfs_retry_count_a", "marks-[01].json", "rename .*journal.json", "RootfsStatusSlotB", "rootfs_retry_count_b")
	d.wantMarks(ruleBootable, ruleUnbootable)
	st := d.status()
	u, root := st.Update, st.Slots[backends.B].Rootfs
	if u.ID != ruleRAUC || u.State != backends.Installing || *u.Target != backends.B || root != backends.Torn {
		t.Errorf("update %q is %s for %s, B is %s; want %q installing for B, torn", u.ID, u.State, *u.Target, root, ruleRAUC)
	}
	if *st.Next != backends.A || d.word("BootChainFwNext") >= 0 {
		t.Errorf("slot %s boots next, BootChainFwNext %d; set-state bad selects nothing", *st.Next, d.word("BootChainFwNext"))
	}
}

// Without that the launcher would boot recovery, whatever the counts say.
func TestSetBadRefillsAStatusOfTheRunningSlotToo(t *testing.T) {
	d := newRule(t)
	d.put(rulePMC+"rootfs_retry_count_a", "0x0\n")
	d.bad(backends.B)
	d.wantMarks(ruleBootable, ruleUnbootable)
	d = makeRule(t)
	d.remove(rulePMC + "rootfs_retry_count_a")
	d.put(rulePMC+"rootfs_retry_count_a/x", "not a file that takes a count\n")
	before := d.snapshot()
	_, err := d.setBad(backends.B)
	ruleRefused(t, err, fail.IO, "retry count of slot A.*so nothing was")
	if d.mark("B")[:3] == "255" || d.has(ruleJournalPath) {
		t.Errorf("slot B was marked although the running one could not be made sure of")
	}
	d.wantSame(before)
}

// Each one starts anew, whatever was in flight: an install that was interrupted, somebody else's, one with firmware.
func TestSetBadStartsAnew(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
	}{
		{"its own", func(d *ruleDevice) { d.raucInstalls("one", "36.4.3") }},
		{"tegra-image's", func(d *ruleDevice) { d.install("36.4.3") }},
		{"firmware staged first", func(d *ruleDevice) { _, err := d.stage("36.4.3", ruleRAUC); ruleMust(d.t, err) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.prepare(d)
			_, err := d.setBad(backends.B)
			ruleMust(t, err)
			u := d.journal().Update
			if images, _ := u["images"].(map[string]any); u["firmware"] != nil || len(images) > 0 || u["id"] != ruleRAUC || u["outside"] == nil {
				t.Errorf("the update goes on with what there was: %v", u)
			}
			if d.has(ruleStaged) {
				t.Error("the staged capsule is still there")
			}
		})
	}
}

// A capsule or switch that would start the slot while it is being written is taken back first.
func TestSetBadDisarmsFirst(t *testing.T) {
	for _, tt := range []struct{ name, l4t, order string }{
		{"switch", "", "delete .*BootChainFwNext|BootChainFwNext"},
		{"capsule", "36.4.3", "OsIndications"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.raucInstalled("one", tt.l4t)
			if tt.l4t != "" && (!d.requested() || !d.has(ruleArmed)) || tt.l4t == "" && d.word("BootChainFwNext") != 1 {
				t.Fatal("nothing is pending")
			}
			_, err := d.setBad(backends.B)
			ruleMust(t, err)
			d.wantOrder(tt.order, "RootfsStatusSlotB")
			if d.requested() || d.has(ruleArmed) || d.has(ruleStaged) || d.word("BootChainFwNext") >= 0 {
				t.Errorf("request %t, capsule %t, next %d; want none", d.requested(), d.has(ruleArmed), d.word("BootChainFwNext"))
			}
			d.wantMarks(ruleBootable, ruleUnbootable)
			if d.primary() != backends.A {
				t.Errorf("primary is %s, want A", d.primary())
			}
			d.arrive(backends.A)
		})
	}
}

// What is refused is refused before anything is changed.
func TestSetBadRefusals(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(*virtual.CreateOptions)
		spoil func(d *ruleDevice)
		code  fail.Code
		words string
	}{
		{"on trial", nil, func(d *ruleDevice) { d.onTrial("") }, fail.Busy, "slot B runs on trial, and slot A is its fall-back"},
		{"rolled back, before the reboot", nil, func(d *ruleDevice) {
			d.onTrial("")
			_, err := d.rollback()
			ruleMust(d.t, err)
		}, fail.Busy, "awaits the reboot"},
		{"chain and root disagree", nil, ruleWrongRoot, fail.Unavailable, "chain A runs with the root file system of slot B"},
		{
			"redundancy 0", func(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly }, func(*ruleDevice) {}, fail.Unavailable,
			"RootfsRedundancyLevel is 0",
		},
		{
			"redundancy absent", func(o *virtual.CreateOptions) { o.Redundancy = virtual.NoVariables }, func(*ruleDevice) {},
			fail.Unavailable, "RootfsRedundancyLevel is missing",
		},
		{
			"BootNext", nil, func(d *ruleDevice) { d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00") },
			fail.Unavailable, "BootNext",
		},
		{"foreign switch", nil, func(d *ruleDevice) { d.set("BootChainFwNext", 1) }, fail.Unavailable, "not tegra-ota's"},
		{
			"foreign capsule, armed", nil, func(d *ruleDevice) { d.put(ruleArmed, "vendor"); d.request(4) }, fail.Unavailable,
			"TEGRA_BL.Cap .*not tegra-ota's",
		},
		{
			"journal on the root file system", nil, func(d *ruleDevice) { d.opts.JournalFolder = "/var/lib/tegra-ota" },
			fail.Unavailable, "it lies on the root file system",
		},
		{"journal read-only", nil, func(d *ruleDevice) { d.readOnly("/data") }, fail.Unavailable, "read-only"},
		{"efivarfs read-only", nil, func(d *ruleDevice) { d.readOnly(ruleVariables) }, fail.Unavailable, "efivarfs is mounted read-only"},
		{"torn slot runs", nil, func(d *ruleDevice) {
			ruleMust(d.t, d.commit())
			d.remark("A", "rootfs", "torn")
			d.remark("B", "rootfs", "whole")
		}, fail.Unavailable, "slot A runs, and its root file system may be half written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) {
				if tt.make != nil {
					tt.make(o)
				}
			})
			tt.spoil(d)
			slot := backends.B
			if d.status().Current != nil && *d.status().Current == backends.B {
				slot = backends.A
			}
			before := d.snapshot()
			_, err := d.setBad(slot)
			ruleRefused(t, err, tt.code, tt.words)
			d.wantSame(before)
		})
	}
}

// ruleWrongRoot lets chain A run with slot B's root file system.
func ruleWrongRoot(d *ruleDevice) {
	d.mounts(func(l string) string { return strings.Replace(l, "/dev/nvme0n1p1 ", "/dev/nvme0n1p2 ", 1) })
}

// Where somebody took that risk, the journal's mark stands alone.
func TestSetBadWithoutFallbackIsTheJournalsMarkAlone(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.NoVariables })
	d.opts.AllowWithoutFallback = true
	d.bad(backends.B)
	mark := d.journal().Marks["B"]["rootfs"]
	if d.good(backends.B) || mark != "torn" || d.word("RootfsStatusSlotB") >= 0 {
		t.Errorf("B good %t, mark %s, status %d; want bad by the journal", d.good(backends.B), mark, d.word("RootfsStatusSlotB"))
	}
	ruleRefused(t, func() error { _, err := d.activate(backends.B); return err }(), fail.Unavailable, "complete")
	d.outside(backends.B, 0, "one")
	_, err := d.setPrimary(backends.B)
	ruleMust(t, err)
	d.arrive(backends.B)
}
