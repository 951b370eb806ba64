package backends_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A capsule flips the root file system, too: without an image of one the target's must be whole and its status 0.
func TestFirmwareOnlyNeedsAWholeRootFileSystem(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		words string
	}{
		{"torn", func(d *ruleDevice) {
			ruleMust(d.t, d.write("APP", "old"))
			ruleMust(d.t, d.abort())
			d.set("RootfsStatusSlotB", 0)
		}, "root file system image"},
		{"unbootable", func(d *ruleDevice) { d.set("RootfsStatusSlotB", 255) }, "root file system image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.spoil(d)
			r, err := d.stage("36.4.3", "u")
			ruleMust(t, err)
			if !ruleContains(r.Warnings, tt.words) {
				t.Errorf("install warns %q, want %q", r.Warnings, tt.words)
			}
			_, err = d.activate(backends.None)
			ruleRefused(t, err, fail.Unavailable, tt.words)
			if d.requested() {
				t.Error("the capsule is armed")
			}
			ruleMust(t, d.write("APP", "u"))
			_, err = d.activate(backends.None)
			ruleMust(t, err)
		})
	}
}

// The same when somebody made the target unbootable after staging.
func TestFirmwareOnlyChecksTheRootFileSystemAgain(t *testing.T) {
	d := newRule(t)
	_, err := d.stage("36.4.3", "u")
	ruleMust(t, err)
	d.set("RootfsStatusSlotB", 255)
	_, err = d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "root file system image")
}

// Firmware alone writes no slot partition, so the target's status is none of its business.
func TestFirmwareOnlyLeavesTheTargetsStatusAlone(t *testing.T) {
	d := newRule(t)
	r, err := d.stage("36.4.3", "u")
	ruleMust(t, err)
	d.wantMarks(ruleBootable, ruleBootable)
	if r.Version.String() != "36.4.3" || r.Target != backends.B {
		t.Errorf("install names %s for slot %s", r.Version, r.Target)
	}
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.B)
}

// Skipped means: the firmware says that the target has it, and we know that nothing cut it short.
func TestSkippedOnlyWhenTargetHoldsVersionWhole(t *testing.T) {
	for _, tt := range []struct {
		name    string
		l4t     string
		prepare func(d *ruleDevice)
		skipped bool
	}{
		{"unknown", "36.4.0", func(*ruleDevice) {}, false},
		{"whole", "36.4.0", func(d *ruleDevice) { d.activated(""); d.arrive(backends.B) }, true}, // A ran, committed; it is the target now
		{"whole, another version", "36.4.3", func(d *ruleDevice) { d.activated(""); d.arrive(backends.B) }, false},
		{"whole, no SystemFwVersions", "36.4.0", func(d *ruleDevice) {
			d.activated("")
			d.arrive(backends.B)
			d.remove(ruleVariable("SystemFwVersions", rulePublic))
		}, false},
		{"dirty", "36.4.3", func(d *ruleDevice) { // every image but the last is written, so that the version is the new one
			d.activated("36.4.3")
			d.bare(virtual.BootOptions{CutPhase: "capsule-mb1"})
			d.boot(virtual.BootOptions{})
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			tt.prepare(d)
			r, err := d.stage(tt.l4t, "u")
			ruleMust(t, err)
			if r.Skipped != tt.skipped || d.has(ruleStaged) == tt.skipped {
				t.Errorf("skipped %t, staged %t; want skipped %t", r.Skipped, d.has(ruleStaged), tt.skipped)
			}
		})
	}
}

// Firmware alone that is there already is nothing to do, not a switch; pinned to A as well.
func TestSkippedFirmwareAloneIsNothingToDo(t *testing.T) {
	for _, redundancy := range []virtual.Redundancy{virtual.RootfsAB, virtual.BootOnly} {
		t.Run("redundancy "+string(redundancy), func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = redundancy })
			ruleMust(t, d.commit()) // A is known whole from now on
			_, err := d.stage("36.4.3", "u")
			ruleMust(t, err)
			_, err = d.activate(backends.None)
			ruleMust(t, err)
			d.arrive(backends.B)
			// A holds 36.4.0 and is whole: it ran before.
			d.put(ruleESRT+"lowest_supported_fw_version", "0\n")
			ruleMust(t, d.commit())
			r, err := d.stage("36.4.0", "v")
			ruleMust(t, err)
			if !r.Skipped {
				t.Fatalf("not skipped: %v", d.journal().Marks)
			}
			a, err := d.activate(backends.None)
			ruleMust(t, err)
			if !a.Nothing || d.word("BootChainFwNext") >= 0 || d.requested() {
				t.Errorf("%+v, next %d; want nothing to do", a, d.word("BootChainFwNext"))
			}
			if u := d.status().Update; u.State != backends.Idle || !strings.Contains(u.Reason, "nothing to do") {
				t.Errorf("the update is %s: %s", u.State, u.Reason)
			}
		})
	}
}

// A capsule that was not needed leaves no trace in ESRT, and none is asked for.
func TestVerdictOfASkippedCapsuleNeedsNoESRT(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.activated("")
	d.arrive(backends.B)
	d.put(ruleESRT+"last_attempt_status", "6163\n")
	d.install("36.4.0")
	_, err := d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.A)
	if v := d.verdict(); v.Outcome != backends.Applied || v.ESRT != nil {
		t.Errorf("verdict %+v, want applied without ESRT", v)
	}
}
