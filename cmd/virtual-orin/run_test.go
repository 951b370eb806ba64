package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/cli"
)

// call runs the program in process.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = cli.Run(context.Background(), cli.Env{Args: args, Getenv: os.Getenv, Stdout: &out, Stderr: &errs}, program())
	return code, out.String(), errs.String()
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := call(t, args...)
	if code != 0 {
		t.Fatalf("virtual-orin %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func device(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "orin")
	must(t, "create", dir, "--app-size", "64K")
	return dir
}

func variable(dir, name, vendor string) string {
	return filepath.Join(dir, "sys/firmware/efi/efivars", name+"-"+vendor)
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A whole firmware update with the words of the manual: build, stage, arm, boot, look.
func TestUpdate(t *testing.T) {
	dir := device(t)
	file := filepath.Join(t.TempDir(), "tegra-bl.cap")
	must(t, "capsule", "-o", file, "--l4t", "36.4.3")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"), raw)
	write(t, variable(dir, "OsIndications", "8be4df61-93ca-11d2-aa0d-00e098032b8c"), []byte{7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0})

	code, out, errs := call(t, "boot", dir, "--cut-phase", "capsule-mb1", "--json")
	if code != 1 || errs != "" {
		t.Fatalf("boot --cut-phase: exit %d\n%s%s", code, out, errs)
	}
	var cut map[string]any
	if err := json.Unmarshal([]byte(out), &cut); err != nil {
		t.Fatal(err)
	}
	if cut["outcome"] != "power-cut" || cut["rootfs"] != nil || cut["chain"] != "A" {
		t.Errorf("boot --cut-phase --json = %s", out)
	}
	if text := must(t, "status", dir); !strings.Contains(text, "chain B: 36.4.3, does not start\n  B_mb1: it is erased\n") {
		t.Errorf("status after the cut:\n%s", text)
	}

	out = must(t, "boot", dir, "--cold", "--json")
	var report struct {
		Outcome, Chain, Rootfs string
		BootID                 string `json:"boot_id"`
		Resets                 int
		Writes                 int `json:"firmware_writes"`
		Phases, Timeline       []string
		ESRT                   struct {
			Version string
			Status  int
		}
		Capsule struct {
			Processed bool
			Status    int
		}
		Exit *int `json:"userspace_exit"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Outcome != "running" || report.Chain != "B" || report.Rootfs != "B" || report.Resets != 1 || report.Writes != len(report.Phases) ||
		report.Writes == 0 || report.ESRT.Version != "36.4.3" || report.ESRT.Status != 0 || !report.Capsule.Processed || report.Exit != nil || len(report.Timeline) == 0 {
		t.Errorf("boot --json = %s", out)
	}
	if id, err := os.ReadFile(filepath.Join(dir, "proc/sys/kernel/random/boot_id")); err != nil || strings.TrimSpace(string(id)) != report.BootID {
		t.Errorf("boot_id %q, %v, the report says %q", id, err, report.BootID)
	}
	var status struct {
		Active string
		Chains map[string]struct {
			Whole   bool
			Version string
		}
		Scratch struct{ Magic uint32 }
	}
	if err := json.Unmarshal([]byte(must(t, "status", dir, "--json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Active != "B" || !status.Chains["B"].Whole || status.Chains["B"].Version != "36.4.3" || status.Chains["A"].Version != "36.4.0" || status.Scratch.Magic != 0xface {
		t.Errorf("status --json = %+v", status)
	}
}

// The keys of boot --json are a contract.
func TestBootKeys(t *testing.T) {
	var report map[string]any
	if err := json.Unmarshal([]byte(must(t, "boot", device(t), "--json")), &report); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, k := range strings.Fields("outcome chain rootfs boot_id resets firmware_writes phases esrt capsule userspace_exit timeline") {
		want[k] = true
	}
	got := map[string]bool{}
	for k := range report {
		got[k] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestUserspace(t *testing.T) {
	dir := device(t)
	command := `echo "to the log: $VIRTUAL_ORIN_STAGE $TEGRA_OTA_ROOT"; exit 3`
	code, out, errs := call(t, "boot", dir, "--userspace", command, "--json")
	if code != 0 || errs != "to the log: up "+dir+"\n" || !strings.Contains(out, `"userspace_exit": 3`) {
		t.Errorf("boot --userspace: exit %d, %q, %s", code, errs, out)
	}
	code, out, errs = call(t, "boot", dir, "--userspace", command, "--fail", "userspace")
	if code != 1 || errs != "to the log: early "+dir+"\n" || !strings.Contains(out, "outcome: userspace-hung, chain A, root file system A, 0 resets, 0 firmware writes\n") {
		t.Errorf("boot --fail userspace: exit %d, %q, %s", code, errs, out)
	}
	code, out, errs = call(t, "boot", dir, "--userspace", command, "--fail", "kernel")
	if code != 1 || errs != "" || !strings.Contains(out, "outcome: kernel-failed") {
		t.Errorf("boot --fail kernel: exit %d, %q, %s", code, errs, out)
	}
}

func TestCutThatDoesNotFall(t *testing.T) {
	code, _, errs := call(t, "boot", device(t), "--cut", "5")
	if code != 0 || !strings.Contains(errs, "the power was not cut: the firmware made 0 writes") {
		t.Errorf("boot --cut 5: exit %d, %q", code, errs)
	}
}

func TestExitCodes(t *testing.T) {
	dir := device(t)
	empty := t.TempDir()
	file := filepath.Join(t.TempDir(), "c.cap")
	for _, c := range []struct {
		args string
		want int
	}{
		{"", 64},
		{"reboot", 64},
		{"create", 64},
		{"create a b", 64},
		{"create " + empty + " --module p3448-0000", 64},
		{"create " + empty + " --app-size 64X", 64},
		{"create " + empty + " --app-size 0", 64},
		{"create " + empty + " --size-per-image x", 64},
		{"create " + empty + " --redundancy 2", 64},
		{"create " + empty + " --l4t x", 64},
		{"create " + dir, 69},
		{"boot " + dir + " --cold --warm", 64},
		{"boot " + dir + " --cut 0", 64},
		{"boot " + dir + " --cut x", 64},
		{"boot " + dir + " --fail disk", 64},
		{"boot " + dir + " --after-cut maybe", 64},
		{"boot " + dir + " --no-such-flag", 64},
		{"boot " + empty, 69},
		{"boot", 64},
		{"status " + empty, 69},
		{"status", 64},
		{"capsule --l4t 36.4.3", 64},
		{"capsule -o " + file, 64},
		{"capsule -o " + file + " --l4t x", 64},
		{"capsule -o " + file + " --l4t 36.4.3 --module x", 64},
		{"capsule -o " + file + " --l4t 36.4.3 --size-per-image x", 64},
		{"capsule -o " + file + " --l4t 36.4.3 extra", 64},
		{"capsule -o " + filepath.Join(empty, "no", "c.cap") + " --l4t 36.4.3", 74},
		{"capsule -o " + file + " --l4t 36.4.3 --module p3701-0000 --omit mb2 --lowest 36.0.0", 0},
	} {
		code, out, errs := call(t, strings.Fields(c.args)...)
		if code != c.want || (code != 0) != strings.Contains(errs, "virtual-orin: ") {
			t.Errorf("virtual-orin %s: exit %d, want %d\n%s%s", c.args, code, c.want, out, errs)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"create", "--help"}, {"boot", "-h"}, {"status", "--help"}, {"capsule", "--help"}} {
		out := must(t, args...)
		if !strings.Contains(out, "\nusage:") || !strings.Contains(out, "--version") || !strings.HasSuffix(out, cli.ExitCodes) {
			t.Errorf("virtual-orin %s:\n%s", strings.Join(args, " "), out)
		}
		// A device's flags mean nothing here, and a flag's value is called by a noun.
		for _, not := range []string{"  --root ", "  --config ", "  --log-level ", " string ", " int ", " stringArray "} {
			if strings.Contains(out, not) {
				t.Errorf("virtual-orin %s has %q:\n%s", strings.Join(args, " "), not, out)
			}
		}
	}
	for _, args := range [][]string{{"--version"}, {"boot", "--version"}} {
		if out := must(t, args...); out != "virtual-orin "+cli.Version+"\n" {
			t.Errorf("virtual-orin %s = %q", strings.Join(args, " "), out)
		}
	}
	boot := must(t, "boot", "--help")
	for _, flag := range []string{"--cold", "--warm", "--fail", "--userspace", "--cut", "--cut-phase", "--after-cut", "--json"} {
		if !strings.Contains(boot, flag+" ") {
			t.Errorf("boot --help lacks %s", flag)
		}
	}
}
