package virtual_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

func nvbootctrl(o *virtual.Orin, opts virtual.NVBootctrlOptions, args ...string) (stdout, stderr string, exit int) {
	return virtual.RunNVBootctrl(context.Background(), machineOf(o), o, opts, args...)
}

const (
	dumpR32 = "magic:0x43424e00,             version: 3             features: 3             num_slots: 2\n" +
		"slot: 0,             priority: 15,             suffix: _a,             retry_count: 7,             boot_successful: 1\n" +
		"slot: 1,             priority: 14,             suffix: _b,             retry_count: 7,             boot_successful: 1\n"
	dumpR36 = "Current version: 36.4.0\nCapsule update status: 0\nCurrent bootloader slot: A\nActive bootloader slot: A\nnum_slots: 2\n" +
		"slot: 0,             status: normal\nslot: 1,             status: normal\n"
)

// The texts are those of public threads: meta-tegra #367, forum 346422, 340715 and 247290.
func TestDumpsAreNVIDIAs(t *testing.T) {
	old := jetPack4(xavierAGX)
	old.L4T = "32.3.1"
	for _, tt := range []struct {
		name    string
		opts    virtual.CreateOptions
		prepare func(*virtual.Orin)
		dialect virtual.Dialect
		args    string
		want    string
	}{
		{"R32.3", old, nil, "", "dump-slots-info", dumpR32},
		{"later R32", old, nil, virtual.DialectR32, "dump-slots-info", "Current bootloader slot: A\nActive bootloader slot: A\n" + dumpR32},
		{"R36", small(), nil, "", "dump-slots-info", dumpR36},
		{"R39, -t behind", small(), nil, virtual.DialectR39, "dump-slots-info -t bootloader", dumpR36},
		{"early R35", small(), nil, virtual.DialectR35Early, "dump-slots-info", strings.Replace(dumpR36, "Capsule update status: 0\n", "", 1)},
		{"rootfs", small(), func(o *virtual.Orin) {
			set32(t, o, "BootChainFwNext", 1)
			boot(t, o, virtual.BootOptions{})
			set32(t, o, "RootfsStatusSlotA", 0xff)
			setRetries(t, o, "0x0", "0x3")
		}, virtual.DialectR35, "-t rootfs dump-slots-info", "Current rootfs slot: B\nActive rootfs slot: B\nnum_slots: 2\n" +
			"slot: 0,             retry_count: 0,             status: unbootable\nslot: 1,             retry_count: 3,             status: normal\n"},
	} {
		o := create(t, tt.opts)
		if tt.prepare != nil {
			tt.prepare(o)
		}
		out, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{Dialect: tt.dialect}, strings.Fields(tt.args)...)
		if out != tt.want || errs != "" || exit != 0 {
			t.Errorf("%s: exit %d, %q, got\n%s", tt.name, exit, errs, out)
		}
	}
}

func TestCommandsAreThoseOfTheRelease(t *testing.T) {
	r32, orin := create(t, jetPack4(xavierNX)), create(t, small())
	const usage, ok, no = 64, 0, 1
	for _, tt := range []struct {
		args                           string
		old, r32, early, r35, r36, r39 int
		out                            string
	}{
		{"get-number-slots", ok, ok, ok, ok, ok, ok, "2\n"},
		{"get-current-slot", ok, ok, ok, ok, ok, ok, "0\n"},
		{"-t rootfs get-current-slot", usage, ok, ok, ok, ok, ok, "0\n"},
		{"get-current-slot -t rootfs", usage, usage, ok, ok, ok, ok, "0\n"},
		{"-t kernel get-current-slot", usage, usage, usage, usage, usage, usage, ""},
		{"is-slot-bootable 1", ok, ok, usage, usage, usage, usage, ""},
		{"is-slot-marked-successful 1", ok, ok, usage, usage, usage, usage, ""},
		{"get-suffix 1", ok, ok, usage, usage, usage, usage, "_b\n"},
		{"is-unified-enabled", usage, ok, usage, usage, usage, usage, ""},
		{"is-rootfs-ab-enabled", 1, 1, 1, 1, 1, 1, ""},
		{"set-active-boot-slot 0", ok, ok, ok, ok, ok, ok, ""},
		{"set-active-boot-slot 2", usage, usage, usage, usage, usage, usage, ""},
		{"set-active-boot-slot", usage, usage, usage, usage, usage, usage, ""},
		{"set-slot-as-unbootable 1", ok, ok, usage, usage, usage, usage, ""},
		{"is-slot-bootable 1", no, no, usage, usage, usage, usage, ""},
		{"is-slot-marked-successful 1", no, no, usage, usage, usage, usage, ""},
		{"mark-boot-successful", ok, ok, usage, usage, usage, usage, ""},
		{"set-SR-BR 1", usage, usage, ok, ok, ok, ok, ""},
		{"verify -x", usage, usage, usage, usage, usage, usage, ""},
		{"", usage, usage, usage, usage, usage, usage, ""},
	} {
		for i, want := range []int{tt.old, tt.r32, tt.early, tt.r35, tt.r36, tt.r39} {
			dialect := virtual.Dialects[i]
			o := r32
			if i > 1 {
				o = orin
			}
			out, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{Dialect: dialect}, strings.Fields(tt.args)...)
			if exit != want || exit == ok && out != tt.out || (exit == usage) != strings.HasPrefix(errs, "Usage: ") {
				t.Errorf("%s: nvbootctrl %s: exit %d, want %d, %q, %q", dialect, tt.args, exit, want, out, errs)
			}
		}
	}
	for dialect, want := range map[virtual.Dialect]string{virtual.DialectR35: "", virtual.DialectR36: "Info: variable BootChainFwStatus is not found.\n"} {
		if out, _, exit := nvbootctrl(orin, virtual.NVBootctrlOptions{Dialect: dialect}, "verify"); exit != 0 || out != want {
			t.Errorf("%s: verify: exit %d, %q", dialect, exit, out)
		}
	}
}

