package nvbootctrl_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

var r32Dialects = []string{"r32-old", "r32"}

func TestReadR32(t *testing.T) {
	for _, dialect := range r32Dialects {
		m := machine(t, newFake(dialect))
		want := backends.State{
			Current: backends.A, Redundancy: ptr(uint32(1)), RetryMax: 7, RetriesWritable: true, MarksChains: true,
			Spec: "3668-100-0001--1-0-jetson-xavier-nx-devkit-mmcblk0p1", Compat: "3668-100---1--jetson-xavier-nx-devkit-",
			Slots: map[backends.Slot]backends.SlotState{
				backends.A: {Status: ptr(uint32(0)), Retries: ptr(7)}, backends.B: {Status: ptr(uint32(0)), Retries: ptr(7)},
			},
		}
		if d := cmp.Diff(want, read(t, backend(m, chip.T186))); d != "" {
			t.Errorf("%s: %s", dialect, d)
		}
	}
}

// Which slot boots next follows from priorities and retries, as MB1 looks at them.
func TestNextR32(t *testing.T) {
	for _, tt := range []struct {
		name    string
		current int
		slots   [2]slot
		next    backends.Slot
	}{
		{"the running slot", 0, [2]slot{{15, 7, true, ""}, {14, 7, true, ""}}, backends.None},
		{"selected", 0, [2]slot{{14, 7, true, ""}, {15, 7, false, ""}}, backends.B},
		{"selected back", 1, [2]slot{{15, 7, false, ""}, {14, 7, true, ""}}, backends.A},
		{"fallen back: the selected one has no retries", 0, [2]slot{{14, 7, true, ""}, {15, 0, false, ""}}, backends.None},
		{"the running one is marked", 0, [2]slot{{0, 0, false, ""}, {14, 7, true, ""}}, backends.B},
		{"the running one has no retries left", 1, [2]slot{{14, 7, true, ""}, {15, 0, false, ""}}, backends.A},
		{"none is bootable", 1, [2]slot{{0, 0, false, ""}, {0, 0, false, ""}}, backends.None},
		{"equal priorities", 1, [2]slot{{15, 7, true, ""}, {15, 7, true, ""}}, backends.None},
	} {
		for _, dialect := range r32Dialects {
			if dialect == "r32" && tt.name == "equal priorities" {
				continue // its program says what it takes for active
			}
			f := newFake(dialect)
			f.current, f.slots = tt.current, tt.slots
			st := read(t, backend(machine(t, f), chip.T194))
			if st.Next != tt.next || st.NextPending != (tt.next != backends.None) {
				t.Errorf("%s, %s: %q, pending %t, want %q", tt.name, dialect, st.Next, st.NextPending, tt.next)
			}
		}
	}
}

// What is-unified-enabled and is-rootfs-ab-enabled end with decides in which views a slot is selected.
func TestViewsR32(t *testing.T) {
	for _, tt := range []struct {
		name             string
		unified, rootAB  int
		root             backends.Slot
		both             bool
		selects, cancels string
	}{
		{"unified", 0, 1, backends.A, false, "set-active-boot-slot 1", ""},
		{"both off", 69, 0, backends.None, false, "set-active-boot-slot 1", ""},
		{"both off, and a question that fails", 69, 1, backends.None, false, "set-active-boot-slot 1", ""},
		{"rootfs only", 70, 1, backends.A, true, "set-active-boot-slot 1,-t rootfs set-active-boot-slot 1", ""},
		{"before 32.6.1, rootfs on", 64, 1, backends.A, true, "set-active-boot-slot 1,-t rootfs set-active-boot-slot 1", ""},
		{"before 32.6.1, rootfs off", 64, 0, backends.None, false, "set-active-boot-slot 1", ""},
	} {
		f := newFake("r32")
		f.unified, f.rootAB = tt.unified, tt.rootAB
		b := backend(machine(t, f), chip.T194)
		if st := read(t, b); st.RootCurrent != tt.root || st.NextPending || *st.Redundancy != 1 {
			t.Errorf("%s: %+v", tt.name, st)
		}
		f.calls = nil
		must(t, b.SetNext(ctx, backends.B))
		var selected []string
		for _, c := range f.calls {
			if strings.Contains(c, "set-active") {
				selected = append(selected, c)
			}
		}
		if got := strings.Join(selected, ","); got != tt.selects {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.selects)
		}
		if st := read(t, b); st.Next != backends.B {
			t.Errorf("%s: next %q", tt.name, st.Next)
		}
		must(t, b.CancelNext(ctx))
		if f.next() != 0 || tt.both && f.root != 0 || !f.slots[0].successful {
			t.Errorf("%s: cancelled: %+v, root %d", tt.name, f.slots, f.root)
		}
	}
}

