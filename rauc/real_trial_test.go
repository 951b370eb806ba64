package rauc_test

import (
	"os"
	"strings"
	"testing"
)

// tries is how many boots a new slot gets by default, from the firmware (warm) and from the journal (cold) alike.
const tries = 3

// onTrial returns a device with an update installed by RAUC and not booted, and the old slot's contents.
func onTrial(t *testing.T) (*orin, map[string]string) {
	t.Helper()
	o := newOrin(t)
	o.start(t)
	was := o.contents(t, "A")
	bundle, _ := o.release(t)
	o.rauc(t, "install", bundle).want(t, 0)
	return o, was
}

// gaveUp checks a device that came back to slot A: RAUC sees the running slot and the bad one, and a reboot changes nothing.
func (o *orin) gaveUp(t *testing.T, was map[string]string) {
	t.Helper()
	s := o.status(t)
	if s.Update.State != "rolled-back" && s.Update.State != "failed" {
		t.Errorf("the update is %q: %s", s.Update.State, o.verdict())
	}
	for i := 0; i < 2; i++ {
		if !o.committed() {
			t.Errorf("slot A is not committed: %s", o.verdict())
		}
		o.untouched(t, "A", was)
		o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
		if i == 0 {
			o.mustBoot(t, "A")
		}
	}
	o.updates(t)
}

// TestKernelDies: the new kernel never comes up, and the watchdog resets; the firmware's retries run out.
func TestKernelDies(t *testing.T) {
	parallel(t)
	o, was := onTrial(t)
	for i := 0; i < tries; i++ {
		o.mustNotBoot(t, "--warm", "--fail", "kernel")
	}
	o.mustBoot(t, "A")
	o.gaveUp(t, was)
}

// TestUserspaceDies: Linux starts and hangs until somebody switches it off; the journal counts, and the roll-back comes early in
// the boot that is one too many.
func TestUserspaceDies(t *testing.T) {
	parallel(t)
	o, was := onTrial(t)
	for i := 0; i <= tries; i++ {
		o.mustNotBoot(t, "--cold", "--fail", "userspace")
	}
	o.mustBoot(t, "A", "--cold")
	o.gaveUp(t, was)
}

// TestFirmwareDies: the new chain's firmware does not start.
func TestFirmwareDies(t *testing.T) {
	parallel(t)
	o, was := onTrial(t)
	if up, _ := o.boot(t, "--fail", "firmware"); !up {
		t.Fatal("the device does not come up on the old chain")
	}
	o.mustBoot(t, "A")
	o.gaveUp(t, was)
}

// TestHealth: the new system comes up, and a health check refuses it. RAUC is not told that it is good, and says so: it runs, it is
// bad, the old one boots next.
func TestHealth(t *testing.T) {
	parallel(t)
	o, was := onTrial(t)
	check := o.path("etc/tegra-ota/health.d/50-application")
	program(t, check, "echo no camera >&2\nexit 3")
	calls := o.traced(t, func() { o.mustBoot(t, "B") })
	if o.committed() || !strings.Contains(o.verdict(), "50-application") {
		t.Fatalf("the failed health check does not count: %s", o.verdict())
	}
	for _, call := range calls {
		if call != "get-current" {
			t.Errorf("in a boot that is not accepted RAUC calls %q", call)
		}
	}
	o.tells(t, truth{Booted: "B", Primary: "A", Good: "A"})
	// Somebody with the stock unit would do this: a slot that was rolled back stays given up.
	o.rauc(t, "status", "mark-good").want(t, 1)
	o.tells(t, truth{Booted: "B", Primary: "A", Good: "A"})
	o.mustBoot(t, "A")
	if err := os.Remove(check); err != nil {
		t.Fatal(err)
	}
	o.gaveUp(t, was)
}

// TestAcceptedByHand: before tegra-boot-verify judges, the new slot runs and boots next; set-state good is the whole commit.
func TestAcceptedByHand(t *testing.T) {
	parallel(t)
	o, was := onTrial(t)
	o.userland = unjudged
	o.mustBoot(t, "B")
	o.tells(t, truth{Booted: "B", Primary: "B", Good: "AB"})
	if o.committed() {
		t.Error("a slot on trial is committed")
	}
	// The way back is not to be lost.
	o.rauc(t, "status", "mark-bad", "other").want(t, 1).says(t, "code 75")
	o.tells(t, truth{Booted: "B", Primary: "B", Good: "AB"})
	o.rauc(t, "status", "mark-good").want(t, 0)
	if s := o.status(t); s.Update.State != "committed" || !o.committed() {
		t.Errorf("mark-good is not the whole commit: %+v", s)
	}
	o.tells(t, truth{Booted: "B", Primary: "B", Good: "AB"})
	o.userland = userland
	o.mustBoot(t, "B")
	o.untouched(t, "A", was)
	o.updates(t)
}

// TestCapsuleCut: the power fails while the firmware writes the other chain. If it does not try again by itself, the slot is bad
// until firmware is installed: with its root file system, or alone, because that one is whole.
func TestCapsuleCut(t *testing.T) {
	for _, tt := range []struct {
		after string
		runs  string
		cure  func(t *testing.T, o *orin) string
	}{
		{"retry", "B", nil},
		{"flag-cleared", "A", func(t *testing.T, o *orin) string { return o.bundle(t, "", o.capsule(t, "36.4.3")) }},
		{"both-cleared", "A", func(t *testing.T, o *orin) string { return o.bundle(t, o.image(t), o.capsule(t, "36.4.3")) }},
	} {
		t.Run(tt.after, func(t *testing.T) {
			parallel(t)
			o, was := onTrial(t)
			o.mustNotBoot(t, "--cut-phase", "capsule-mb1", "--after-cut", tt.after)
			o.mustBoot(t, tt.runs, "--cold")
			o.untouched(t, "A", was)
			if tt.cure != nil {
				bad := truth{"A", "A", "A"}
				o.tells(t, bad)
				o.marks(t, mark{"mark-good", "other", 1, bad}, mark{"mark-active", "other", 1, bad})
				o.torn(t, "B")
				o.rauc(t, "install", tt.cure(t, o)).want(t, 0)
				o.arrives(t, "B", "36.4.3")
			}
			o.tells(t, truth{"B", "B", "AB"})
			o.untouched(t, "A", was)
		})
	}
}
