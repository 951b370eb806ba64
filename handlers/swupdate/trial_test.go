package swupdate_test

import (
	"os"
	"strings"
	"testing"
)

// tries is how many boots a new slot gets by default, from the firmware (warm) and from the journal (cold) alike.
const tries = 3

// installed installs a good update on a device, and returns its state before.
func installed(t *testing.T, o *orin) (*orin, before) {
	t.Helper()
	b := o.snapshot(t)
	o.install(t, o.good(t, o.image(t)).pack(t)).want(t, 0)
	return o, b
}

// rolledBack checks a device whose new system was given up.
func (o *orin) rolledBack(t *testing.T, b before) {
	t.Helper()
	if s := o.status(t); s.Current != b.slot || s.Update.State != "rolled-back" {
		t.Fatalf("slot %s runs and the update is %q, want %s and rolled-back: %+v\n%s", s.Current, s.Update.State, b.slot, s, o.verdict())
	}
	if !o.committed() {
		t.Errorf("slot %s is not committed after the roll-back: %s", b.slot, o.verdict())
	}
	o.untouched(t, b)
	o.mustBoot(t, b.slot) // and stays
	o.updates(t)
}

// TestKernelDiesWarm: the new kernel never comes up and the watchdog resets; the firmware's retries run out.
func TestKernelDiesWarm(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o, b := installed(t, newDevice(t, k))
		for i := 0; i < k.resets; i++ {
			o.mustNotBoot(t, "--warm", "--fail", "kernel")
		}
		o.mustBoot(t, b.slot)
		o.rolledBackOrFailed(t, b)
	})
}

// rolledBackOrFailed: the firmware fell back, so the update never ran Linux; both words say that it did not arrive.
func (o *orin) rolledBackOrFailed(t *testing.T, b before) {
	t.Helper()
	s := o.status(t)
	if s.Verdict.Outcome != "fell-back" {
		t.Errorf("the verdict is %q, want fell-back: %s", s.Verdict.Outcome, o.verdict())
	}
	if s.Update.State != "rolled-back" && s.Update.State != "failed" {
		t.Errorf("the update is %q: %s", s.Update.State, o.verdict())
	}
	o.unharmed(t, b)
}

// TestKernelDiesCold: each reset loses the scratch register, so no software can count; the new kernel is tried again and
// again, and the old slot stays whole until a warm reset or a person decides.
func TestKernelDiesCold(t *testing.T) {
	parallel(t)
	o, b := installed(t, newOrin(t))
	for i := 0; i < 2*tries; i++ {
		o.mustNotBoot(t, "--cold", "--fail", "kernel")
		o.untouched(t, b)
	}
	for i := 0; i < tries; i++ {
		o.mustNotBoot(t, "--warm", "--fail", "kernel")
	}
	o.mustBoot(t, b.slot)
	o.rolledBackOrFailed(t, b)
}

// TestUserspaceDiesCold: Linux starts, tegra-boot-count counts, and the system hangs until somebody switches it off. The
// firmware's counter is lost each time; the journal's is not.
func TestUserspaceDiesCold(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o, b := installed(t, newDevice(t, k))
		boots := 0
		for ; boots < 3*tries; boots++ {
			if up, _ := o.boot(t, "--cold", "--fail", "userspace"); up {
				t.Fatal("a dead userspace came up")
			}
			if s := o.status(t); s.Next != nil && *s.Next == b.slot {
				break
			}
		}
		if boots > tries+1 {
			t.Fatalf("%d boots with a dying userspace and no roll back, %d tries are allowed: %+v", boots, tries, o.status(t))
		}
		o.mustBoot(t, b.slot, "--cold")
		o.rolledBack(t, b)
	})
}

// TestUserspaceDiesOnce: two hangs are within the tries; the third boot is accepted.
func TestUserspaceDiesOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o, b := installed(t, newDevice(t, k))
		o.mustNotBoot(t, "--cold", "--fail", "userspace")
		o.mustNotBoot(t, "--cold", "--fail", "userspace")
		o.mustBoot(t, other(b.slot), "--cold")
		if s := o.status(t); s.Update.State != "committed" {
			t.Errorf("the update is %q, want committed: %s", s.Update.State, o.verdict())
		}
		o.untouched(t, b)
		o.updates(t)
	})
}

// TestHealth: the new system comes up and a health check of the integrator's refuses it.
func TestHealth(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o := newDevice(t, k)
		o.updates(t) // so that A is the one to come back from
		_, b := installed(t, o)
		check := o.path("etc/tegra-ota/health.d/50-application")
		if err := os.MkdirAll(o.path("etc/tegra-ota/health.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(check, []byte("#!/bin/sh\necho no camera >&2\nexit 3\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		up, timeline := o.boot(t)
		if !up || !strings.Contains(o.verdict(), "50-application") || !o.wantsReboot(t) {
			t.Fatalf("the failed health check does not ask for a reboot:\n%s\n%s", timeline, o.verdict())
		}
		if o.committed() {
			t.Error("a slot whose health check failed is committed")
		}
		o.mustBoot(t, b.slot)
		if err := os.Remove(check); err != nil {
			t.Fatal(err)
		}
		o.says(t, "50-application")
		o.rolledBack(t, b)
	})
}

// TestBusyOnTrial: while the new system is not accepted the other slot is its way back, and no update may write to it.
func TestBusyOnTrial(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o, b := installed(t, newDevice(t, k))
		o.userland = "tegra-boot-verify count"
		o.mustBoot(t, other(b.slot))
		if o.committed() {
			t.Error("a slot on trial is committed")
		}
		image := o.image(t)
		o.install(t, update{members: []member{rootfs("2", image), activate("2")}}.pack(t)).want(t, 1).says(t, `exit 75, busy`)
		o.untouched(t, b)
		o.userland = userland
		o.mustBoot(t, other(b.slot))
		o.updates(t)
	})
}