// Each verb does what it says, does it again without writing, and leaves the other slot as it was.
func TestVerbsR32(t *testing.T) {
	for _, dialect := range r32Dialects {
		f := newFake(dialect)
		fault := &device.Fault{}
		b := backend(machine(t, f).WithFault(fault), chip.T194)
		step := func(what string, do func() error, check func(st backends.State) bool) {
			t.Helper()
			must(t, do())
			if st := read(t, b); !check(st) {
				t.Errorf("%s, %s: %+v; %+v", dialect, what, f.slots, st)
			}
			before := fault.Count()
			must(t, do())
			if n := fault.Count() - before; n != 0 {
				t.Errorf("%s, %s again: %d changes %q", dialect, what, n, fault.Changes()[before:])
			}
		}
		a, other := backends.A, backends.B
		step("mark other unbootable", func() error { return b.MarkUnbootable(ctx, other) }, func(st backends.State) bool {
			return *st.Slots[other].Status == backends.StatusUnbootable && *st.Slots[other].Retries == 0 && *st.Slots[a].Status == 0 && !st.NextPending
		})
		step("mark own bootable", func() error { return b.MarkBootable(ctx, a) }, func(st backends.State) bool { return f.slots[0].successful && !st.NextPending })
		step("revive other", func() error { return b.MarkBootable(ctx, other) }, func(st backends.State) bool {
			return *st.Slots[other].Status == 0 && *st.Slots[other].Retries == 7 && !st.NextPending && f.next() == 0 && f.slots[0].successful
		})
		step("clear trial", func() error { return b.ClearTrial(ctx) }, func(st backends.State) bool { return st.TrialStatus == nil })
		step("select", func() error { return b.SetNext(ctx, other) }, func(st backends.State) bool { return st.Next == other && f.next() == 1 })
		must(t, b.MarkBootable(ctx, a))
		if st := read(t, b); st.Next != other {
			t.Errorf("%s: confirming the running slot takes the selection away: %+v", dialect, f.slots)
		}
		step("cancel", func() error { return b.CancelNext(ctx) }, func(st backends.State) bool { return !st.NextPending && f.next() == 0 && f.slots[0].successful })
		// The other slot ran, and used up a boot: confirming it refills it.
		must(t, b.SetNext(ctx, other))
		f.slots[1].retry, f.current = 6, 1
		step("confirm after a switch", func() error { return b.MarkBootable(ctx, other) }, func(st backends.State) bool {
			return st.Current == other && f.slots[1].successful && *st.Slots[other].Retries == 7 && !st.NextPending
		})
		step("own unbootable", func() error { return b.MarkUnbootable(ctx, other) }, func(st backends.State) bool { return st.Next == a })
		step("own bootable again", func() error { return b.MarkBootable(ctx, other) }, func(st backends.State) bool {
			return *st.Slots[other].Status == 0 && f.slots[1].successful && f.next() == 1
		})
	}
}

// cboot wants a word at each boot, whatever the metadata says.
func TestEveryBootIsConfirmed(t *testing.T) {
	f := newFake("r32")
	b := backend(machine(t, f), chip.T194)
	for range 3 {
		must(t, b.MarkBootable(ctx, backends.A))
	}
	if f.confirmed != 3 {
		t.Errorf("confirmed %d times, want 3: %q", f.confirmed, f.calls)
	}
}

// A confirmation that takes the selection away, as tegra-boot-tools' does, gives it back.
func TestConfirmKeepsTheSelection(t *testing.T) {
	f := newFake("r32")
	b := backend(machine(t, f), chip.T194)
	must(t, b.SetNext(ctx, backends.B))
	f.slots[0].retry = 5
	must(t, b.MarkBootable(ctx, backends.A))
	if f.next() != 1 || f.slots[0].retry != 7 || !f.slots[0].successful {
		t.Errorf("%+v", f.slots)
	}
}

// A program that succeeds and does nothing is found out by reading back.
func TestSilentNoOpR32(t *testing.T) {
	for _, dialect := range r32Dialects {
		f := newFake(dialect)
		f.ignores, f.lazy = true, true
		b := backend(machine(t, f), chip.T194)
		if err := b.SetNext(ctx, backends.B); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "-t bootloader set-active-boot-slot 1") {
			t.Error(err)
		}
		if err := b.MarkUnbootable(ctx, backends.B); fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "slot B") {
			t.Error(err)
		}
		f.slots[1] = slot{}
		if err := b.MarkBootable(ctx, backends.B); err == nil {
			t.Error("an unbootable slot was taken for revived")
		}
		f.slots[0].successful = false
		if err := b.MarkBootable(ctx, backends.A); fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "slot A") {
			t.Error(err)
		}
	}
	// In the view of the root file systems, too.
	f := newFake("r32")
	f.unified, f.rootAB = 70, 1
	inner := f.run
	m := machine(t, f)
	f.answer = func(args string) (device.Result, error) {
		if args == "-t rootfs set-active-boot-slot 1" {
			return device.Result{Stdout: "ok\n"}, nil
		}
		return device.Result{}, nil
	}
	if err := backend(m.WithProgram(program, inner), chip.T194).SetNext(ctx, backends.B); err == nil || !strings.Contains(err.Error(), "-t rootfs") {
		t.Error(err)
	}
}

// Two sources that name different slots are no source.
func TestContradictionR32(t *testing.T) {
	f := newFake("r32")
	m := machine(t, f)
	f.answer = func(args string) (device.Result, error) {
		if args == "get-current-slot" {
			return device.Result{Stdout: "1\n"}, nil
		}
		return device.Result{}, nil
	}
	if _, err := backend(m, chip.T194).Read(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "says B") || !strings.Contains(err.Error(), "says A") {
		t.Error(err)
	}
}
