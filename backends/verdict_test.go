package backends_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// Every outcome is one clear sentence with the next step.
func TestVerdictSaysWhatTheFirmwareDid(t *testing.T) {
	t.Parallel()
	base := makeRule(t)
	base.activated("36.4.3")
	for _, tt := range []struct {
		status       uint32
		reason, next string
	}{
		{3, "refused the capsule's version", "at or above the lowest supported version"},
		{5, "refused the capsule's signature", "sign the capsule with the key this device trusts"},
		{4112, "below the lowest supported version", "above the floor that `tegra-bootctl status` shows"},
		{4114, "key this device does not trust", "sign the capsule"},
		{6151, "an image this board needs is not in the capsule", "build the capsule for this board"},
		{6155, "too old for the capsule's flash layout", "35.5.0 before 36"},
		{6158, "images could not be written", "install the same firmware again"},
		{6160, "read back differ", "install the same firmware again"},
		{6162, "firmware's own update support did not initialise", "TegraPlatformSpec"},
		{6163, "slot switch was pending or a BootChainFwStatus was left over", "install the same firmware again"},
		{6164, "lacks this board's spec or its secondary_gpt", "build the capsule for this board"},
		{9999, "status 9999, which this version does not know", "report it"},
	} {
		d := base.clone(t)
		d.ended(rule3643, tt.status, false)
		v := d.verdict()
		if v.Outcome != backends.Refused || v.ESRT == nil || *v.ESRT != tt.status {
			t.Errorf("ESRT %d: %+v, want refused", tt.status, v)
		}
		if !strings.Contains(v.Reason, tt.reason) || !strings.Contains(v.NextStep, tt.next) {
			t.Errorf("ESRT %d: %q; next step %q; want %q and %q", tt.status, v.Reason, v.NextStep, tt.reason, tt.next)
		}
		if strings.ContainsAny(v.Reason+v.NextStep, "\n") {
			t.Errorf("ESRT %d: more than one line", tt.status)
		}
	}
}

// Before and between: no verdict yet is not a bad one, and says what comes next.
func TestVerdictBeforeTheBoot(t *testing.T) {
	d := newRule(t)
	want := func(reason, next string) {
		t.Helper()
		if v := d.verdict(); v.Outcome != backends.NoOutcome || !ruleMatch(v.Reason, reason) || !ruleMatch(v.NextStep, next) {
			t.Errorf("verdict %+v, want none, %q, %q", v, reason, next)
		}
	}
	want("no update is in flight", "^$")
	d.install("36.4.3")
	want("not activated", "tegra-bootctl activate")
	_, err := d.activate(backends.None)
	ruleMust(t, err)
	want("activated and not booted yet", "reboot")
}

// Applied means that everything that can tell agrees; each one alone can deny it.
func TestAppliedOnlyIfEverythingAgrees(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		want  backends.Outcome
	}{
		{"all agree", func(*ruleDevice) {}, backends.Applied},
		{"ESRT's status", func(d *ruleDevice) { d.put(ruleESRT+"last_attempt_status", "6160\n") }, backends.Refused},
		{"ESRT's version", func(d *ruleDevice) { d.put(ruleESRT+"last_attempt_version", "2360320\n") }, backends.NotAttempted},
		{"the chain's version", func(d *ruleDevice) {
			d.put(ruleVariable("SystemFwVersions", rulePublic), "\x06\x00\x00\x00\x00\x04\x24\x00\x00\x04\x24\x00")
		}, backends.Refused},
		{"the launcher", func(d *ruleDevice) { d.set("BootChainOsCurrent", 0) }, backends.FellBack},
		{"the mounted root", func(d *ruleDevice) {
			d.mounts(func(l string) string {
				return ruleReplace(l, "259:2 / / ", "259:1 / / ", "/dev/nvme0n1p2 ", "/dev/nvme0n1p1 ")
			})
		}, backends.FellBack},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.onTrial("36.4.3")
			tt.spoil(d)
			if v := d.verdict(); v.Outcome != tt.want || v.Reason == "" {
				t.Errorf("verdict %+v, want %s", v, tt.want)
			}
			_, err := d.verify()
			ruleMust(t, err)
			d.wantBoot(backends.B, tt.want == backends.Applied, tt.want != backends.Applied)
		})
	}
}

// A pair that did not change proves a success only if the capsule is gone.
func TestEqualPairOnTheTargetNeedsTheCapsuleGone(t *testing.T) {
	for _, gone := range []bool{true, false} {
		d := makeRule(t)
		d.put(ruleESRT+"last_attempt_version", "2360323\n") // the same firmware was installed before
		d.activated("36.4.3")
		capsule := d.rawText(ruleArmed)
		if r := d.bare(virtual.BootOptions{}); r.Chain != virtual.B {
			t.Fatal("B does not run")
		}
		if !gone {
			d.put(ruleArmed, capsule)
		}
		v := d.verdict()
		if (v.Outcome == backends.Applied) != gone {
			t.Errorf("capsule gone: %t: verdict %+v", gone, v)
		}
	}
}

// A switch that did not happen is explained by BootChainFwStatus.
func TestVerdictOfASwitch(t *testing.T) {
	t.Parallel()
	base := makeRule(t)
	base.activated("")
	for _, tt := range []struct {
		name    string
		spoil   func(d *ruleDevice)
		outcome backends.Outcome
		reason  string
	}{
		{"new chain did not boot", func(d *ruleDevice) { d.set("BootChainFwStatus", 12) }, backends.FellBack, "firmware of slot B did not boot"},
		{"BootNext", func(d *ruleDevice) { d.set("BootChainFwStatus", 14) }, backends.Refused, "BootNext existed"},
		{"capsule conflict", func(d *ruleDevice) { d.set("BootChainFwStatus", 3) }, backends.Refused, "capsule was pending"},
		{"retries used up", func(d *ruleDevice) { d.set("RootfsStatusSlotB", 255) }, backends.FellBack, "used up its retries"},
		{"dropped", func(*ruleDevice) {}, backends.NotAttempted, "dropped the switch|interrupted"},
	} {
		d := base.clone(t)
		d.remove(ruleVariable("BootChainFwNext", rulePublic))
		d.put("proc/sys/kernel/random/boot_id", "another-boot\n")
		tt.spoil(d)
		if v := d.verdict(); v.Outcome != tt.outcome || !ruleMatch(v.Reason, tt.reason) || v.NextStep == "" {
			t.Errorf("%s: %+v, want %s, %q", tt.name, v, tt.outcome, tt.reason)
		}
	}
}
