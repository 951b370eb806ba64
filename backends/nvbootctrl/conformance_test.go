package nvbootctrl_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// virtualDevice is a virtual device with the stand-in of NVIDIA's program.
func virtualDevice(t *testing.T, module, l4t string, dialect virtual.Dialect, failure virtual.NVBootctrlFailure,
	redundancy ...virtual.Redundancy) (*virtual.Orin, *device.Machine, chip.Chip) {
	t.Helper()
	opts := virtual.CreateOptions{Module: module, L4T: l4t, AppSize: 64 << 10, ImageSize: 256}
	for _, r := range redundancy {
		opts.Redundancy = r
	}
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), opts)
	must(t, err)
	m := device.New(o.Dir())
	put(t, m, virtual.NVBootctrlPath, "") // what is found is run; the function stands in for it
	c, err := chip.Detect(m)
	must(t, err)
	return o, virtual.WithPrograms(m, o, virtual.ProgramOptions{Dialect: dialect, Failure: failure}), c
}

var conformant = []struct {
	module, l4t string
	redundancy  virtual.Redundancy
	dialects    []virtual.Dialect
}{
	{"p3668-0001", "32.7.5", "", []virtual.Dialect{virtual.DialectR32Old, virtual.DialectR32}},
	{"p2888-0001", "32.7.5", "", []virtual.Dialect{virtual.DialectR32Old, virtual.DialectR32}},
	{"p3310-1000", "32.7.5", "", []virtual.Dialect{virtual.DialectR32}},
	{"p3668-0001", "32.7.5", virtual.RootfsOnly, []virtual.Dialect{virtual.DialectR32}},
	{"", "36.4.0", "", []virtual.Dialect{virtual.DialectR35Early, virtual.DialectR35, virtual.DialectR36, virtual.DialectR39}},
}

// The backend does what backends.Backend promises, whatever the release.
func TestConformance(t *testing.T) {
	for _, d := range conformant {
		for _, dialect := range d.dialects {
			t.Run(fmt.Sprintf("%s %s %s", d.module, d.redundancy, dialect), func(t *testing.T) {
				_, m, c := virtualDevice(t, d.module, d.l4t, dialect, "", d.redundancy)
				b := nvbootctrl.New(m, c, nvbootctrl.Options{})
				must(t, b.Writable(ctx))
				first := read(t, b)
				if first.Current != backends.A || first.NextPending || first.Redundancy == nil || first.Unmarkable != nil {
					t.Fatalf("a new device: %+v", first)
				}
				for range 2 {
					must(t, b.MarkBootable(ctx, backends.A))
					must(t, b.MarkUnbootable(ctx, backends.B))
					if st := read(t, b); *st.Slots[backends.B].Status != backends.StatusUnbootable || *st.Slots[backends.A].Status != 0 || st.NextPending {
						t.Errorf("marked: %+v", st)
					}
				}
				for range 2 {
					must(t, b.MarkBootable(ctx, backends.B))
					if st := read(t, b); *st.Slots[backends.B].Status != 0 || *st.Slots[backends.B].Retries != st.RetryMax || st.NextPending {
						t.Errorf("revived: %+v", st)
					}
				}
				for range 2 {
					must(t, b.ClearTrial(ctx))
					must(t, b.SetNext(ctx, backends.B))
					if st := read(t, b); st.Next != backends.B || st.Current != backends.A {
						t.Errorf("selected: %+v", st)
					}
				}
				for range 2 {
					must(t, b.CancelNext(ctx))
					if st := read(t, b); st.NextPending || *st.Slots[backends.B].Status != 0 {
						t.Errorf("cancelled: %+v", st)
					}
				}
				must(t, b.SetNext(ctx, backends.B))
			})
		}
	}
}