func TestUnifiedIsAnsweredByExitCodes(t *testing.T) {
	for redundancy, want := range map[virtual.Redundancy][2]int{
		virtual.RootfsAB: {0, 1}, virtual.RootfsOnly: {70, 1}, virtual.BootOnly: {69, 0}, virtual.NoVariables: {69, 0},
	} {
		opts := jetPack4(xavierNX)
		opts.Redundancy = redundancy
		o := create(t, opts)
		for i, command := range []string{"is-unified-enabled", "is-rootfs-ab-enabled"} {
			if _, _, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, command); exit != want[i] {
				t.Errorf("redundancy %s: %s: exit %d, want %d", redundancy, command, exit, want[i])
			}
		}
	}
}

func TestChangesOfSlotMetadata(t *testing.T) {
	o := create(t, jetPack4(xavierAGX))
	for _, step := range []struct{ args, want string }{
		{"set-active-boot-slot 1", "14/7+ 15/7-"},
		{"-t rootfs set-active-boot-slot 0", "15/7- 14/7-"}, // unified: one view
		{"mark-boot-successful", "15/7+ 14/7-"},
		{"set-slot-as-unbootable 1", "15/7+ 0/0-"},
		{"mark-boot-successful", "15/7+ 0/0-"},
	} {
		_, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, strings.Fields(step.args)...)
		if got := slots(t, o); exit != 0 || got != step.want {
			t.Errorf("%s: exit %d, %q, slots %s, want %s", step.args, exit, errs, got, step.want)
		}
	}
}

func TestSetActiveWritesVariables(t *testing.T) {
	o := create(t, small())
	set32(t, o, "BootChainFwStatus", 5)
	if out, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "set-active-boot-slot", "1"); exit != 0 || out+errs != "" {
		t.Fatalf("exit %d, %q %q", exit, out, errs)
	}
	if got := words(t, o, "BootChainFwStatus", "BootChainFwNext"); got != "- 1" {
		t.Errorf("variables %s", got)
	}
	if out, _, _ := nvbootctrl(o, virtual.NVBootctrlOptions{}, "dump-slots-info"); !strings.Contains(out, "Current bootloader slot: A\nActive bootloader slot: B\n") {
		t.Errorf("got\n%s", out)
	}
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" {
		t.Errorf("boots to %s", where(r))
	}
	if _, _, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "verify"); exit != 0 || words(t, o, "BootChainFwStatus") != "-" || retries(t, o) != "0x3 0x3" {
		t.Errorf("verify: exit %d, status %s, retries %s", exit, words(t, o, "BootChainFwStatus"), retries(t, o))
	}
}

// A device that was flashed without redundancy swallows the rootfs form (wendylabsinc/WendyOS-Builder #177).
func TestRootfsFormIsASilentNoOpWithoutRedundancy(t *testing.T) {
	opts := small()
	opts.Redundancy = virtual.NoVariables
	o := create(t, opts)
	if _, _, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "-t", "rootfs", "set-active-boot-slot", "1"); exit != 0 || words(t, o, "BootChainFwNext") != "-" {
		t.Errorf("exit %d, next %s", exit, words(t, o, "BootChainFwNext"))
	}
}

