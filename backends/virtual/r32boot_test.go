package virtual_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

// activateB asks for slot B as NVIDIA's program does.
func activateB(t testing.TB, o *virtual.Orin) {
	t.Helper()
	if out, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "set-active-boot-slot", "1"); exit != 0 || out+errs != "" {
		t.Fatalf("set-active-boot-slot: exit %d, %q, %q", exit, out, errs)
	}
}

func damage(t testing.TB, o *virtual.Orin, s virtual.Slot, name string) {
	t.Helper()
	path := o.PartitionPath(s, name)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[len(raw)/2:], strings.Repeat("\xff", len(raw)))
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestSlotOnTrialFallsBackAfterSevenTries(t *testing.T) {
	for _, how := range []virtual.Failure{virtual.FailKernel, virtual.FailUserspace} {
		o := create(t, jetPack4(xavierNX))
		activateB(t, o)
		for left := 6; left >= 0; left-- {
			r := boot(t, o, virtual.BootOptions{Fail: how, Cold: left%2 == 0}) // the count is in the flash, not in a register
			if want := fmt.Sprintf("14/7+ 15/%d-", left); r.Rootfs != virtual.B || slots(t, o) != want {
				t.Fatalf("%s: %s, slots %s, want %s", how, where(r), slots(t, o), want)
			}
		}
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" || slots(t, o) != "14/7+ 15/0-" {
			t.Errorf("%s: %s, slots %s", how, where(r), slots(t, o))
		}
		if line := read(t, o, "proc/cmdline"); !strings.Contains(line, " boot.slot_suffix= ") {
			t.Errorf("%s: command line %q", how, line)
		}
	}
}

func TestSlotThatIsMarkedStays(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	activateB(t, o)
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" || slots(t, o) != "14/7+ 15/6-" {
		t.Fatalf("%s, slots %s", where(r), slots(t, o))
	}
	if line := read(t, o, "proc/cmdline"); !strings.Contains(line, " boot.slot_suffix=_b ") {
		t.Errorf("command line %q", line)
	}
	if _, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "mark-boot-successful"); exit != 0 {
		t.Fatalf("mark-boot-successful: %d, %s", exit, errs)
	}
	for i := 0; i < 10; i++ {
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" || slots(t, o) != "14/7+ 15/7+" || r.FirmwareWrites != 0 {
			t.Fatalf("boot %d: %s, slots %s, %d writes", i, where(r), slots(t, o), r.FirmwareWrites)
		}
	}
}

func TestBrokenChainIsTriedAndLeft(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*virtual.Orin)
		opts  virtual.BootOptions
	}{
		{"a torn image", func(o *virtual.Orin) { damage(t, o, virtual.B, "mts-proper") }, virtual.BootOptions{}},
		{"mb1 torn", func(o *virtual.Orin) { damage(t, o, virtual.B, "mb1") }, virtual.BootOptions{Cold: true}},
		{"firmware that hangs", func(*virtual.Orin) {}, virtual.BootOptions{Fail: virtual.FailFirmware}},
	} {
		o := create(t, jetPack4(xavierNX))
		activateB(t, o)
		tt.spoil(o)
		r := boot(t, o, tt.opts)
		if where(r) != "running AA" || r.Resets != 7 || slots(t, o) != "14/7+ 15/0-" {
			t.Errorf("%s: %s, %d resets, slots %s\n%s", tt.name, where(r), r.Resets, slots(t, o), strings.Join(r.Timeline, "\n"))
		}
	}
}

// A splash screen and the version file start nothing.
func TestChainStartsWithoutSplashScreen(t *testing.T) {
	o := create(t, jetPack4(tx2))
	damage(t, o, virtual.A, "BMP")
	damage(t, o, virtual.A, "VER")
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" || r.Resets != 0 {
		t.Errorf("%s, %d resets", where(r), r.Resets)
	}
}

func TestBothChainsBrokenIsNoFirmware(t *testing.T) {
	o := create(t, jetPack4(xavierAGX))
	damage(t, o, virtual.A, "mb2")
	damage(t, o, virtual.B, "mb2")
	for i := 0; i < 3; i++ {
		if r := boot(t, o, virtual.BootOptions{Cold: true}); r.Outcome != virtual.OutcomeNoFirmware || r.Resets != 14 {
			t.Errorf("boot %d: %s after %d resets", i, r.Outcome, r.Resets)
		}
	}
	opts := jetPack4(xavierAGX)
	opts.Redundancy = virtual.NoVariables
	o = create(t, opts)
	damage(t, o, virtual.A, "mb2")
	if r := boot(t, o, virtual.BootOptions{}); r.Outcome != virtual.OutcomeNoFirmware || r.Resets != 0 {
		t.Errorf("without redundancy: %s after %d resets", r.Outcome, r.Resets)
	}
}

