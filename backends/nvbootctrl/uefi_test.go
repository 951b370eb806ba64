package nvbootctrl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

var uefiDialects = []string{"r35-early", "r35"}

// Without efivarfs the program's two views are all there is.
func TestReadDumps(t *testing.T) {
	for _, dialect := range uefiDialects {
		f := newFake(dialect)
		f.current, f.active = 1, 0
		f.slots[0] = slot{retry: 0, status: "unbootable"}
		version, err := capsule.ParseVersion("36.4.0")
		must(t, err)
		st := read(t, backend(machine(t, f), chip.T234))
		if st.Unmarkable == nil || fail.CodeOf(st.Unmarkable) != fail.Unavailable || fail.NextOf(st.Unmarkable) == "" {
			t.Errorf("%s: unmarkable: %v", dialect, st.Unmarkable)
		}
		st.Unmarkable = nil
		want := backends.State{
			Current: backends.B, RootCurrent: backends.B, Next: backends.A, NextPending: true, Redundancy: ptr(uint32(1)), RetryMax: 3,
			Spec: "3668-100-0001--1-0-jetson-xavier-nx-devkit-mmcblk0p1", Compat: "3668-100---1--jetson-xavier-nx-devkit-",
			Slots: map[backends.Slot]backends.SlotState{
				backends.A: {Status: ptr(uint32(0xFF)), Retries: ptr(0)}, backends.B: {Status: ptr(uint32(0)), Retries: ptr(3), Firmware: &version},
			},
		}
		if d := cmp.Diff(want, st); d != "" {
			t.Errorf("%s: %s", dialect, d)
		}
	}
}

func TestRedundancyFromTheProgram(t *testing.T) {
	for _, tt := range []struct {
		exit int
		want *uint32
	}{{0, ptr(uint32(0))}, {1, ptr(uint32(1))}, {2, ptr(uint32(1))}, {64, nil}} {
		f := newFake("r35")
		f.rootAB, f.version = tt.exit, "0.0.0"
		st := read(t, backend(machine(t, f), chip.T234))
		if d := cmp.Diff(tt.want, st.Redundancy); d != "" || st.Slots[backends.A].Firmware != nil {
			t.Errorf("exit %d: %s", tt.exit, d)
		}
	}
	f := newFake("r35")
	f.rootAB = 7
	if _, err := backend(machine(t, f), chip.T234).Read(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "exit 7") {
		t.Error(err)
	}
}

// Where nothing can mark a slot, that is said; what the release can do is done, with no command that it lacks.
func TestVerbsWithoutVariables(t *testing.T) {
	f := newFake("r35")
	f.slots[0].retry = 1
	b := backend(machine(t, f), chip.T234)
	must(t, b.Writable(ctx))
	for range 2 {
		must(t, b.SetNext(ctx, backends.B))
		if st := read(t, b); st.Next != backends.B {
			t.Errorf("%+v", st)
		}
	}
	for range 2 {
		must(t, b.CancelNext(ctx))
		if st := read(t, b); st.NextPending {
			t.Errorf("%+v", st)
		}
	}
	must(t, b.MarkBootable(ctx, backends.A))
	must(t, b.MarkBootable(ctx, backends.B)) // nothing keeps it from booting
	must(t, b.ClearTrial(ctx))
	if f.slots[0].retry != 3 {
		t.Errorf("%+v", f.slots)
	}
	if err := b.MarkUnbootable(ctx, backends.B); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "slot B") {
		t.Error(err)
	}
	f.slots[1].status = "unbootable"
	if err := b.MarkBootable(ctx, backends.B); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "slot B") {
		t.Error(err)
	}
	for _, c := range f.calls {
		if strings.Contains(c, "mark-boot") || strings.Contains(c, "unbootable") || strings.Contains(c, "unified") || strings.Contains(c, "is-slot") {
			t.Errorf("%q is none of R35's commands", c)
		}
	}
}

// variables makes a device whose variables can be read.
func variables(t *testing.T, f *fake) *device.Machine {
	t.Helper()
	m := machine(t, f)
	for n, v := range map[efivarfs.Name]byte{
		efivarfs.BootChainFwCurrent: 0, efivarfs.BootChainOsCurrent: 0, efivarfs.RootfsStatusSlotA: 0, efivarfs.RootfsStatusSlotB: 0,
		efivarfs.RootfsRedundancyLevel: 1, efivarfs.BootChainFwStatus: 12,
	} {
		variable(t, m, n, v)
	}
	return m
}

