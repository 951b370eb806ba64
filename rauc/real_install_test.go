package rauc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestInstall goes A to B and back again, root file system and firmware, and asks RAUC before and after each reboot.
func TestInstall(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	o.tells(t, truth{Booted: "A", Primary: "A", Good: "AB"})
	for _, to := range []string{"B", "A", "B"} {
		from := other(to)
		was := o.contents(t, from)
		bundle, image := o.release(t)
		firmware := o.nextVersion(t)
		calls := o.traced(t, func() { o.rauc(t, "install", bundle).want(t, 0) })
		if diff := cmp.Diff([]string{"set-state " + to + " bad", "set-primary " + to}, calls); diff != "" {
			t.Errorf("install calls (-want +got):\n%s", diff)
		}
		o.holds(t, to, image)
		o.tells(t, truth{Booted: from, Primary: to, Good: "AB"})
		if s := o.status(t); s.Update.State != "activated" || s.Update.Target != to || s.Next == nil || *s.Next != to {
			t.Fatalf("to %s, before the reboot: %+v", to, s)
		}
		o.arrives(t, to, firmware)
		o.untouched(t, from, was)
	}
}

// arrives reboots into an installed update, and fails unless it is accepted with this firmware.
func (o *orin) arrives(t *testing.T, to, firmware string) {
	t.Helper()
	o.mustBoot(t, to)
	if !o.committed() {
		t.Errorf("slot %s is not committed: %s", to, o.verdict())
	}
	s := o.status(t)
	if s.Update.State != "committed" {
		t.Errorf("the update is %q, want committed: %s", s.Update.State, o.verdict())
	}
	if got := s.Slots[to].Firmware; got == nil || *got != firmware {
		t.Errorf("slot %s does not run firmware %s: %+v", to, firmware, s)
	}
	o.tells(t, truth{Booted: to, Primary: to, Good: "AB"})
}

// untouched fails if a byte of a slot changed.
func (o *orin) untouched(t *testing.T, slot string, was map[string]string) {
	t.Helper()
	if diff := cmp.Diff(was, o.contents(t, slot)); diff != "" {
		t.Errorf("slot %s was changed (-before +after):\n%s", slot, diff)
	}
}

// updates installs a good update into the slot that does not run, and boots it.
func (o *orin) updates(t *testing.T) {
	t.Helper()
	from := o.status(t).Current
	bundle, image := o.release(t)
	firmware := o.nextVersion(t)
	o.rauc(t, "install", bundle).want(t, 0)
	o.holds(t, other(from), image)
	o.arrives(t, other(from), firmware)
}

// TestTrace is the golden trace of what RAUC 1.8 asks the boot handler. A service that is told the booted slot asks nothing;
// its drop-in asks get-current, once.
func TestTrace(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	calls := func(what string, cause func(), want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, o.traced(t, cause)); diff != "" {
			t.Errorf("%s calls (-want +got):\n%s", what, diff)
		}
	}
	ask := []string{"get-primary", "get-state A", "get-state B"}
	with := func(more ...string) []string { return append(append([]string{}, ask...), more...) }
	run := func(args ...string) func() { return func() { t.Helper(); o.rauc(t, args...).want(t, 0) } }

	calls("the start of the service", func() { o.start(t) }, "get-current")
	calls("status", run("status"), ask...)
	calls("status --detailed", run("status", "--detailed", "--output-format=json"), ask...)
	calls("mark-good", run("status", "mark-good"), with("set-state A good")...)
	calls("mark-bad other", run("status", "mark-bad", "other"), with("set-state B bad")...)
	calls("mark-good other", run("status", "mark-good", "other"), with("set-state B good")...)
	calls("mark-active other", run("status", "mark-active", "other"), with("set-primary B")...)
	calls("mark-active booted", run("status", "mark-active", "booted"), with("set-primary A")...)
	calls("GetSlotStatus", func() { o.call(t, "GetSlotStatus") }, "get-state A", "get-state B")
	calls("GetPrimary", func() { o.call(t, "GetPrimary") }, "get-primary")
	calls("rauc info", run("info", o.bundle(t, "", o.capsule(t, "36.4.3"))))
	calls("installing firmware", run("install", o.bundle(t, "", o.capsule(t, "36.4.3"))))
	calls("installing a root file system", run("install", o.bundle(t, o.image(t), "")), "set-state B bad", "set-primary B")
	calls("installing both", run("install", o.bundle(t, o.image(t), o.capsule(t, "36.4.3"))), "set-state B bad", "set-primary B")
	o.arrives(t, "B", "36.4.3")
}

// TestFirmwareOnly: RAUC never calls the boot handler for a bundle without a root file system; the post-install handler arms.
// After the reboot the other slot runs, with the root file system that it has.
func TestFirmwareOnly(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	a, b := o.contents(t, "A"), o.contents(t, "B")
	o.rauc(t, "install", o.bundle(t, "", o.capsule(t, "36.4.3"))).want(t, 0)
	o.untouched(t, "A", a)
	o.untouched(t, "B", b) // RAUC's dummy slot is not written either
	o.tells(t, truth{Booted: "A", Primary: "B", Good: "AB"})
	o.marks(t, mark{"mark-good", "booted", 0, truth{"A", "B", "AB"}})
	o.arrives(t, "B", "36.4.3")
	o.untouched(t, "A", a)
	if got := digest(read(t, o.app("B"))); got != b["APP"] {
		t.Error("a bundle without a root file system changed the one of slot B")
	}

	// The running slot has that firmware now, the other one not; then both have it, and there is nothing to do.
	o.rauc(t, "install", o.bundle(t, "", o.capsule(t, "36.4.3"))).want(t, 0)
	o.tells(t, truth{Booted: "B", Primary: "A", Good: "AB"})
	o.arrives(t, "A", "36.4.3")
	o.rauc(t, "install", o.bundle(t, "", o.capsule(t, "36.4.3"))).want(t, 0)
	o.tells(t, truth{Booted: "A", Primary: "A", Good: "AB"})
	o.mustBoot(t, "A")
	o.updates(t)
}

// TestRootfsOnly: without firmware in the bundle the chain is selected. Firmware follows the slot, so that both chains hold the
// same here.
func TestRootfsOnly(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	for _, to := range []string{"B", "A"} {
		was := o.contents(t, other(to))
		file := o.image(t)
		image := read(t, file)
		o.rauc(t, "install", o.bundle(t, file, "")).want(t, 0)
		o.holds(t, to, image)
		o.tells(t, truth{Booted: other(to), Primary: to, Good: "AB"})
		o.arrives(t, to, "36.4.0")
		o.untouched(t, other(to), was)
	}
}