func TestTornCopyOfTheMetadataDoesNotMatter(t *testing.T) {
	for _, label := range []string{"SMD", "SMD_b"} {
		o := create(t, jetPack4(xavierNX))
		activateB(t, o)
		put(t, o, "dev/disk/by-partlabel/"+label, strings.Repeat("\xff", 64<<10))
		if r := boot(t, o, virtual.BootOptions{Cold: true}); where(r) != "running BB" {
			t.Errorf("%s torn: %s", label, where(r))
		}
		if m, err := o.Metadata(); err != nil || len(m.Torn) != 0 || slots(t, o) != "14/7+ 15/6-" {
			t.Errorf("%s: %v, %v, slots %s", label, m.Torn, err, slots(t, o)) // counting the boot wrote both
		}
	}
	o := create(t, jetPack4(xavierNX))
	activateB(t, o)
	for _, label := range []string{"SMD", "SMD_b"} {
		put(t, o, "dev/disk/by-partlabel/"+label, strings.Repeat("\xff", 64<<10))
	}
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" || r.FirmwareWrites != 0 {
		t.Errorf("both torn: %s, %d writes", where(r), r.FirmwareWrites)
	}
}

// Wherever the power is cut while cboot counts, a whole copy is left and the device boots.
func TestCutAtEachWriteOfTheMetadata(t *testing.T) {
	for module, writes := range map[string]int{xavierNX: 4, xavierAGX: 2} {
		for at := 1; at <= writes+1; at++ {
			o := create(t, jetPack4(module))
			activateB(t, o)
			r := boot(t, o, virtual.BootOptions{CutAt: at})
			if cut := r.Outcome == virtual.OutcomePowerCut; cut != (at <= writes) {
				t.Fatalf("%s, write %d: %s", module, at, r.Outcome)
			}
			if _, _, err := smd.Read(machineOf(o)); err != nil {
				t.Errorf("%s, write %d: %v", module, at, err)
			}
			if r := boot(t, o, virtual.BootOptions{Cold: true}); where(r) != "running BB" {
				t.Errorf("%s, write %d: %s", module, at, where(r))
			}
		}
	}
}

// cboot gives each slot two kernels, then the other, while nobody speaks up; without redundancy of the kernel it does not count.
func TestKernelsStartedInVainChangeTheSlot(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	var seen []string
	for i := 0; i < 5; i++ {
		r := boot(t, o, virtual.BootOptions{Fail: virtual.FailKernel})
		if r.Outcome == virtual.OutcomeRecovery {
			seen = append(seen, "recovery")
			continue
		}
		seen = append(seen, r.Rootfs.String())
	}
	if got := strings.Join(seen, " "); got != "A A B B recovery" {
		t.Errorf("slots that were started: %s", got)
	}
	if r := boot(t, o, virtual.BootOptions{Cold: true}); r.Outcome != virtual.OutcomeRunning {
		t.Errorf("after a power cycle: %s", where(r))
	}
	opts := jetPack4(xavierNX)
	opts.Rotate = true
	o = create(t, opts)
	boot(t, o, virtual.BootOptions{})
	boot(t, o, virtual.BootOptions{})
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" {
		t.Errorf("without nv_update_verifier.service: %s", where(r))
	}
	o = create(t, opts)
	for i := 0; i < 6; i++ {
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" {
			t.Fatalf("with a client that marks: %s", where(r))
		}
		nvbootctrl(o, virtual.NVBootctrlOptions{}, "mark-boot-successful")
	}
}

func TestRootFileSystemsSwitchOnTheirOwn(t *testing.T) {
	opts := jetPack4(xavierNX)
	opts.Redundancy = virtual.RootfsOnly
	o := create(t, opts)
	if _, errs, exit := nvbootctrl(o, virtual.NVBootctrlOptions{}, "-t", "rootfs", "set-active-boot-slot", "1"); exit != 0 {
		t.Fatal(errs)
	}
	for i := 0; i < 3; i++ {
		if r := boot(t, o, virtual.BootOptions{Fail: virtual.FailUserspace}); r.Chain != virtual.A || r.Rootfs != virtual.B {
			t.Fatalf("try %d: %s", i, where(r))
		}
	}
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" {
		t.Errorf("after three tries: %s", where(r))
	}
	out, _, _ := nvbootctrl(o, virtual.NVBootctrlOptions{}, "-t", "rootfs", "dump-slots-info")
	want := "Current rootfs slot: A\nActive rootfs slot: A\nnum_slots: 2\n" +
		"slot: 0,             retry_count: 3,             status: normal\nslot: 1,             retry_count: 0,             status: unbootable\n"
	if out != want {
		t.Errorf("got\n%s", out)
	}
}

func TestCloneKeepsProgramsExecutable(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	if err := o.InstallPrograms("/bin/echo"); err != nil {
		t.Fatal(err)
	}
	c := clone(t, o)
	info, err := os.Stat(filepath.Join(c.Dir(), virtual.NVBootctrlPath))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
}
