package efivar_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// R35 and R36 kernels show the scratch register in different folders; kernels before 5.15.148 do not.
func TestRetries(t *testing.T) {
	for name, folder := range map[string]string{"R35": pmcR35, "R36": pmcR36} {
		m := newMachine(t).withPMC(folder)
		if err := m.backend().MarkUnbootable(ctx, backends.B); err != nil {
			t.Fatal(err)
		}
		st := m.read()
		if slot := st.Slots[backends.B]; *slot.Retries != 0 || *slot.Status != backends.StatusUnbootable || *st.Slots[backends.A].Retries != 3 {
			t.Errorf("%s: marked: %+v", name, slot)
		}
		if got := m.content(folder + "/" + chip.AttrRetryB); got != "0x0" {
			t.Errorf("%s: wrote %q", name, got)
		}
		m.number(efivarfs.RootfsRetryCountMax, 2)
		if err := m.backend().MarkBootable(ctx, backends.B); err != nil {
			t.Fatal(err)
		}
		st = m.read()
		if slot := st.Slots[backends.B]; *slot.Retries != 2 || *slot.Status != 0 || st.RetryMax != 2 {
			t.Errorf("%s: revived: %+v", name, slot)
		}
	}
	// A maximum that two bits cannot hold is not the firmware's.
	m := newMachine(t).withPMC(pmcR36)
	for _, limit := range []uint32{0, 4, 0xFF} {
		m.number(efivarfs.RootfsRetryCountMax, limit)
		if st := m.read(); st.RetryMax != 3 {
			t.Errorf("RootfsRetryCountMax %d: %d", limit, st.RetryMax)
		}
	}
}

func TestMissingPMC(t *testing.T) {
	m := newMachine(t)
	st := m.read()
	if st.RetriesWritable || st.Slots[backends.A].Retries != nil {
		t.Errorf("%+v", st)
	}
	if err := m.backend().MarkUnbootable(ctx, backends.B); err != nil {
		t.Error(err)
	}
	if st := m.read(); *st.Slots[backends.B].Status != backends.StatusUnbootable {
		t.Errorf("%+v", st)
	}
	// One file of two is not enough.
	m.file(pmcR36+"/"+chip.AttrRetryA, "3\n")
	if st := m.read(); st.RetriesWritable || *st.Slots[backends.A].Retries != 3 {
		t.Errorf("%+v", st)
	}
	// A value that is none is not known, and not an error that hides everything else.
	m.file(pmcR36+"/"+chip.AttrRetryB, "many\n")
	if st := m.read(); st.Slots[backends.B].Retries != nil {
		t.Errorf("%+v", st)
	}
}

// Each write of a variable wears the flash, and the firmware refuses other attributes than those a variable has.
func TestWritesKeepAttributes(t *testing.T) {
	for _, attributes := range []byte{6, 7} {
		m := newMachine(t)
		m.raw(efivarfs.RootfsStatusSlotB, string([]byte{attributes, 0, 0, 0, 0, 0, 0, 0}))
		if err := m.backend().MarkUnbootable(ctx, backends.B); err != nil {
			t.Fatal(err)
		}
		if got := m.content(m.variable(efivarfs.RootfsStatusSlotB)); got != string([]byte{attributes, 0, 0, 0, 0xFF, 0, 0, 0}) {
			t.Errorf("attributes %d: %q", attributes, got)
		}
	}
	m := newMachine(t)
	fault := &device.Fault{}
	b := efivar.New(m.WithFault(fault), chip.T234)
	for range 2 {
		for _, do := range []func() error{
			func() error { return b.MarkBootable(ctx, backends.B) },
			func() error { return b.SetNext(ctx, backends.B) },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if fault.Count() != 1 {
		t.Errorf("%d writes, want one of BootChainFwNext: %q", fault.Count(), fault.Changes())
	}
	if got := m.content(m.variable(efivarfs.BootChainFwNext)); got != "\x07\x00\x00\x00\x01\x00\x00\x00" {
		t.Errorf("BootChainFwNext: %q", got)
	}
}

// Every call may be repeated, and absence is what it asks for.
func TestNextAndTrial(t *testing.T) {
	m := newMachine(t)
	b := m.backend()
	m.number(efivarfs.BootChainFwStatus, 12)
	for range 2 {
		if err := b.ClearTrial(ctx); err != nil || m.read().TrialStatus != nil {
			t.Error(err)
		}
		if err := b.SetNext(ctx, backends.B); err != nil || m.read().Next != backends.B {
			t.Error(err)
		}
	}
	for range 2 {
		if err := b.CancelNext(ctx); err != nil || m.read().Next != backends.None {
			t.Error(err)
		}
	}
	// A phantom of a failed first write is replaced.
	m.raw(efivarfs.BootChainFwNext, "")
	if err := b.SetNext(ctx, backends.A); err != nil || m.read().Next != backends.A {
		t.Error(err)
	}
	m.number(efivarfs.BootChainFwNext, 7) // no slot; the firmware reports 9 for it
	if st := m.read(); st.Next != backends.None || !st.NextPending {
		t.Errorf("next %q, pending %t", st.Next, st.NextPending)
	}
}

// A write that fails, or does not stick, is an error that names what was to be written.
func TestFailingWrites(t *testing.T) {
	for at, want := range map[int]string{1: "RootfsStatusSlotB", 2: "the retry count of slot B"} {
		m := newMachine(t).withPMC(pmcR36)
		b := efivar.New(m.WithFault(&device.Fault{FailAt: at}), chip.T234)
		if err := b.MarkUnbootable(ctx, backends.B); !errors.Is(err, device.ErrFault) || !strings.Contains(err.Error(), want) {
			t.Errorf("change %d: %v", at, err)
		}
	}
	// A register that ignores what is written to it, and reads as nothing.
	m := newMachine(t).withPMC(pmcR36)
	ignoring := m.Path(pmcR36 + "/" + chip.AttrRetryB)
	if err := os.Remove(ignoring); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", ignoring); err != nil {
		t.Fatal(err)
	}
	if err := m.backend().MarkUnbootable(ctx, backends.B); fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "retry count of slot B") {
		t.Error(err)
	}
}

