package main_test

import (
	"fmt"
	"os"
	"os/exec"
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
	var block string
	for _, part := range strings.Split(readme(t), "```") {
		if strings.Contains(part, "virtual-orin create") {
			block = part
		}
	}
	if block == "" {
		t.Fatal("the README has no block with virtual-orin create")
	}
	shell := exec.Command("sh", "-eu")
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	shell.Stdin = strings.NewReader(block + "\ntegra-bootctl status --root orin --json\n")
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`"current": "B"`, `"state": "committed"`, `"outcome": "applied"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("after the README's commands status lacks %s:\n%s", want, out)
		}
	}
}

// The README, the help and the code have the same exit codes under the same names.
func TestREADMEExitCodes(t *testing.T) {
	text := readme(t)
	for _, code := range []fail.Code{fail.OK, fail.No, fail.Usage, fail.Data, fail.Unavailable, fail.Internal, fail.IO, fail.Busy, fail.Permission} {
		if row := fmt.Sprintf("| %d | %s |", code, code); !strings.Contains(text, row) {
			t.Errorf("the README's table has no row %q", row)
		}
		if !strings.Contains(cli.ExitCodes, fmt.Sprintf("%4d  ", code)) {
			t.Errorf("the help's table lacks %d", code)
		}
	}
}
