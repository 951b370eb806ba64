package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Parts of one update under one ID belong together; whatever does not starts over, and what was staged before is gone.
func TestUpdatesDoNotMix(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(d *ruleDevice)
		over bool // the firmware of the first update is given up
	}{
		{"same ID", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")) }, false},
		{"same ID, the same partition again", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); ruleMust(d.t, d.write("APP", "u")) }, false},
		{"another ID", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "v")) }, true},
		{"no ID after one", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "")) }, true},
		{"another boot", func(d *ruleDevice) { d.bare(virtual.BootOptions{}); ruleMust(d.t, d.write("APP", "u")) }, true},
		{"a failed handler", func(d *ruleDevice) {
			if err := d.writeFrom("APP", "u", &ruleBroken{left: 3 << 19}, false); err == nil {
				d.t.Fatal("a broken stream was accepted")
			}
			ruleMust(d.t, d.write("APP", "u"))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, ruleRoomy)
			_, err := d.stage("36.4.3", "u")
			ruleMust(t, err)
			tt.act(d)
			if got := d.journal().Update["firmware"] == nil; got != tt.over {
				t.Errorf("started over: %t, want %t", got, tt.over)
			}
			if got := !d.has(ruleStaged); got != tt.over {
				t.Errorf("the staged capsule is gone: %t, want %t", got, tt.over)
			}
		})
	}
}

// Without an ID nothing but repetition tells one update from the next.
func TestWithoutAnIDTheSamePartTwiceStartsOver(t *testing.T) {
	d := newRule(t)
	_, err := d.stage("36.4.3", "")
	ruleMust(t, err)
	ruleMust(t, d.write("APP", ""))
	if d.journal().Update["firmware"] == nil {
		t.Fatal("firmware and image without an ID are not one update")
	}
	ruleMust(t, d.write("APP", ""))
	if d.journal().Update["firmware"] != nil || d.has(ruleStaged) {
		t.Error("the same partition a second time goes on with the update")
	}
	_, err = d.stage("36.4.3", "")
	ruleMust(t, err)
	_, err = d.stage("36.4.4", "")
	ruleMust(t, err)
	if images, _ := d.journal().Update["images"].(map[string]any); len(images) != 0 {
		t.Error("firmware staged twice goes on with the update")
	}
}

// Activation names the update it means.
func TestActivateOfAnotherUpdateIsRefused(t *testing.T) {
	d := newRule(t)
	d.install("")
	_, c := d.control()
	_, err := c.Activate(context.Background(), "another", backends.None)
	ruleRefused(t, err, fail.Unavailable, `the update in flight is "u"`)
}

// An update is activated in the boot it was installed in.
func TestStagedButNeverActivatedIsDisarmedAtTheNextBoot(t *testing.T) {
	d := newRule(t)
	d.install("36.4.3")
	d.arrive(backends.A)
	u := d.status().Update
	if u.State != backends.Failed || !strings.Contains(u.Reason, "the update lacks its activate step") {
		t.Errorf("the update is %s: %s", u.State, u.Reason)
	}
	if d.has(ruleStaged) || d.has(ruleArmed) || d.requested() {
		t.Error("the capsule is still there")
	}
	_, err := d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "no update is in flight")
}

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

// A switch to older firmware is a downgrade that nobody asked for.
func TestOlderChainRefused(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.arrive(backends.B)
	if p := ruleProblem(d.status().Problems, "firmware of slot A is 36.4.0, older than the running 36.4.3"); p == nil || p.Severity != backends.SeverityWarning {
		t.Error("status does not show the older chain right after commit")
	}
	d.install("")
	_, err := d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "36.4.0 is older than the running 36.4.3; add the capsule to this update")
	if d.word("BootChainFwNext") >= 0 {
		t.Error("the switch is asked for")
	}
	d.opts.AllowOlderChain = true
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	d.arrive(backends.A)
}

// The same update with the capsule is right.
func TestOlderChainWithItsCapsuleIsAccepted(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.arrive(backends.B)
	d.activated("36.4.3")
	d.arrive(backends.A)
}

// Before L4T R36.3 nobody knows the other chain's version.
func TestUnknownFirmwareVersionsWarn(t *testing.T) {
	d := newRule(t)
	d.remove(ruleVariable("SystemFwVersions", rulePublic))
	a, err := d.activate(backends.B)
	ruleMust(t, err)
	if !ruleContains(a.Warnings, "firmware version of slot B is not known") {
		t.Errorf("activate warns %q", a.Warnings)
	}
}

// Level 0 pins the root file system to A: firmware may change, slots may not.
func TestRedundancyZeroTakesFirmwareAlone(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly })
	for _, part := range backends.PartitionNames {
		ruleRefused(t, d.write(part, "u"), fail.Unavailable, "RootfsRedundancyLevel is 0")
	}
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "RootfsRedundancyLevel is 0")
	_, err = d.stage("36.4.3", "u")
	ruleMust(t, err)
	_, err = d.activate(backends.None)
	ruleMust(t, err)
	r := d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, true, false)
	if r.Rootfs != virtual.A || d.verdict().Outcome != backends.Applied {
		t.Errorf("root %s, verdict %+v; want root A, applied", r.Rootfs, d.verdict())
	}
}

// Without the variables nobody counts or falls back: refused, unless somebody takes the risk.
func TestMissingRedundancyIsRefusedUnlessAllowed(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.NoVariables })
	ruleRefused(t, d.write("APP", "u"), fail.Unavailable, "RootfsRedundancyLevel is missing")
	d.opts.AllowWithoutFallback = true
	d.wantProblem("RootfsRedundancyLevel is missing", backends.SeverityWarning, fail.OK)
	d.activated("")
	d.arrive(backends.B)
}
