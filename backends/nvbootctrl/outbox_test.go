package nvbootctrl_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const outbox = "/boot/efi/" + efivarfs.OutboxFolder

// agxXavier is a device whose variables cannot be written at run time: the model's ESP and variables, an AGX Xavier's name.
func agxXavier(t *testing.T) *device.Machine {
	t.Helper()
	_, m, _ := virtualDevice(t, "", "36.4.0", virtual.DialectR35, "")
	put(t, m, "etc/nv_boot_control.conf", "TEGRA_CHIPID 0x19\nTEGRA_OTA_BOOT_DEVICE /dev/mmcblk0boot0\n")
	variable(t, m, efivarfs.BootChainFwStatus, 12)
	return m
}

// AGX Xavier gets every change from its ESP at the next boot; efivarfs is not written.
func TestMarksOfAGXXavierWaitOnTheESP(t *testing.T) {
	m := agxXavier(t)
	before, err := m.ReadDir(efivarfs.Dir)
	must(t, err)
	b := nvbootctrl.New(m, chip.T194, nvbootctrl.Options{})
	fault := &device.Fault{}
	counted := nvbootctrl.New(m.WithFault(fault), chip.T194, nvbootctrl.Options{})
	if st := read(t, b); st.Unmarkable != nil || *st.TrialStatus != 12 {
		t.Fatalf("%+v", st)
	}
	for i := range 2 {
		must(t, counted.MarkUnbootable(ctx, backends.B))
		must(t, counted.ClearTrial(ctx))
		must(t, counted.SetNext(ctx, backends.B))
		if st := read(t, b); *st.Slots[backends.B].Status != backends.StatusUnbootable || st.TrialStatus != nil || st.Next != backends.B {
			t.Errorf("%+v", st)
		}
		if i == 0 {
			fault.FailAt = fault.Count() + 1 // the second time nothing is left to change
		}
	}
	for name, want := range map[efivarfs.Name]string{
		efivarfs.RootfsStatusSlotB: "\x07\x00\x00\x00\xff\x00\x00\x00", efivarfs.BootChainFwNext: "\x07\x00\x00\x00\x01\x00\x00\x00", efivarfs.BootChainFwStatus: "\x07\x00\x00\x00",
	} {
		if got, err := m.ReadFile(outbox + "/" + name.String()); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, b.CancelNext(ctx))
	must(t, b.MarkBootable(ctx, backends.B))
	if st := read(t, b); *st.Slots[backends.B].Status != 0 || st.NextPending {
		t.Errorf("%+v", st)
	}
	after, err := m.ReadDir(efivarfs.Dir)
	must(t, err)
	v, err := efivarfs.New(m).Read(efivarfs.BootChainFwStatus)
	if err != nil || len(after) != len(before) || v.Data[0] != 12 {
		t.Errorf("efivarfs was changed: %d variables, %d before; %v", len(after), len(before), err)
	}
}

// Without its ESP AGX Xavier cannot mark, and Control hears why; the program still selects.
func TestAGXXavierWithoutItsESP(t *testing.T) {
	m := agxXavier(t)
	mounts, err := m.ReadText("/proc/self/mountinfo")
	must(t, err)
	var kept []string
	for _, line := range strings.Split(mounts, "\n") {
		if !strings.Contains(line, "vfat") {
			kept = append(kept, line)
		}
	}
	put(t, m, "proc/self/mountinfo", strings.Join(kept, "\n")+"\n")
	b := nvbootctrl.New(m, chip.T194, nvbootctrl.Options{})
	if st := read(t, b); fail.CodeOf(st.Unmarkable) != fail.Unavailable || !strings.Contains(st.Unmarkable.Error(), "ESP at boot") {
		t.Errorf("%v", st.Unmarkable)
	}
	if err := b.MarkUnbootable(ctx, backends.B); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "slot B") {
		t.Error(err)
	}
	must(t, b.SetNext(ctx, backends.B))
	if _, err := os.Stat(m.Path(outbox)); err == nil {
		t.Error("something waits where no ESP is mounted")
	}
}