// Xavier NX with R35: its variables can be written, and are.
func TestVariablesAreWritten(t *testing.T) {
	f := newFake("r35")
	m := variables(t, f)
	b := backend(m, chip.T194)
	must(t, b.Writable(ctx))
	if st := read(t, b); st.Unmarkable != nil || *st.TrialStatus != 12 || *st.Redundancy != 1 || st.RootCurrent != backends.A {
		t.Errorf("%+v", st)
	}
	for range 2 {
		must(t, b.MarkUnbootable(ctx, backends.B))
		must(t, b.ClearTrial(ctx))
		must(t, b.SetNext(ctx, backends.B))
	}
	if st := read(t, b); *st.Slots[backends.B].Status != backends.StatusUnbootable || st.TrialStatus != nil || st.Next != backends.B {
		t.Errorf("%+v", st)
	}
	must(t, b.MarkBootable(ctx, backends.B))
	must(t, b.CancelNext(ctx))
	if st := read(t, b); *st.Slots[backends.B].Status != 0 || st.NextPending {
		t.Errorf("%+v", st)
	}
	selections := 0
	for _, c := range f.calls {
		if strings.Contains(c, "set-active") {
			selections++
		}
	}
	if selections != 1 {
		t.Errorf("%d selections: %q", selections, f.calls)
	}
	// The program is asked for its opinion, and missed only by those that need it.
	f.current = 1
	if _, err := b.Read(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "BootChainFwCurrent says A") || !strings.Contains(err.Error(), "says B") {
		t.Error(err)
	}
	f.answer = func(string) (device.Result, error) {
		return device.Result{Stderr: "Error: can not open /dev/mem", ExitCode: 1}, nil
	}
	read(t, b)
	if err := b.Writable(ctx); err == nil {
		t.Error("writable without the program")
	}
}

// A selection that is not there afterwards is an error that names the usual reason.
func TestSilentNoOpUEFI(t *testing.T) {
	for _, withVariables := range []bool{false, true} {
		f := newFake("r35")
		f.ignores = true
		m := machine(t, f)
		if withVariables {
			m = variables(t, f)
		}
		err := backend(m, chip.T194).SetNext(ctx, backends.B)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "slot B") || !strings.Contains(fail.NextOf(err), "RootfsRedundancyLevel") {
			t.Errorf("variables %t: %v", withVariables, err)
		}
	}
}

// A read-only efivarfs keeps marks from being set, and says so.
func TestReadOnlyVariables(t *testing.T) {
	m := variables(t, newFake("r35"))
	put(t, m, "proc/self/mountinfo", "27 22 0:25 / "+efivarfs.Dir+" ro,nosuid - efivarfs efivarfs rw\n")
	b := backend(m, chip.T194)
	if st := read(t, b); st.Unmarkable == nil || !strings.Contains(fail.NextOf(st.Unmarkable), "remount,rw") {
		t.Errorf("%v", st.Unmarkable)
	}
	if err := b.MarkUnbootable(ctx, backends.B); fail.CodeOf(err) != fail.Unavailable {
		t.Error(err)
	}
}

// Every change of every verb on variables is cut: one slot at least boots, and the verb again finishes.
func TestPowerCutsUEFI(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b backends.Backend) error
		done func(st backends.State) bool
	}{
		{"mark", func(b backends.Backend) error { return b.MarkUnbootable(ctx, backends.B) }, func(st backends.State) bool { return *st.Slots[backends.B].Status == backends.StatusUnbootable }},
		{"clear", func(b backends.Backend) error { return b.ClearTrial(ctx) }, func(st backends.State) bool { return st.TrialStatus == nil }},
		{"select", func(b backends.Backend) error { return b.SetNext(ctx, backends.B) }, func(st backends.State) bool { return st.Next == backends.B }},
	} {
		m := variables(t, newFake("r35"))
		fault := &device.Fault{CutAt: 1}
		if err := tt.do(backend(m.WithFault(fault), chip.T194)); err == nil || !fault.WasCut() {
			t.Errorf("%s: %v", tt.name, err)
		}
		b := backend(m, chip.T194)
		if st := read(t, b); *st.Slots[backends.A].Status != 0 || tt.done(st) {
			t.Errorf("%s, cut: %+v", tt.name, st)
		}
		must(t, tt.do(b))
		if st := read(t, b); !tt.done(st) {
			t.Errorf("%s: %+v", tt.name, st)
		}
	}
}
