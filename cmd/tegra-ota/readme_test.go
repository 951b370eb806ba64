package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What the README tells a new user to type works as it stands there.
func TestREADMEExample(t *testing.T) {
	t.Parallel()
	out := shell(t, readmeBlock(t, "virtual-orin create")+"\ntegra-bootctl status --root orin --json\n")
	for _, want := range []string{`"current": "B"`, `"state": "committed"`, `"outcome": "applied"`} {
		if !strings.Contains(out, want) {
			t.Errorf("after the README's commands status lacks %s:\n%s", want, out)
		}
	}
}

// readmeBlock returns the block of code that holds words.
func readmeBlock(t *testing.T, words string) string {
	t.Helper()
	for i, part := range strings.Split(readme(t), "```") {
		if i%2 == 1 && strings.Contains(part, words) {
			return strings.TrimPrefix(part, "\n")
		}
	}
	t.Fatalf("the README has no block with %q", words)
	return ""
}

// shell runs a script where make build was run, and returns all it printed.
func shell(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "build")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir}
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// What the README shows of a failed update is what the executables say.
func TestREADMEFailure(t *testing.T) {
	t.Parallel()
	block := readmeBlock(t, "--cut-phase")
	var script, want strings.Builder
	for _, line := range strings.SplitAfter(block, "\n") {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			if want.Len() > 0 {
				t.Fatal("the README's last command is not the one whose output it shows")
			}
			command = strings.TrimSuffix(command, "\n")
			// A boot that does not come up exits 1; only the last command's output is shown.
			if strings.HasPrefix(command, "virtual-orin boot") {
				command += " >/dev/null 2>&1 || true"
			}
			script.WriteString(command + "\n")
			continue
		}
		want.WriteString(line)
	}
	staged := `PATH=$PWD/build:$PATH
virtual-orin create orin >/dev/null
virtual-orin capsule -o TEGRA_BL.Cap --l4t 36.4.3 >/dev/null
tegra-bup install --root orin TEGRA_BL.Cap 2>/dev/null
tegra-bootctl activate --root orin >/dev/null
`
	if got := shell(t, staged+script.String()); got != want.String() {
		t.Errorf("the README shows\n%s\nit is\n%s", want.String(), got)
	}
}

// The README, the help and the code have the same exit codes under the same names.
func TestREADMEExitCodes(t *testing.T) {
	text := readme(t)
	for _, code := range []fail.Code{
		fail.OK, fail.No, fail.Usage, fail.Data, fail.Unavailable, fail.Internal, fail.IO, fail.Busy, fail.Permission,
	} {
		if row := fmt.Sprintf("| %d | %s |", code, code); !strings.Contains(text, row) {
			t.Errorf("the README's table has no row %q", row)
		}
		if !strings.Contains(cli.ExitCodes, fmt.Sprintf("%4d  ", code)) {
			t.Errorf("the help's table lacks %d", code)
		}
	}
}
