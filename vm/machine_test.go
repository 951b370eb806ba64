package vm_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

var kernelFolder = flag.String("efivarfs", "", "test on the efivarfs that the kernel shows in `folder`: only in the virtual machine of make test-vm")

// all are the attributes of every variable here. The firmware's own BootChainFwCurrent and its like are volatile; from
// Linux only stored ones can be made.
const all = efivarfs.NonVolatile | efivarfs.BootService | efivarfs.Runtime

// machine is a virtual Orin's folder, or, with -efivarfs, the virtual machine that this test runs in: a real kernel and real UEFI
// firmware, though not NVIDIA's.
type machine struct {
	*device.Machine
	kernel bool
}

func newMachine(t *testing.T) machine {
	t.Helper()
	if *kernelFolder != "" {
		must(t, guest.Efivarfs(*kernelFolder))
		return machine{device.New("/"), true}
	}
	dir := t.TempDir()
	_, err := virtual.Create(dir, virtual.CreateOptions{AppSize: 1 << 20})
	must(t, err)
	return machine{device.New(dir), false}
}

// asOrin gives the machine the variables of a T234 that runs slot A. None of them is known to generic firmware.
func (m machine) asOrin(t *testing.T) {
	t.Helper()
	for _, v := range []struct {
		name efivarfs.Name
		data string
	}{
		{efivarfs.BootChainFwCurrent, u32(0)}, {efivarfs.BootChainOsCurrent, u32(0)},
		{efivarfs.RootfsStatusSlotA, u32(0)}, {efivarfs.RootfsStatusSlotB, u32(0)},
		{efivarfs.RootfsRedundancyLevel, u32(1)}, {efivarfs.RootfsRetryCountMax, u32(3)},
		{efivarfs.TegraPlatformSpec, "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-"},
		{efivarfs.TegraPlatformCompatSpec, "3767--0005--1--jetson-orin-nano-devkit-"},
		{efivarfs.SystemFwVersions, u32(36<<16|4<<8) + u32(36<<16|3<<8)},
	} {
		m.set(t, v.name, v.data)
	}
	for _, n := range []efivarfs.Name{efivarfs.BootChainFwNext, efivarfs.BootChainFwStatus, efivarfs.OsIndications, efivarfs.BootNext} {
		m.remove(t, n)
	}
}

func (m machine) host(n efivarfs.Name) string { return m.Path(efivarfs.Dir + "/" + n.String()) }

// set gives a variable a value by hand, not by the code under test: it is made anew, in one write.
func (m machine) set(t *testing.T, n efivarfs.Name, data string) {
	t.Helper()
	m.remove(t, n)
	must(t, os.WriteFile(m.host(n), []byte(u32(all)+data), 0o644))
}

func (m machine) remove(t *testing.T, n efivarfs.Name) {
	t.Helper()
	f, err := os.Open(m.host(n))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	must(t, err)
	defer f.Close()
	if m.kernel {
		must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0))
	}
	must(t, os.Remove(m.host(n)))
}

// want compares a variable's file; "" wants it absent.
func (m machine) want(t *testing.T, n efivarfs.Name, data string) {
	t.Helper()
	got, err := os.ReadFile(m.host(n))
	switch {
	case data == "" && !errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s holds %x (%v), want it absent", n.Name, got, err)
	case data != "" && (err != nil || string(got) != u32(all)+data):
		t.Errorf("%s holds %x (%v), want %x", n.Name, got, err, u32(all)+data)
	}
}

// wantProtected: what the kernel protects is still protected after our change. In a folder no kernel does.
func (m machine) wantProtected(t *testing.T, n efivarfs.Name) {
	t.Helper()
	if !m.kernel {
		return
	}
	if err := os.Remove(m.host(n)); !errors.Is(err, unix.EPERM) {
		t.Errorf("a careless removal of %s: %v, want EPERM", n.Name, err)
	}
}

func u32(x uint32) string { return string(binary.LittleEndian.AppendUint32(nil, x)) }
func u64(x uint64) string { return string(binary.LittleEndian.AppendUint64(nil, x)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
