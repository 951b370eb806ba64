package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy that runs with more privilege than its caller does not believe the caller's environment, and one that does not, does.
// It is not parallel: a child of another test that is just starting would hold the copy open for writing (ETXTBSY).
func TestSetUserIDIgnoresTheEnvironment(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs(bin, &st); err != nil {
		t.Fatal(err)
	}
	if st.Flags&unix.ST_NOSUID != 0 {
		t.Fatalf("missing: a file system that honours set-user-ID; %s is mounted nosuid, set TMPDIR", bin)
	}
	program, err := os.ReadFile(filepath.Join(bin, "tegra-ota"))
	if err != nil {
		t.Fatal(err)
	}
	// A configuration that is wrong tells by its error which root was believed, and nothing is looked at on this machine.
	root, err := os.MkdirTemp(bin, "root")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(root, "etc/tegra-ota/config.toml")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("from_the_environment = 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		mode     os.FileMode
		believes bool
	}{
		{"plain", 0o755, true},
		{"set-user-id", 0o755 | os.ModeSetuid, false},
	} {
		copied := filepath.Join(bin, "copy-"+tt.name)
		if err := os.WriteFile(copied, program, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(copied, tt.mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(filepath.Join(bin, "as-nobody"), copied, "tegra-bootctl", "get-number-slots")
		cmd.Env = environment("TEGRA_OTA_ROOT=" + root)
		out, err := cmd.CombinedOutput()
		if _, ended := err.(*exec.ExitError); err != nil && !ended {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "from_the_environment"); got != tt.believes {
			t.Errorf("%s: believed TEGRA_OTA_ROOT: %t, want %t:\n%s", tt.name, got, tt.believes, out)
		}
	}
}
