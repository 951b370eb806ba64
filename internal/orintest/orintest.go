// Package orintest is what the tests of whole updates share, whichever updater installs them: they run the executables as
// programs, on a virtual Orin in a folder.
package orintest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Missing names what a machine lacks for such tests: programs, root, loop devices. Nothing is skipped for want of one.
func Missing(programs ...string) []string {
	var missing []string
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	if os.Geteuid() != 0 {
		return append(missing, "root")
	}
	if out, err := exec.Command("losetup", "-f").CombinedOutput(); err != nil {
		missing = append(missing, "loop devices ("+strings.TrimSpace(string(out))+")")
	}
	return missing
}

// Refuse is the error of a machine that lacks something, nil where nothing is missing.
func Refuse(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("missing: %s; make setup installs packages, loop devices and root come from the machine", strings.Join(missing, ", "))
}

// Run runs a program to its end, whatever its exit code.
func Run(t *testing.T, c *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, log strings.Builder
	c.Stdout, c.Stderr = &out, &log
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", c.Path, err)
	}
	return c.ProcessState.ExitCode(), out.String(), log.String()
}

// Status is the part of `tegra-bootctl status --json` that the cases look at.
type Status struct {
	Current string  `json:"current"`
	Next    *string `json:"next"`
	Slots   map[string]struct {
		Bootable      *bool   `json:"bootable"`
		Retries       *int    `json:"retries"`
		Firmware      *string `json:"firmware"`
		FirmwareDirty bool    `json:"firmware_dirty"`
		Rootfs        string  `json:"rootfs"`
	} `json:"slots"`
	Update struct {
		State  string `json:"state"`
		Target string `json:"target"`
		Boots  int    `json:"boots"`
	} `json:"update"`
	Verdict struct {
		Outcome  string `json:"outcome"`
		Reason   string `json:"reason"`
		NextStep string `json:"next_step"`
	} `json:"verdict"`
}

// ReadStatus runs `tegra-bootctl status --json`.
func ReadStatus(t *testing.T, c *exec.Cmd) Status {
	t.Helper()
	code, out, log := Run(t, c)
	if code != 0 {
		t.Fatalf("tegra-bootctl status exits %d: %s", code, log)
	}
	var s Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("tegra-bootctl status --json: %v\n%s", err, out)
	}
	return s
}

// Boot runs `virtual-orin boot --json`, one attempt, and says whether Linux came up. A userspace that fails fails the test.
func Boot(t *testing.T, c *exec.Cmd) (up bool, timeline string) {
	t.Helper()
	code, out, log := Run(t, c)
	if code != 0 && code != 1 {
		t.Fatalf("%v: exit %d\n%s%s", c.Args, code, out, log)
	}
	var report struct {
		Timeline      []string `json:"timeline"`
		Outcome       string   `json:"outcome"`
		UserspaceExit *int     `json:"userspace_exit"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	timeline = strings.Join(report.Timeline, "\n") + "\noutcome: " + report.Outcome + "\n" + log
	if report.UserspaceExit != nil && *report.UserspaceExit != 0 {
		t.Fatalf("userspace exits %d:\n%s", *report.UserspaceExit, timeline)
	}
	return code == 0, timeline
}

// Other is the slot that A or B is not.
func Other(slot string) string { return map[string]string{"A": "B", "B": "A"}[slot] }
