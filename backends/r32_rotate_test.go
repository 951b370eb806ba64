package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// cboot takes a slot back whose kernel it started twice without a word from userspace: boot-verify speaks up at each boot, also
// when no update is in flight.
func TestR32EveryBootIsConfirmed(t *testing.T) {
	t.Parallel()
	left, confirmed := newR32Rule(t), newR32Rule(t)
	for i := 1; i <= 5; i++ {
		r, err := confirmed.boot(virtual.BootOptions{})
		ruleMust(t, err)
		if r.Chain != virtual.A {
			t.Fatalf("boot %d: slot %s runs", i, r.Chain)
		}
		b, err := confirmed.userspace()
		if err != nil || !b.Committed {
			t.Fatalf("boot %d: committed %t: %v", i, b.Committed, err)
		}
	}
	// The rule is real: without boot-verify the slot is lost.
	lost := false
	for i := 1; i <= 5; i++ {
		r, err := left.boot(virtual.BootOptions{})
		ruleMust(t, err)
		lost = lost || r.Chain != virtual.A
	}
	if !lost {
		t.Error("cboot keeps a slot that nobody confirms: the test shows nothing")
	}
}

// A half-written slot that cannot be marked is no reason to lose the running one: it is confirmed at each boot all the same.
func TestR32RunningSlotIsKeptWhereTheOtherCannotBeMarked(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t)
	d.programs.EngineFailure = virtual.EngineDies
	if err := d.do(nil, r32Stage("u")); err == nil {
		t.Fatal("it did not fail")
	}
	d.programs = virtual.ProgramOptions{}
	meta, err := d.Metadata()
	ruleMust(t, err)
	if meta.Slots[1].Priority != 0 {
		t.Fatalf("%+v", meta.Slots)
	}
	// Somebody revives the slot, and marking it has no effect from now on.
	_, _, exit := virtual.RunNVBootctrl(context.Background(), device.New(d.Dir()), d.Orin, virtual.NVBootctrlOptions{}, "set-active-boot-slot", "1")
	_, _, exit2 := virtual.RunNVBootctrl(context.Background(), device.New(d.Dir()), d.Orin, virtual.NVBootctrlOptions{}, "set-active-boot-slot", "0")
	if exit != 0 || exit2 != 0 {
		t.Fatal(exit, exit2)
	}
	d.fails = func(_ int, call string) virtual.NVBootctrlFailure {
		if strings.Contains(call, "set-slot-as-unbootable") {
			return virtual.NVSilent
		}
		return ""
	}
	for i := 1; i <= 12; i++ { // more than a slot that nobody confirms has
		r, err := d.boot(virtual.BootOptions{})
		ruleMust(t, err)
		if r.Chain != virtual.A {
			t.Fatalf("boot %d: slot %s runs", i, r.Chain)
		}
		if err := d.do(nil, r32Verify); err == nil {
			t.Fatalf("boot %d: a slot that is half written and a way back is no error", i)
		}
	}
}
