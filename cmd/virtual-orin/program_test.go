package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/cli"
)

// TestMain lets the test's executable be virtual-orin, so that the scripts of a device can call it back.
func TestMain(m *testing.M) {
	if os.Getenv("VIRTUAL_ORIN_BE") != "" {
		main()
	}
	os.Exit(m.Run())
}

func jetPack4(t *testing.T, flags ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "xavier")
	must(t, append([]string{"create", dir, "--app-size", "64K", "--module", "p3668-0001", "--l4t", "32.7.5"}, flags...)...)
	return dir
}

// script runs a program of the device as a shell would; -1 stands for a signal.
func script(t *testing.T, dir, name string, args ...string) (exit int, stdout string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, "usr/sbin", name), args...)
	cmd.Env = append(os.Environ(), "VIRTUAL_ORIN_BE=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("%s: %v\n%s", name, err, errs.String())
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// A whole firmware update of JetPack 4 with the programs of the folder.
func TestUpdateOfJetPack4(t *testing.T) {
	dir := jetPack4(t)
	file := filepath.Join(dir, "opt/ota_package/bl_update_payload")
	write(t, file, nil)
	must(t, "bup", "-o", file, "--module", "p3668-0001", "--l4t", "32.7.6", "--kernel", "--size-per-image", "256")
	if exit, out := script(t, dir, "nv_update_engine", "-i", "no-reboot"); exit != 0 || strings.Contains(out, "failed") {
		t.Fatalf("nv_update_engine: exit %d\n%s", exit, out)
	}
	if exit, out := script(t, dir, "nvbootctrl", "dump-slots-info"); exit != 0 || !strings.HasPrefix(out, "Current bootloader slot: A\nActive bootloader slot: B\nmagic:") {
		t.Errorf("dump-slots-info: exit %d\n%s", exit, out)
	}
	out := must(t, "status", dir)
	for _, want := range []string{"chain B: 32.7.6, whole, active\n", "slot A: priority 14, retries 7, successful true\n", "slot B: priority 15, retries 7, successful false\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("status lacks %q:\n%s", want, out)
		}
	}
	if out := must(t, "status", dir, "--json"); !strings.Contains(out, `"slot_metadata": {`) || !strings.Contains(out, `"max_slots": 2`) {
		t.Errorf("status --json:\n%s", out)
	}
	out = must(t, "boot", dir)
	for _, want := range []string{"MB1 starts chain B, firmware 32.7.6\n", "cboot counts a boot of slot B: 6 retries left\n", "cboot starts the kernel of slot B\n",
		"outcome: running, chain B, root file system B, 0 resets, 4 firmware writes\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("boot lacks %q:\n%s", want, out)
		}
	}
	if exit, _ := script(t, dir, "nvbootctrl", "mark-boot-successful"); exit != 0 {
		t.Errorf("mark-boot-successful: exit %d", exit)
	}
}

// What stands behind the name is the program's, even where virtual-orin has a flag of that name.
func TestProgramGetsItsArguments(t *testing.T) {
	dir := jetPack4(t)
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"nvbootctrl -t rootfs get-current-slot", 0, "0\n"},
		{"nvbootctrl -t rootfs dump-slots-info", 0, "Current rootfs slot: A\n"},
		{"nvbootctrl is-slot-bootable 1", 0, ""},
		{"nvbootctrl verify", 64, ""},
		{"nvbootctrl --help", 64, ""},
		{"nv_update_engine -h", 0, "Nvidia A/B-Redundancy Update tool Version 1.2\nUsage: "},
		{"nv_update_engine --verify", 0, "Nvidia A/B-Redundancy Update tool Version 1.2\nverifying update\n"},
		{"nv_update_engine -i bl --payload /none --no-reboot", 1, "Nvidia A/B-Redundancy Update tool Version 1.2\ncurrent slot 0\n"},
		{"nv_update_engine -e", 0, "Nvidia A/B-Redundancy Update tool Version 1.2\n"},
	} {
		code, out, _ := call(t, append([]string{"program", dir}, strings.Fields(tt.args)...)...)
		if code != tt.code || !strings.HasPrefix(out, tt.want) || tt.want == "" && out != "" {
			t.Errorf("program DIR %s: exit %d, want %d, %q", tt.args, code, tt.code, out)
		}
	}
}

