package vm_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// TestSlots runs every verb of the UEFI variables' backend.
func TestSlots(t *testing.T) {
	m := newMachine(t)
	m.asOrin(t)
	if ours, err := efivar.Probe(m.Machine, chip.T234); !ours || err != nil {
		t.Fatalf("probed: %v, %v", ours, err)
	}
	b := efivar.New(m.Machine, chip.T234)
	ctx := context.Background()
	twice := func(verb func() error) func() error {
		return func() error {
			if err := verb(); err != nil {
				return err
			}
			return verb()
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
		want map[efivarfs.Name]string
	}{
		{"next is B", twice(func() error { return b.SetNext(ctx, backends.B) }), map[efivarfs.Name]string{efivarfs.BootChainFwNext: u32(1)}},
		{"next is A", twice(func() error { return b.SetNext(ctx, backends.A) }), map[efivarfs.Name]string{efivarfs.BootChainFwNext: u32(0)}},
		{"cancelled", twice(func() error { return b.CancelNext(ctx) }), map[efivarfs.Name]string{efivarfs.BootChainFwNext: ""}},
		{"B unbootable", twice(func() error { return b.MarkUnbootable(ctx, backends.B) }), map[efivarfs.Name]string{
			efivarfs.RootfsStatusSlotA: u32(0), efivarfs.RootfsStatusSlotB: u32(0xff)}},
		{"A unbootable", twice(func() error { return b.MarkUnbootable(ctx, backends.A) }), map[efivarfs.Name]string{
			efivarfs.RootfsStatusSlotA: u32(0xff), efivarfs.RootfsStatusSlotB: u32(0xff)}},
		{"both bootable", func() error {
			if err := b.MarkBootable(ctx, backends.A); err != nil {
				return err
			}
			return twice(func() error { return b.MarkBootable(ctx, backends.B) })()
		}, map[efivarfs.Name]string{efivarfs.RootfsStatusSlotA: u32(0), efivarfs.RootfsStatusSlotB: u32(0)}},
		{"trial cleared", func() error {
			m.set(t, efivarfs.BootChainFwStatus, u32(2))
			return twice(func() error { return b.ClearTrial(ctx) })()
		}, map[efivarfs.Name]string{efivarfs.BootChainFwStatus: ""}},
	} {
		t.Run(step.name, func(t *testing.T) {
			must(t, step.do())
			for n, data := range step.want {
				m.want(t, n, data)
				if data != "" {
					m.wantProtected(t, n)
				}
			}
		})
	}
	t.Run("read", func(t *testing.T) {
		m.set(t, efivarfs.BootChainFwNext, u32(1))
		m.set(t, efivarfs.BootChainFwStatus, u32(1))
		m.set(t, efivarfs.RootfsStatusSlotB, u32(0xff))
		m.set(t, efivarfs.BootNext, "\x01\x00")
		t.Cleanup(func() { m.asOrin(t) })
		got, err := b.Read(ctx)
		must(t, err)
		if d := cmp.Diff(m.wantState(), got); d != "" {
			t.Error(d)
		}
	})
}

// wantState is what the variables say, and the launcher's retry counts: the virtual Orin has them, a machine that is no
// Tegra has not.
func (m machine) wantState() backends.State {
	number := func(x uint32) *uint32 { return &x }
	version := func(v capsule.Version) *capsule.Version { return &v }
	st := backends.State{
		Current: backends.A, RootCurrent: backends.A, Next: backends.B, NextPending: true, TrialStatus: number(1), BootNext: true,
		Redundancy: number(1), RetryMax: 3, Spec: "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-", Compat: "3767--0005--1--jetson-orin-nano-devkit-",
		Slots: map[backends.Slot]backends.SlotState{
			backends.A: {Status: number(0), Firmware: version(36<<16 | 4<<8)}, backends.B: {Status: number(0xff), Firmware: version(36<<16 | 3<<8)},
		},
	}
	if m.kernel {
		return st
	}
	retries := 3
	st.RetriesWritable = true
	for slot, s := range st.Slots {
		s.Retries = &retries
		st.Slots[slot] = s
	}
	return st
}
