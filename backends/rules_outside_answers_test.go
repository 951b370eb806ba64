package backends_test

import (
	"context"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Get-primary is the slot that boots next; none where that one is bad.
func TestPrimary(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		want    backends.Slot
	}{
		{"idle", func(*ruleDevice) {}, backends.A},
		{"installing", func(d *ruleDevice) { d.raucInstalls("one", "36.4.3") }, backends.A},
		{"capsule armed", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3") }, backends.B},
		{"switch pending", func(d *ruleDevice) { d.raucInstalled("one", "") }, backends.B},
		{"foreign switch pending", func(d *ruleDevice) { d.set("BootChainFwNext", 1) }, backends.B},
		{"foreign switch to a torn slot", func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); d.set("BootChainFwNext", 1) }, backends.None},
		{"an activation of an earlier boot", func(d *ruleDevice) {
			d.raucInstalled("one", "36.4.3")
			d.remove(ruleArmed) // by somebody else's hand
			d.bare(virtual.BootOptions{})
		}, backends.A},
		{"on trial", func(d *ruleDevice) { d.onTrial("36.4.3") }, backends.B},
		{"rolled back", func(d *ruleDevice) { d.onTrial("36.4.3"); _, err := d.rollback(); ruleMust(d.t, err) }, backends.A},
		{"the running one is bad", func(d *ruleDevice) { d.bad(backends.A) }, backends.None},
		{"both are bad", func(d *ruleDevice) { d.bad(backends.A); _, err := d.setBad(backends.B); ruleMust(d.t, err) }, backends.None},
		{"the other one is bad", func(d *ruleDevice) { d.bad(backends.B) }, backends.A},
		{
			"activated, and bad by somebody else's hand",
			func(d *ruleDevice) { d.raucInstalled("one", ""); d.set("RootfsStatusSlotB", 255) }, backends.None,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.prepare(d)
			if got := d.primary(); got != tt.want {
				t.Errorf("primary is %q, want %q", got, tt.want)
			}
		})
	}
}

// With the root file system pinned to A, that is what boots next under either chain.
func TestPrimaryOfAPinnedRoot(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly })
	_, err := d.stage("36.4.3", ruleRAUC)
	ruleMust(t, err)
	if _, done, err := d.activateFirmware(); !done || err != nil {
		t.Fatalf("not activated: %v", err)
	}
	if got := d.primary(); got != backends.A {
		t.Errorf("primary is %q, want A", got)
	}
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, true, false)
	if got := d.primary(); got != backends.A || d.booted() != backends.A {
		t.Errorf("primary is %q, %q is booted; want A", got, d.booted())
	}
}

// Get-state good: status not 0xFF, not torn, not dirty.
func TestGood(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		a, b    bool
	}{
		{"fresh", func(*ruleDevice) {}, true, true},
		{"status 0xFF", func(d *ruleDevice) { d.set("RootfsStatusSlotB", 255) }, true, false},
		{"torn alone", func(d *ruleDevice) { d.remark("B", "rootfs", "torn") }, true, false},
		{"dirty alone", func(d *ruleDevice) { d.remark("B", "firmware", "dirty") }, true, false},
		{"no retries", func(d *ruleDevice) { d.put(rulePMC+"rootfs_retry_count_b", "0x0\n") }, true, true},
		{"capsule armed", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3") }, true, true},
		{"capsule armed, the cure of a dirty chain", func(d *ruleDevice) {
			d.cutCapsule(virtual.AfterCutBothCleared)
			d.boot(virtual.BootOptions{})
			d.raucInstalled("two", "36.4.3")
		}, true, false},
		{"capsule cut", func(d *ruleDevice) { d.cutCapsule(virtual.AfterCutBothCleared); d.bare(virtual.BootOptions{}) }, true, false},
		{"on trial with new firmware", func(d *ruleDevice) { d.onTrial("36.4.3") }, true, true},
		{"rolled back, before the reboot", func(d *ruleDevice) { d.onTrial(""); _, err := d.rollback(); ruleMust(d.t, err) }, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			tt.prepare(d)
			if a, b := d.good(backends.A), d.good(backends.B); a != tt.a || b != tt.b {
				t.Errorf("good: A %t, B %t; want %t, %t", a, b, tt.a, tt.b)
			}
		})
	}
}

func (d *ruleDevice) booted() backends.Slot {
	d.t.Helper()
	_, c := d.control()
	slot, err := c.Booted(context.Background())
	ruleMust(d.t, err)
	d.unchanged("get-current")
	return slot
}

// Get-current is the slot whose root file system is mounted, not the chain.
func TestBootedIsTheMountedRoot(t *testing.T) {
	d := newRule(t)
	if got := d.booted(); got != backends.A {
		t.Errorf("%s is booted, want A", got)
	}
	d.activated("")
	d.arrive(backends.B)
	if got := d.booted(); got != backends.B {
		t.Errorf("%s is booted, want B", got)
	}
}

// A root behind a device mapper shows no partition: the launcher's word stands.
func TestBootedOfAMappedRootIsTheLaunchersWord(t *testing.T) {
	d := newRule(t)
	d.activated("")
	d.arrive(backends.B)
	d.mounts(func(l string) string {
		return ruleReplace(l, "259:2 / / ", "253:0 / / ", "/dev/nvme0n1p2 ", "/dev/mapper/root ")
	})
	if got := d.booted(); got != backends.B {
		t.Errorf("%s is booted, want B", got)
	}
	d.remove(ruleVariable("BootChainOsCurrent", rulePublic))
	_, c := d.control()
	_, err := c.Booted(context.Background())
	ruleRefused(t, err, fail.Unavailable, "neither the launcher nor the mounts say")
}

// Where chain, launcher and mount contradict each other nobody guesses.
func TestBootedRefusesToGuess(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(d *ruleDevice)
		words string
	}{
		{"chain A with root B", ruleWrongRoot, "chain A runs with the root file system of slot B"},
		{"chain B with root A", func(d *ruleDevice) {
			d.activated("")
			d.arrive(backends.B)
			d.mounts(func(l string) string {
				return ruleReplace(l, "259:2 / / ", "259:1 / / ", "/dev/nvme0n1p2 ", "/dev/nvme0n1p1 ")
			})
		}, "chain B runs with the root file system of slot A"},
		{
			"the launcher chose the other", func(d *ruleDevice) { d.set("BootChainOsCurrent", 1) },
			"the launcher chose the root file system of slot B",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.spoil(d)
			before := d.snapshot()
			_, c := d.control()
			slot, err := c.Booted(context.Background())
			ruleRefused(t, err, fail.Unavailable, tt.words)
			if slot != backends.None {
				t.Errorf("it guesses %s all the same", slot)
			}
			d.wantSame(before)
		})
	}
}
