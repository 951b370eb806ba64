// Package main_test runs the executables as they are shipped: built once, under all their names, on virtual Orins.
package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the executables print into the scripts")

// bin is the folder that holds the executables and is first in PATH.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cmd/tegra-ota cannot be tested here:", err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(run func() int) (int, error) {
	if os.Geteuid() != 0 {
		return 1, fmt.Errorf("missing: root, to act as another user")
	}
	dir, err := os.MkdirTemp("", "tegra-ota-cmd")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// Another user must be able to run them.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	bin = dir
	build := exec.Command("go", "build", "-trimpath", "-o", bin+"/", ".", "../virtual-orin")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("cannot build the executables: %w\n%s", err, out)
	}
	for _, name := range []string{
		"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify", "nvbootctrl",
		"tegra-boot-handler", "tegra-slotd", "tegra-rauc-pre-install", "tegra-rauc-post-install", "tegra-rauc-system-info",
	} {
		if err := os.Symlink("tegra-ota", filepath.Join(bin, name)); err != nil {
			return 1, err
		}
	}
	// setpriv keeps the environment and its own place in PATH, unlike su and sudo.
	script := "#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups -- \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "as-nobody"), []byte(script), 0o755); err != nil {
		return 1, err
	}
	return run(), nil
}

// environment is the least that the executables need; nothing of the caller's reaches them.
func environment(extra ...string) []string {
	return append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir()}, extra...)
}

func TestScripts(t *testing.T) {
	// testscript leaves its own empty folder behind; here it goes with the executables.
	t.Setenv("GOTMPDIR", bin)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			// Another user's eyes: "exec $AS program".
			env.Setenv("AS", "as-nobody")
			return nil
		},
		Cmds: commands,
	})
}

// mustSucceed runs a program and returns what it printed.
func mustSucceed(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Env = environment(env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr.String())
	}
	return string(out)
}
