package efivar_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/efivar"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

var ctx = context.Background()

const (
	pmcR35 = "sys/devices/platform/c360000.pmc"
	pmcR36 = "sys/devices/platform/bus@0/c360000.pmc"
)

// machine is a folder with the variables of a T234 that runs from slot A.
type machine struct {
	t *testing.T
	*device.Machine
}

func newMachine(t *testing.T) machine {
	t.Helper()
	m := machine{t, device.New(t.TempDir())}
	for name, value := range map[efivarfs.Name]uint32{
		efivarfs.BootChainFwCurrent: 0, efivarfs.BootChainOsCurrent: 0, efivarfs.RootfsStatusSlotA: 0, efivarfs.RootfsStatusSlotB: 0,
		efivarfs.RootfsRetryCountMax: 3, efivarfs.RootfsRedundancyLevel: 1,
	} {
		m.number(name, value)
	}
	return m
}

// withPMC adds the scratch register's files.
func (m machine) withPMC(folder string) machine {
	for _, name := range []string{chip.AttrMagic, chip.AttrRetryA, chip.AttrRetryB} {
		m.file(folder+"/"+name, "0x3\n")
	}
	return m
}

func (m machine) file(name, content string) {
	m.t.Helper()
	host := m.Path(name)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(content), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) variable(n efivarfs.Name) string { return efivarfs.Dir + "/" + n.String() }

// raw sets a variable's file: attributes and data.
func (m machine) raw(n efivarfs.Name, content string) { m.t.Helper(); m.file(m.variable(n), content) }

func (m machine) number(n efivarfs.Name, value uint32) {
	m.t.Helper()
	m.raw(n, "\x07\x00\x00\x00"+string(binary.LittleEndian.AppendUint32(nil, value)))
}

func (m machine) absent(names ...efivarfs.Name) {
	m.t.Helper()
	for _, n := range names {
		if err := os.Remove(m.Path(m.variable(n))); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m machine) content(name string) string {
	b, err := m.ReadFile(name)
	if err != nil {
		return "absent"
	}
	return string(b)
}

func (m machine) backend() *efivar.Backend { return efivar.New(m.Machine, chip.T234) }

func (m machine) read() backends.State {
	m.t.Helper()
	st, err := m.backend().Read(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	return st
}

func ptr[T any](v T) *T { return &v }

func TestRead(t *testing.T) {
	m := newMachine(t).withPMC(pmcR36)
	m.raw(efivarfs.TegraPlatformSpec, "\x07\x00\x00\x003767-300\x00\x00")
	m.raw(efivarfs.TegraPlatformCompatSpec, "\x07\x00\x00\x003767--")
	m.raw(efivarfs.SystemFwVersions, "\x06\x00\x00\x00\x00\x04\x24\x00\xff\xff\xff\xff")
	m.number(efivarfs.BootChainFwNext, 1)
	m.number(efivarfs.BootChainFwStatus, 12)
	m.number(efivarfs.RootfsStatusSlotB, 0xFF)
	m.raw(efivarfs.BootNext, "\x07\x00\x00\x00\x01\x00")
	want := backends.State{
		Current: backends.A, RootCurrent: backends.A, Next: backends.B, NextPending: true, TrialStatus: ptr(uint32(12)), BootNext: true, Redundancy: ptr(uint32(1)),
		RetryMax: 3, RetriesWritable: true, Spec: "3767-300", Compat: "3767--",
		Slots: map[backends.Slot]backends.SlotState{
			backends.A: {Status: ptr(uint32(0)), Retries: ptr(3), Firmware: ptr(capsule.Version(0x240400))},
			backends.B: {Status: ptr(uint32(0xFF)), Retries: ptr(3)},
		},
	}
	if d := cmp.Diff(want, m.read()); d != "" {
		t.Error(d)
	}
	// What is not there is not known; only the running chain must be.
	bare := newMachine(t)
	bare.absent(efivarfs.BootChainOsCurrent, efivarfs.RootfsStatusSlotA, efivarfs.RootfsStatusSlotB, efivarfs.RootfsRetryCountMax, efivarfs.RootfsRedundancyLevel)
	want = backends.State{Current: backends.A, RetryMax: 3, Slots: map[backends.Slot]backends.SlotState{backends.A: {}, backends.B: {}}}
	if d := cmp.Diff(want, bare.read()); d != "" {
		t.Error(d)
	}
}

func TestReadOddVariables(t *testing.T) {
	status := efivarfs.RootfsStatusSlotB
	for _, tt := range []struct {
		name, raw string
		want      *uint32
	}{
		{"the firmware's attributes", "\x07\x00\x00\x00\xff\x00\x00\x00", ptr(uint32(0xFF))},
		{"volatile attributes", "\x06\x00\x00\x00\xff\x00\x00\x00", ptr(uint32(0xFF))},
		{"a byte", "\x07\x00\x00\x00\xff", ptr(uint32(0xFF))},
		{"two bytes", "\x07\x00\x00\x00\xff\x00", ptr(uint32(0xFF))},
		{"a phantom without a byte", "", nil},
		{"a phantom with half the attributes", "\x07\x00", nil},
	} {
		m := newMachine(t)
		m.raw(status, tt.raw)
		if d := cmp.Diff(tt.want, m.read().Slots[backends.B].Status); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	for _, raw := range []string{"\x07\x00\x00\x00", "\x07\x00\x00\x00\xff\x00\x00\x00\x00", "\x07\x00\x00\x00\xff\x00\x00\x00\x00\x00\x00\x00"} {
		m := newMachine(t)
		m.raw(status, raw)
		_, err := m.backend().Read(ctx)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "RootfsStatusSlotB") {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	none := machine{t, device.New(t.TempDir())}
	if _, err := none.backend().Read(ctx); fail.CodeOf(err) != fail.Unavailable || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no UEFI: %v", err)
	}
	m := newMachine(t)
	m.number(efivarfs.BootChainFwCurrent, 2)
	if _, err := m.backend().Read(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "BootChainFwCurrent holds 2") {
		t.Error(err)
	}
	m.raw(efivarfs.BootChainFwCurrent, "")
	if _, err := m.backend().Read(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "BootChainFwCurrent is absent") {
		t.Error(err)
	}
}

func TestProbe(t *testing.T) {
	m := newMachine(t)
	for _, tt := range []struct {
		chip chip.Chip
		mine bool
	}{{chip.T234, true}, {chip.T264, true}, {chip.T194, false}} {
		if mine, err := efivar.Probe(m.Machine, tt.chip); err != nil || mine != tt.mine {
			t.Errorf("%s: %t, %v", tt.chip.Name, mine, err)
		}
	}
	m.absent(efivarfs.BootChainFwCurrent)
	if mine, err := efivar.Probe(m.Machine, chip.T234); !mine || fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("mine but broken: %t, %v", mine, err)
	}
	if mine, err := efivar.Probe(device.New(t.TempDir()), chip.T234); !mine || fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("no UEFI variables: %t, %v", mine, err)
	}
}
