package vm_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// executable is where the virtual machine has tegra-ota.
const executable = "/bin/tegra-ota"

// command returns a function that runs tegra-bootctl, as it is shipped, on the machine.
func (m machine) command(t *testing.T) func(args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	file := executable
	if !m.kernel {
		file = filepath.Join(t.TempDir(), "tegra-ota")
		if out, err := exec.Command("go", "build", "-o", file, "../cmd/tegra-ota").CombinedOutput(); err != nil {
			t.Fatalf("building: %v: %s", err, out)
		}
	}
	return func(args ...string) (string, string, int) {
		t.Helper()
		cmd := exec.Command(file, append([]string{"tegra-bootctl"}, args...)...)
		cmd.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+m.Root())
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	}
}

// TestCommand is the whole executable: what it detects, its lock, its journal on the ESP, and the variables.
func TestCommand(t *testing.T) {
	m := newMachine(t)
	m.asOrin(t)
	m.set(t, efivarfs.SystemFwVersions, u32(36<<16|4<<8)+u32(36<<16|4<<8))
	m.set(t, efivarfs.BootChainFwStatus, u32(2)) // left over from a switch; the next one needs it gone
	// The chip, where no device tree names one.
	must(t, os.MkdirAll(m.Path("/etc"), 0o755))
	must(t, os.WriteFile(m.Path("/etc/nv_boot_control.conf"), []byte("TEGRA_CHIPID 0x23\n"), 0o644))
	bootctl := m.command(t)
	for _, step := range []struct {
		args   string
		exit   int
		stdout string // "" is not compared
		want   map[efivarfs.Name]string
	}{
		{"check", 0, "", map[efivarfs.Name]string{efivarfs.BootChainFwStatus: u32(2), efivarfs.BootChainFwNext: ""}},
		{"get-current-slot", 0, "0\n", nil},
		{"activate other", 0, "slot B boots next\n", map[efivarfs.Name]string{
			efivarfs.BootChainFwStatus: "", efivarfs.BootChainFwNext: u32(1), efivarfs.RootfsStatusSlotB: u32(0)}},
		{"activate a", 0, "slot A boots next\n", map[efivarfs.Name]string{efivarfs.BootChainFwNext: ""}},
		{"is-slot-bootable 1", 0, "", nil},
		{"set-slot-as-unbootable 1", 0, "", map[efivarfs.Name]string{efivarfs.RootfsStatusSlotA: u32(0), efivarfs.RootfsStatusSlotB: u32(0xff)}},
		{"is-slot-bootable 1", 1, "", nil},
		{"activate b", 69, "", map[efivarfs.Name]string{efivarfs.BootChainFwNext: "", efivarfs.RootfsStatusSlotB: u32(0xff)}},
	} {
		stdout, stderr, exit := bootctl(strings.Fields(step.args)...)
		if exit != step.exit || step.stdout != "" && stdout != step.stdout {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", step.args, exit, stdout, stderr)
		}
		for n, data := range step.want {
			m.want(t, n, data)
			if data != "" {
				m.wantProtected(t, n)
			}
		}
	}

	stdout, stderr, exit := bootctl("status", "--json")
	var status struct {
		Backend string `json:"backend"`
		Current string `json:"current"`
		Board   struct {
			Chip string `json:"chip"`
			Spec string `json:"spec"`
		} `json:"board"`
		Slots map[string]struct {
			Bootable *bool   `json:"bootable"`
			Firmware *string `json:"firmware"`
		} `json:"slots"`
	}
	if err := json.Unmarshal([]byte(stdout), &status); exit != 0 || err != nil {
		t.Fatalf("status: exit %d, %v: %s%s", exit, err, stdout, stderr)
	}
	b := status.Slots["B"]
	if status.Backend != "efivar" || status.Current != "A" || status.Board.Chip != "T234" || !strings.HasPrefix(status.Board.Spec, "3767-300-0005") ||
		b.Bootable == nil || *b.Bootable || b.Firmware == nil || *b.Firmware != "36.4.0" {
		t.Errorf("status: %s", stdout)
	}
}
