package rauc_test

import (
	"testing"
)

// mark is one of RAUC's marks, and what RAUC says then.
type mark struct {
	state, slot string
	code        int
	want        truth
}

func (o *orin) marks(t *testing.T, list ...mark) {
	t.Helper()
	for _, m := range list {
		if r := o.rauc(t, "status", m.state, m.slot); r.code != m.code {
			t.Fatalf("%s %s exits %d, want %d: %s%s", m.state, m.slot, r.code, m.code, r.stdout, r.stderr)
		}
		if o.tells(t, m.want); t.Failed() {
			t.Fatalf("after %s %s", m.state, m.slot)
		}
	}
}

// TestMarks sets every mark on both slots, each twice, by the words booted and other and by the slots' names. Each call does what
// it says and nothing else; the reboot then does what RAUC said.
func TestMarks(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	a, b := o.contents(t, "A"), o.contents(t, "B")
	all, onlyA, toB := truth{"A", "A", "AB"}, truth{"A", "A", "A"}, truth{"A", "B", "AB"}
	o.marks(t,
		mark{"mark-good", "booted", 0, all}, mark{"mark-good", "booted", 0, all},
		mark{"mark-good", "other", 0, all}, mark{"mark-good", "rootfs.1", 0, all},
		mark{"mark-active", "booted", 0, all}, mark{"mark-active", "rootfs.0", 0, all},
		mark{"mark-bad", "other", 0, onlyA}, mark{"mark-bad", "rootfs.1", 0, onlyA},
		mark{"mark-good", "other", 0, all}, // nobody wrote to it
		mark{"mark-active", "other", 0, toB}, mark{"mark-active", "rootfs.1", 0, toB},
		mark{"mark-good", "booted", 0, toB}, // does not take the switch back
		mark{"mark-active", "booted", 0, all},
		mark{"mark-active", "other", 0, toB},
		mark{"mark-bad", "other", 0, onlyA},  // takes it back
		mark{"mark-active", "other", 0, toB}, // makes it bootable, too
		mark{"mark-bad", "booted", 0, truth{"A", "B", "B"}}, mark{"mark-bad", "booted", 0, truth{"A", "B", "B"}},
		mark{"mark-good", "booted", 0, toB},
	)
	o.untouched(t, "A", a)
	o.untouched(t, "B", b)
	o.mustBoot(t, "B")
	o.tells(t, truth{"B", "B", "AB"})
	o.updates(t)
}

// TestMarkedBadSlotBoots: the running slot is marked bad, and the firmware obeys.
func TestMarkedBadSlotBoots(t *testing.T) {
	for _, power := range []string{"--warm", "--cold"} {
		t.Run(power[2:], func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			o.start(t)
			o.marks(t, mark{"mark-bad", "booted", 0, truth{"A", "", "B"}})
			// No slot is said to boot next: RAUC's primary is the one that was chosen, and it is bad.
			o.mustBoot(t, "B", power)
			o.tells(t, truth{"B", "B", "B"})
			o.rauc(t, "status", "mark-good", "other").want(t, 0)
			o.tells(t, truth{"B", "B", "AB"})
			o.updates(t)
		})
	}
}

// TestBothBad: no slot is primary then, which is no error; RAUC 1.8 and its test of custom backends want exit 0 and no name.
func TestBothBad(t *testing.T) {
	for _, first := range []string{"booted", "other"} {
		t.Run(first+" first", func(t *testing.T) {
			parallel(t)
			o := newOrin(t)
			o.start(t)
			was := o.contents(t, "A")
			after, second := truth{"A", "", "B"}, "other"
			if first == "other" {
				after, second = truth{"A", "A", "A"}, "booted"
			}
			none := truth{"A", "", ""}
			o.marks(t, mark{"mark-bad", first, 0, after}, mark{"mark-bad", second, 0, none})
			if code, out, log := o.backend(t, "get-primary"); code != 0 || out != "" || log != "" {
				t.Errorf("get-primary exits %d and says %q, %q; want nothing and 0", code, out, log)
			}
			o.rauc(t, "status").want(t, 0)
			for _, slot := range []string{"A", "B"} {
				if code, out, log := o.backend(t, "get-state", slot); code != 0 || out != "bad\n" {
					t.Errorf("get-state %s exits %d and says %q: %s", slot, code, out, log)
				}
			}
			o.marks(t, mark{"mark-good", "booted", 0, truth{"A", "A", "A"}}, mark{"mark-good", "other", 0, truth{"A", "A", "AB"}},
				mark{"mark-bad", first, 0, after}, mark{"mark-bad", second, 0, none})
			// An install is a way out as well.
			bundle, image := o.release(t)
			firmware := o.nextVersion(t)
			o.rauc(t, "install", bundle).want(t, 0)
			o.tells(t, truth{"A", "B", "B"})
			o.mustBoot(t, "B")
			o.holds(t, "B", image)
			o.untouched(t, "A", was)
			if got := o.status(t).Slots["B"].Firmware; got == nil || *got != firmware {
				t.Errorf("slot B does not run firmware %s", firmware)
			}
			o.tells(t, truth{"B", "B", "B"})
			o.updates(t)
		})
	}
}