func TestFailuresHaveTheirTexts(t *testing.T) {
	const noVariables = "Error: read variable BootChainFwCurrent failed!\nError: invalid current bootloader slot: return(-22)\n"
	for _, tt := range []struct {
		failure   virtual.NVBootctrlFailure
		args      string
		out, errs string
		exit      int
		next      string // BootChainFwNext afterwards
	}{
		{virtual.NVMemoryMap, "dump-slots-info", dumpR36[:strings.Index(dumpR36, "slot: 0")], "Error: memory map failed\n", 1, "-"},
		{virtual.NVMemoryMap, "get-current-slot", "0\n", "", 0, "-"},
		{virtual.NVNoDevMem, "dump-slots-info", dumpR36, "Error: can not open /dev/mem\n", 1, "-"},
		{virtual.NVNoDevMem, "set-active-boot-slot 1", "", "Error: can not open /dev/mem\n", 1, "1"},
		{virtual.NVNoEfivarfs, "get-current-slot", "", noVariables, 1, "-"},
		{virtual.NVSilent, "set-active-boot-slot 1", "", "", 0, "-"},
		{virtual.NVSilentRootfs, "-t rootfs set-active-boot-slot 1", "", "", 0, "-"},
		{virtual.NVSilentRootfs, "set-active-boot-slot 1", "", "", 0, "1"},
		{virtual.NVCrash, "set-active-boot-slot 1", "", "", -1, "-"},
		{virtual.NVCrashAfter, "set-active-boot-slot 1", "", "", -1, "1"},
		{virtual.NVExit1, "dump-slots-info", dumpR36, "", 1, "-"},
	} {
		o := create(t, small())
		out, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{Failure: tt.failure}, strings.Fields(tt.args)...)
		if out != tt.out || errs != tt.errs || exit != tt.exit || words(t, o, "BootChainFwNext") != tt.next {
			t.Errorf("%s: nvbootctrl %s: exit %d, %q, %q, next %s", tt.failure, tt.args, exit, out, errs, words(t, o, "BootChainFwNext"))
		}
	}
	o := create(t, small())
	if err := os.RemoveAll(filepath.Join(o.Dir(), "sys/firmware/efi/efivars")); err != nil {
		t.Fatal(err)
	}
	if _, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "dump-slots-info"); errs != noVariables || exit != 1 {
		t.Errorf("without efivarfs: exit %d, %q", exit, errs)
	}
}

func TestHangEndsWithTheTimeout(t *testing.T) {
	o := create(t, small())
	m := virtual.WithPrograms(machineOf(o), o, virtual.ProgramOptions{Failure: virtual.NVHang, EngineFailure: virtual.EngineHangs})
	for _, path := range []string{virtual.NVBootctrlPath, virtual.UpdateEnginePath} {
		res, err := m.Run(context.Background(), device.Command{Path: path, Args: []string{"-h"}, Timeout: 10 * time.Millisecond})
		if !errors.Is(err, context.DeadlineExceeded) || res.ExitCode != -1 || !strings.Contains(err.Error(), "after 10ms") {
			t.Errorf("%s: %+v, %v", path, res, err)
		}
	}
}

// The programs make their changes through the machine: a cut leaves a device that boots, and the program without an answer.
func TestCutInsideSetActive(t *testing.T) {
	for _, opts := range []virtual.CreateOptions{small(), jetPack4(xavierNX), jetPack4(xavierAGX)} {
		for at := 1; ; at++ {
			o := create(t, opts)
			fault := &device.Fault{CutAt: at}
			m := virtual.WithPrograms(machineOf(o).WithFault(fault), o, virtual.ProgramOptions{})
			res, err := m.Run(context.Background(), device.Command{Path: virtual.NVBootctrlPath, Args: []string{"set-active-boot-slot", "1"}})
			if err != nil || (res.ExitCode == -1) != fault.WasCut() {
				t.Fatalf("%s, change %d: %+v, %v", opts.Module, at, res, err)
			}
			r := boot(t, o, virtual.BootOptions{Cold: true})
			if r.Outcome != virtual.OutcomeRunning {
				t.Errorf("%s, change %d: %s", opts.Module, at, where(r))
			}
			if !fault.WasCut() {
				if where(r) != "running BB" || at < 2 {
					t.Errorf("%s, %d changes: %s", opts.Module, at-1, where(r))
				}
				break
			}
		}
	}
}
