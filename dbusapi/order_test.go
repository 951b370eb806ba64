package dbusapi_test

import (
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// Nobody sees half of a method: while it works the device is written step by step, and a reading in between would show an update
// that is activated beside a slot that does not boot next.
func TestNoHalfChanges(t *testing.T) {
	r := started(t)
	r.answers("MarkBad", "B")
	r.answers("MarkGood", "B")
	rec := r.record()
	for range 15 {
		r.answers("MarkBad", "B")
		rec.once("MarkBad", "marking", map[string]string{slotB: "Bootable Retries"})
		r.answers("MarkGood", "B")
		rec.once("MarkGood", "marking", map[string]string{slotB: "Bootable Retries"})
	}
	both := map[string]string{manager: chosen, slotA: "Next", slotB: "Next"}
	for i := 0; i < 15 && !t.Failed(); i++ {
		r.answers("Activate", "B")
		rec.once("Activate B", "activating", both, "SlotSwitched[B]")
		r.answers("Activate", "A")
		rec.once("Activate A", "activating", both, "SlotSwitched[A]")
	}
}

// An install ends once, however often somebody changes his mind about it afterwards.
func TestFinishedOnce(t *testing.T) {
	r := started(t)
	rec := r.record()
	r.run("tegra-bup", "install", "--update", "one", r.capsule("36.4.3"))
	r.is("UpdateState", `s "staged"`)
	for _, slot := range []string{"", "A", "", "A"} {
		r.answers("Activate", slot)
	}
	ends := 0
	for _, e := range rec.news() {
		if e.Member == "UpdateFinished" {
			ends++
		}
	}
	if ends != 1 {
		t.Errorf("one install ended %d times", ends)
	}
}

// Who is answered finds everything as it is after the call: the values are new, and nothing is at work any longer.
func TestAnswersComeLast(t *testing.T) {
	r := started(t)
	o := r.object(manager)
	stale, refused := 0, 0
	for i := range 200 {
		slot := [2]string{"B", "A"}[i%2]
		if err := o.Call(dbusapi.BusName+".Activate", 0, slot).Err; err != nil {
			refused++
			t.Logf("call %d: %v", i, err)
			continue
		}
		var all map[string]dbus.Variant
		if err := o.Call(propertiesFace+".GetAll", 0, "").Store(&all); err != nil {
			t.Fatal(err)
		}
		if all["NextSlot"].Value() != slot {
			t.Fatalf("call %d: NextSlot %v after Activate %s", i, all["NextSlot"], slot)
		}
		if all["Operation"].Value() != "idle" {
			stale++
		}
	}
	if stale+refused > 0 {
		t.Errorf("of 200 calls one after the other %d were refused, and after %d Operation was not idle", refused, stale)
	}
}