// What is selected is what boots; and confirmed, it stays.
func TestSelectedSlotBoots(t *testing.T) {
	for _, tt := range []struct {
		module     string
		redundancy virtual.Redundancy
	}{{"p3668-0001", ""}, {"p2888-0001", ""}, {"p3310-1000", ""}, {"p3668-0001", virtual.RootfsOnly}} {
		module := tt.module
		o, m, c := virtualDevice(t, module, "32.7.5", "", "", tt.redundancy)
		b := nvbootctrl.New(m, c, nvbootctrl.Options{})
		must(t, b.SetNext(ctx, backends.B))
		boot(t, o)
		for range 6 { // more than cboot starts without a word
			if st := read(t, b); st.Current != backends.B || st.NextPending || st.RootCurrent == backends.A {
				t.Fatalf("%s %s: %+v", module, tt.redundancy, st)
			}
			must(t, b.MarkBootable(ctx, backends.B))
			boot(t, o)
		}
		must(t, b.MarkUnbootable(ctx, backends.A))
		boot(t, o)
		if st := read(t, b); st.Current != backends.B {
			t.Errorf("%s: %+v", module, st)
		}
	}
}

func boot(t *testing.T, o *virtual.Orin) {
	t.Helper()
	if _, err := o.Boot(ctx, virtual.BootOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Each failure of the stand-in is an error of every verb that needs what failed; none is taken for done.
func TestStandInFailures(t *testing.T) {
	for failure, kind := range map[virtual.NVBootctrlFailure]error{
		virtual.NVMemoryMap: nvbootctrl.ErrMemoryMap, virtual.NVCrash: nvbootctrl.ErrKilled, virtual.NVSilent: nil, virtual.NVCrashAfter: nvbootctrl.ErrKilled,
	} {
		_, m, c := virtualDevice(t, "p3668-0001", "32.7.5", "", failure)
		b := nvbootctrl.New(m, c, nvbootctrl.Options{})
		for verb, err := range map[string]error{"select": b.SetNext(ctx, backends.B), "mark": b.MarkUnbootable(ctx, backends.B)} {
			if err == nil || kind != nil && !errors.Is(err, kind) {
				t.Errorf("%s, %s: %v", failure, verb, err)
			}
		}
	}
}

// The metadata lies in two copies. Whichever write of whichever verb is cut, the device boots a slot that is whole, and the
// verb again finishes.
func TestPowerCutsOnTheModel(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prepare  func(b backends.Backend) error // the state before
		do       func(b backends.Backend) error
		mayBootB bool
	}{
		{"mark", nil, func(b backends.Backend) error { return b.MarkUnbootable(ctx, backends.B) }, false},
		{"keep the running slot beside a torn one", func(b backends.Backend) error { return b.MarkUnbootable(ctx, backends.B) },
			func(b backends.Backend) error { return b.MarkBootable(ctx, backends.A) }, false},
		{"revive", func(b backends.Backend) error { return b.MarkUnbootable(ctx, backends.B) },
			func(b backends.Backend) error { return b.MarkBootable(ctx, backends.B) }, true},
		{"select", nil, func(b backends.Backend) error { return b.SetNext(ctx, backends.B) }, true},
		{"cancel", func(b backends.Backend) error { return b.SetNext(ctx, backends.B) }, func(b backends.Backend) error { return b.CancelNext(ctx) }, true},
	} {
		for cut := 1; ; cut++ {
			o, m, c := virtualDevice(t, "p3668-0001", "32.7.5", "", "")
			b := nvbootctrl.New(m, c, nvbootctrl.Options{})
			if tt.prepare != nil {
				must(t, tt.prepare(b))
			}
			fault := &device.Fault{CutAt: cut}
			err := tt.do(nvbootctrl.New(m.WithFault(fault), c, nvbootctrl.Options{}))
			if fault.WasCut() == (err == nil) {
				t.Fatalf("%s, cut %d: %v", tt.name, cut, err)
			}
			if !fault.WasCut() {
				if cut == 1 {
					t.Errorf("%s: nothing was changed", tt.name)
				}
				break
			}
			if _, err := o.Boot(ctx, virtual.BootOptions{Cold: true}); err != nil {
				t.Fatal(err)
			}
			st := read(t, b)
			if st.Current == backends.B && !tt.mayBootB {
				t.Errorf("%s, cut %d: slot B boots: %+v", tt.name, cut, st)
			}
			must(t, tt.do(b))
			must(t, b.MarkBootable(ctx, st.Current))
		}
	}
}