// Kernels without the counts leave the running slot's refill to NVIDIA's program.
func TestRefillByNVIDIA(t *testing.T) {
	program := "#!/bin/sh\necho \"$0 $*\" >>\"$(dirname \"$0\")/calls\"\n"
	for _, tt := range []struct {
		name, place, configured string
		slot                    backends.Slot
		pmc, called             bool
		exit                    string
		code                    fail.Code
	}{
		{name: "the usual place", place: "usr/sbin/nvbootctrl", slot: backends.A, called: true},
		{name: "the configured place", place: "opt/nv/nvbootctrl", configured: "/opt/nv/nvbootctrl", slot: backends.A, called: true},
		{name: "the kernel shows the counts", place: "usr/sbin/nvbootctrl", slot: backends.A, pmc: true},
		{name: "the other slot, which it cannot", place: "usr/sbin/nvbootctrl", slot: backends.B},
		{name: "no program", place: "usr/sbin/other", slot: backends.A},
		{name: "it fails", place: "usr/sbin/nvbootctrl", slot: backends.A, called: true, exit: "echo 'Error: memory map failed' >&2; exit 1\n", code: fail.IO},
	} {
		m := newMachine(t)
		if tt.pmc {
			m.withPMC(pmcR36)
		}
		m.file(tt.place, program+tt.exit)
		if err := os.Chmod(m.Path(tt.place), 0o755); err != nil {
			t.Fatal(err)
		}
		err := m.backend().WithNVBootctrl(tt.configured).MarkBootable(ctx, tt.slot)
		if fail.CodeOf(err) != tt.code || err != nil && !strings.Contains(err.Error(), "memory map failed") {
			t.Errorf("%s: %v", tt.name, err)
		}
		calls := m.content(filepath.Join(filepath.Dir(tt.place), "calls"))
		if called := calls != "absent"; called != tt.called || called && !strings.HasSuffix(calls, " verify\n") {
			t.Errorf("%s: calls %q", tt.name, calls)
		}
	}
}

// The configured program and no other; else the usual place; else the first on our PATH.
func TestNVBootctrlOrder(t *testing.T) {
	all := []string{
		"opt/nvbootctrl", "usr/sbin/nvbootctrl", "usr/local/sbin/nvbootctrl", "usr/local/bin/nvbootctrl", "usr/bin/nvbootctrl",
		"sbin/nvbootctrl", "bin/nvbootctrl",
	}
	for _, tt := range []struct {
		name, configured string
		missing          []string
		want             string // "" for none
	}{
		{"configured", "/opt/nvbootctrl", nil, "opt/nvbootctrl"},
		{"configured and missing", "/opt/nvbootctrl", all[:1], ""},
		{"usual", "", nil, "usr/sbin/nvbootctrl"},
		{"first on the path", "", all[:2], "usr/local/sbin/nvbootctrl"},
		{"second on the path", "", all[:3], "usr/local/bin/nvbootctrl"},
		{"third on the path", "", all[:4], "usr/bin/nvbootctrl"},
		{"last on the path", "", all[:6], "bin/nvbootctrl"},
		{"none", "", all, ""},
	} {
		m := newMachine(t)
		for _, place := range all {
			if slices.Contains(tt.missing, place) {
				continue
			}
			m.file(place, "#!/bin/sh\necho "+place+" >>\""+m.Path("calls")+"\"\n")
			if err := os.Chmod(m.Path(place), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.backend().WithNVBootctrl(tt.configured).MarkBootable(ctx, backends.A); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		want := tt.want + "\n"
		if tt.want == "" {
			want = "absent"
		}
		if got := m.content("calls"); got != want {
			t.Errorf("%s: %q was called, want %q", tt.name, got, want)
		}
	}
}