func TestProgramsAreSetAndShown(t *testing.T) {
	dir := jetPack4(t)
	for _, tt := range []struct{ flags, want string }{
		{"", "nvbootctrl: dialect r32, failure none\nnv_update_engine: as the release has it, failure none\n"},
		{"--nvbootctrl r32-old --engine-payload=false", "nvbootctrl: dialect r32-old, failure none\nnv_update_engine: without --payload, failure none\n"},
		{"--nvbootctrl-fail crash --engine-fail status-3", "nvbootctrl: dialect r32-old, failure crash\nnv_update_engine: without --payload, failure status-3\n"},
		{"--nvbootctrl-fail= --engine-payload", "nvbootctrl: dialect r32-old, failure none\nnv_update_engine: with --payload, failure status-3\n"},
	} {
		if got := must(t, append([]string{"programs", dir}, strings.Fields(tt.flags)...)...); got != tt.want {
			t.Errorf("programs %s: %q", tt.flags, got)
		}
	}
	if out := must(t, "programs", dir, "--json"); !strings.Contains(out, `"nvbootctrl": "r32-old"`) || !strings.Contains(out, `"engine_failure": "status-3"`) {
		t.Errorf("programs --json:\n%s", out)
	}
	must(t, "programs", dir, "--nvbootctrl-fail", "crash")
	if exit, _ := script(t, dir, "nvbootctrl", "get-current-slot"); exit != -1 {
		t.Errorf("nvbootctrl that crashes: exit %d", exit)
	}
}

func TestNVBootctrlComesWhereItIsAskedFor(t *testing.T) {
	orin := device(t)
	if _, err := os.Stat(filepath.Join(orin, "usr")); err == nil {
		t.Error("Orin has NVIDIA's programs unasked")
	}
	dir := filepath.Join(t.TempDir(), "orin")
	must(t, "create", dir, "--app-size", "64K", "--nvbootctrl", "r39")
	if exit, out := script(t, dir, "nvbootctrl", "dump-slots-info"); exit != 0 || !strings.HasPrefix(out, "Current version: 36.4.0\n") {
		t.Errorf("exit %d\n%s", exit, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/sbin/nv_update_engine")); err == nil {
		t.Error("Orin has nv_update_engine")
	}
	must(t, "programs", orin, "--nvbootctrl", "r36")
	if exit, _ := script(t, orin, "nvbootctrl", "verify"); exit != 0 {
		t.Errorf("nvbootctrl installed later: exit %d", exit)
	}
}

func TestExitCodesOfJetPack4(t *testing.T) {
	dir, empty := jetPack4(t), t.TempDir()
	file := filepath.Join(empty, "p")
	for _, c := range []struct {
		args string
		want int
	}{
		{"create " + empty + " --module p3310-1000", 64},
		{"create " + empty + " --l4t 32.7.5", 64},
		{"create " + empty + " --nvbootctrl r99", 64},
		{"create " + empty + " --redundancy rootfs", 64},
		{"program", 64},
		{"program " + dir, 64},
		{"program " + dir + " ls", 64},
		{"program " + empty + " nvbootctrl", 69},
		{"programs", 64},
		{"programs " + empty, 69},
		{"programs " + dir + " --nvbootctrl-fail tired", 64},
		{"programs " + dir + " --engine-fail status-9", 64},
		{"bup --module p3668-0001 --l4t 32.7.6", 64},
		{"bup -o " + file + " --l4t 32.7.6", 64},
		{"bup -o " + file + " --module p3668-0001", 64},
		{"bup -o " + file + " --module p3767-0005 --l4t 36.4.0", 64},
		{"bup -o " + file + " --module p3668-0001 --l4t 32.7.6 --damage all", 64},
		{"bup -o " + file + " --module p3668-0001 --l4t 32.7.6 --size-per-image x", 64},
		{"bup -o " + file + " --module p3668-0001 --l4t 32.7.6 extra", 64},
		{"bup -o " + filepath.Join(empty, "no", "p") + " --module p3668-0001 --l4t 32.7.6", 74},
		{"boot " + dir + " --cut-phase smd:SMD --fail kernel", 1},
	} {
		code, out, errs := call(t, strings.Fields(c.args)...)
		if code != c.want || code > 1 && !strings.Contains(errs, "virtual-orin: ") {
			t.Errorf("virtual-orin %s: exit %d, want %d\n%s%s", c.args, code, c.want, out, errs)
		}
	}
}

func TestHelpOfNewVerbs(t *testing.T) {
	for verb, flags := range map[string]string{
		"create": "--nvbootctrl --rotate", "bup": "--module --kernel --damage --omit --spec", "program": "",
		"programs": "--nvbootctrl --nvbootctrl-fail --engine-payload --engine-fail --json",
	} {
		out := must(t, verb, "--help")
		if !strings.Contains(out, "\nusage: virtual-orin "+verb+" ") || !strings.HasSuffix(out, cli.ExitCodes) {
			t.Errorf("%s --help:\n%s", verb, out)
		}
		for _, flag := range strings.Fields(flags) {
			if !strings.Contains(out, flag+" ") {
				t.Errorf("%s --help lacks %s:\n%s", verb, flag, out)
			}
		}
		for _, not := range []string{"  --root ", " string ", " stringArray "} {
			if strings.Contains(out, not) {
				t.Errorf("%s --help has %q:\n%s", verb, not, out)
			}
		}
	}
}
