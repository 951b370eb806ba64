package vm_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// TestReboot asks the firmware for a switch and a capsule, through the code that does so on a device, and looks after
// the reset. In the virtual machine its first boot asks and its second looks; in a folder the test itself plays generic
// firmware in between.
func TestReboot(t *testing.T) {
	m := newMachine(t)
	if !m.kernel {
		m.beforeReboot(t)
		m.remove(t, efivarfs.OsIndications)
		m.afterReboot(t)
		return
	}
	boot, err := guest.Boot()
	must(t, err)
	if boot == 1 {
		m.beforeReboot(t)
		return
	}
	m.afterReboot(t)
}

func (m machine) beforeReboot(t *testing.T) {
	t.Helper()
	m.asOrin(t)
	staged := m.stage(t)
	ctx := context.Background()
	b, s := efivar.New(m.Machine, chip.T234), firmware.New(m.Machine, chip.T234, firmware.Options{})
	must(t, b.MarkUnbootable(ctx, backends.B))
	must(t, b.SetNext(ctx, backends.B))
	must(t, s.Arm(ctx, staged))
	m.want(t, efivarfs.OsIndications, u64(requested))
}

// afterReboot: what was asked for outlived the reset in the firmware's store. The firmware read OsIndications and
// cleared it, as the UEFI specification wants (2.10, 8.5.4); it knows no capsules from files and none of NVIDIA's
// variables, so the rest is as it was. That is also what a device looks like whose firmware ignored a capsule.
func (m machine) afterReboot(t *testing.T) {
	t.Helper()
	ctx := context.Background()
	m.want(t, efivarfs.BootChainFwNext, u32(1))
	m.want(t, efivarfs.RootfsStatusSlotA, u32(0))
	m.want(t, efivarfs.RootfsStatusSlotB, u32(0xff))
	for _, n := range []efivarfs.Name{efivarfs.BootChainFwNext, efivarfs.RootfsStatusSlotA, efivarfs.RootfsStatusSlotB} {
		m.wantProtected(t, n)
	}
	b := efivar.New(m.Machine, chip.T234)
	st, err := b.Read(ctx)
	if err != nil || st.Next != backends.B || !st.NextPending {
		t.Errorf("next is %q, pending %v, %v", st.Next, st.NextPending, err)
	}

	content, err := m.ReadFile(armedFile)
	if err != nil {
		t.Fatalf("the capsule is gone: %v", err)
	}
	staged := identify(content)
	s := firmware.New(m.Machine, chip.T234, firmware.Options{})
	got, err := s.Pending(ctx, &staged)
	must(t, err)
	if d := cmp.Diff(backends.Pending{Armed: true, Unsupported: m.kernel}, got); d != "" {
		t.Errorf("the request was not taken, or the capsule was: %s", d)
	}

	// The next one finds a clean machine, and can change what was made immutable by this boot's mount.
	must(t, b.CancelNext(ctx))
	must(t, b.MarkBootable(ctx, backends.B))
	must(t, s.Discard(ctx, staged))
	m.want(t, efivarfs.BootChainFwNext, "")
	m.want(t, efivarfs.RootfsStatusSlotB, u32(0))
}
