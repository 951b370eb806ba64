// Command init is the first and only process of make test-vm's virtual machine. It makes the machine what the tests
// expect, runs those of this boot, and reports on the console:
//
//	vm: PASS NAME (seconds)
//	vm: FAIL NAME (seconds)
//	vm: boot N complete: P passed, F failed
//
// Whoever reads the console may trust the last line alone: it is missing whenever the machine did not get that far.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// program is a compiled test and those of its tests that are to run.
type program struct{ path, tests string }

// boots says what runs at which boot, from 1. TestReboot comes last on the first boot, because what it leaves is what
// it looks for on the next.
var boots = [][]program{
	{{"/tests/efivarfs.test", "TestConformance"}, {"/tests/vm.test", "TestSlots|TestCapsule|TestCommand"}, {"/tests/vm.test", "TestReboot"}},
	{{"/tests/vm.test", "TestReboot"}},
}

// tally counts results.
type tally struct{ passed, failed int }

func main() {
	say("")
	boot, t, err := run()
	if err != nil {
		say("FAIL %v", err)
		t.failed++
	}
	say("boot %d complete: %d passed, %d failed", boot, t.passed, t.failed)
	unix.Sync()
	_ = unix.Unmount(espPoint, 0)
	// QEMU runs with -no-reboot, so this ends it.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		say("FAIL reboot: %v", err)
	}
	// The first process must not return: the kernel would panic, which ends the machine as well.
}

// say prints one line that the host shows. The empty one ends whatever line the firmware or the kernel left unfinished.
func say(format string, args ...any) {
	if format == "" {
		fmt.Println()
		return
	}
	fmt.Printf("vm: "+format+"\n", args...)
}

func run() (boot int, t tally, err error) {
	if err := prepare(); err != nil {
		return 0, t, err
	}
	if boot, err = guest.Boot(); err != nil {
		return 0, t, err
	}
	if boot > len(boots) {
		return boot, t, fmt.Errorf("there are no tests for boot %d", boot)
	}
	for _, p := range boots[boot-1] {
		if err := p.run(&t); err != nil {
			return boot, t, err
		}
	}
	return boot, t, nil
}

// run runs the tests and adds their results. A program without any result, or with a bad end and no failed test, is an error.
func (p program) run(t *tally) error {
	before := *t
	cmd := exec.Command(p.path, "-test.v", "-test.run", "^("+p.tests+")$", "-test.timeout", "100s", "-efivarfs", efivarfs.Dir)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=/", "PATH=/bin", "TMPDIR=/tmp"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.path, err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the output of %s: %w", p.path, err)
	}
	err = cmd.Wait()
	switch {
	case err != nil && t.failed == before.failed:
		return fmt.Errorf("%s %s: %w", p.path, p.tests, err)
	case t.passed == before.passed && t.failed == before.failed:
		return fmt.Errorf("%s ran no test named %s", p.path, p.tests)
	}
	return nil
}

// line counts and shows a line of go test -v. A skipped test is a failed one: everything that a test may need is here.
func (t *tally) line(text string) {
	trimmed := strings.TrimSpace(text)
	result, name, ok := strings.Cut(trimmed, ": ")
	switch {
	case ok && result == "--- PASS":
		t.passed++
		say("PASS %s", name)
	case ok && (result == "--- FAIL" || result == "--- SKIP"):
		t.failed++
		say("FAIL %s", name)
	case trimmed == "", trimmed == "PASS", trimmed == "FAIL", strings.HasPrefix(trimmed, "=== "):
	default:
		say("     %s", text)
	}
}

// await waits for a device node: the kernel finds disks on its own time.
func await(path string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		_, err := os.Stat(path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
