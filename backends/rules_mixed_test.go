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
	ruleRefused(t, err, fail.Unavailable, "36.4.0 is older than the running 36.4.3; add firmware to this update")
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
