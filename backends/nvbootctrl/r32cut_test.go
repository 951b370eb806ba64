package nvbootctrl_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Every change of every verb is cut: what boots then is whole, and the verb again finishes. torn says which slot must never
// boot in the verb's case; before the verb the state is one in which Control calls it.
func TestPowerCutsR32(t *testing.T) {
	a, other := backends.A, backends.B
	whole, tornB := [2]slot{{15, 7, true, ""}, {14, 7, true, ""}}, [2]slot{{15, 7, true, ""}, {0, 0, false, ""}}
	selected := [2]slot{{14, 7, true, ""}, {15, 7, false, ""}}
	for _, tt := range []struct {
		name  string
		slots [2]slot
		torn  int // a slot that must not boot; -1: both are whole
		do    func(b backends.Backend) error
		done  func(f *fake) bool
	}{
		{"mark unbootable", whole, -1, func(b backends.Backend) error { return b.MarkUnbootable(ctx, other) }, func(f *fake) bool { return !f.bootable(1) && f.next() == 0 }},
		{"keep running bootable beside a torn slot", [2]slot{{15, 2, false, ""}, {0, 0, false, ""}}, 1,
			func(b backends.Backend) error { return b.MarkBootable(ctx, a) }, func(f *fake) bool { return f.slots[0] == slot{15, 7, true, ""} && !f.bootable(1) }},
		// Cut after its first change it leaves the other slot selected: that one boots then, or stays selected.
		{"revive", tornB, -1, func(b backends.Backend) error { return b.MarkBootable(ctx, other) }, func(f *fake) bool { return f.bootable(1) && f.bootable(0) }},
		{"select", whole, -1, func(b backends.Backend) error { return b.SetNext(ctx, other) }, func(f *fake) bool { return f.next() == 1 && f.bootable(0) }},
		{"cancel", selected, -1, func(b backends.Backend) error { return b.CancelNext(ctx) }, func(f *fake) bool { return f.next() == 0 }},
		{"confirm while another is selected", [2]slot{{14, 5, false, ""}, {15, 7, false, ""}}, -1,
			func(b backends.Backend) error { return b.MarkBootable(ctx, a) }, func(f *fake) bool { return f.slots[0].successful }},
		{"revive the running one", [2]slot{{0, 0, false, ""}, {15, 7, false, ""}}, -1,
			func(b backends.Backend) error { return b.MarkBootable(ctx, a) }, func(f *fake) bool { return f.next() == 0 && f.slots[0].successful }},
	} {
		for _, dialect := range r32Dialects {
			for cut := 1; ; cut++ {
				f := newFake(dialect)
				f.slots = tt.slots
				m := machine(t, f)
				fault := &device.Fault{CutAt: cut}
				err := tt.do(backend(m.WithFault(fault), chip.T194))
				if fault.WasCut() == (err == nil) {
					t.Fatalf("%s, %s, cut %d: %v", tt.name, dialect, cut, err)
				}
				if n := f.next(); n < 0 || n == tt.torn {
					t.Errorf("%s, %s, cut %d: slot %d boots: %+v", tt.name, dialect, cut, n, f.slots)
				}
				if err := tt.do(backend(m, chip.T194)); err != nil || !tt.done(f) {
					t.Errorf("%s, %s, after cut %d: %v, %+v", tt.name, dialect, cut, err, f.slots)
				}
				if !fault.WasCut() {
					if cut == 1 {
						t.Errorf("%s, %s: nothing was changed", tt.name, dialect)
					}
					break
				}
			}
		}
	}
}
