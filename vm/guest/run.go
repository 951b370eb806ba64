package guest

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Program is a compiled test, those of its tests that are to run, and what else it is told.
type Program struct {
	Path, Tests string
	Arguments   []string
}

// tally counts results.
type tally struct{ passed, failed int }

// Run is the whole life of a virtual machine's first process: it makes the machine what the tests expect, runs those of this boot, and
// reports on the console:
//
//	vm: PASS NAME (seconds)
//	vm: FAIL NAME (seconds)
//	vm: boot N complete: P passed, F failed
//
// Whoever reads the console may trust the last line alone: it is missing whenever the machine did not get that far. boots says what runs at
// which boot, from 1; the last one stands for all that follow if repeat says so. end comes before the reset.
func Run(prepare func() error, boots [][]Program, repeat bool, end func()) {
	fmt.Println() // ends a line that the firmware or the kernel left unfinished
	boot, t, err := run(prepare, boots, repeat)
	if err != nil {
		say("FAIL %v", err)
		t.failed++
	}
	say("boot %d complete: %d passed, %d failed", boot, t.passed, t.failed)
	end()
	// QEMU runs with -no-reboot, so this ends it. Not every board can power itself off.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART); err != nil {
		say("FAIL reboot: %v", err)
	}
	// The first process must not return: the kernel would panic, which ends the machine as well.
}

// say prints one line that the host shows.
func say(format string, args ...any) { fmt.Printf("vm: "+format+"\n", args...) }

func run(prepare func() error, boots [][]Program, repeat bool) (boot int, t tally, err error) {
	if err := prepare(); err != nil {
		return 0, t, err
	}
	if boot, err = Boot(); err != nil {
		return 0, t, err
	}
	n := boot
	if repeat {
		n = min(n, len(boots))
	}
	if n > len(boots) {
		return boot, t, fmt.Errorf("there are no tests for boot %d", boot)
	}
	for _, p := range boots[n-1] {
		if err := p.run(&t); err != nil {
			return boot, t, err
		}
	}
	return boot, t, nil
}

// run runs the tests and adds their results. A program without any result, or with a bad end and no failed test, is an error.
func (p Program) run(t *tally) error {
	before := *t
	cmd := exec.Command(p.Path, append([]string{"-test.v", "-test.run", "^(" + p.Tests + ")$", "-test.timeout", "100s"}, p.Arguments...)...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=/", "PATH=/bin", "TMPDIR=/tmp"}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start %s: %w", p.Path, err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		t.line(lines.Text())
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("cannot read the output of %s: %w", p.Path, err)
	}
	err = cmd.Wait()
	switch {
	case err != nil && t.failed == before.failed:
		return fmt.Errorf("%s %s: %w", p.Path, p.Tests, err)
	case t.passed == before.passed && t.failed == before.failed:
		return fmt.Errorf("%s ran no test named %s", p.Path, p.Tests)
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
