// Command systemd is what make test-vm runs under a real systemd, in User Mode Linux: it lets D-Bus activate tegra-slotd, in the
// sandbox of the unit that is shipped, and judges whether the service can do its work there, and nothing else. It is a unit
// itself, and ends the machine. As vm/uml's, its last line alone may be trusted:
//
//	vm: PASS NAME (seconds)
//	vm: FAIL NAME (seconds): CAUSE
//	vm: systemd complete: P passed, F failed
//
// The device is a virtual Orin in a folder, because this kernel has no UEFI. What the sandbox does to the paths of a real device
// is asked from inside the service's mount namespace and control group.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// check is one thing that has to be true, in order: each builds on those before.
type check struct {
	name string
	do   func() error
}

func main() {
	if _, err := guest.Boot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println()
	passed, failed := run()
	say("systemd complete: %d passed, %d failed", passed, failed)
	unix.Sync()
}

func run() (passed, failed int) {
	for _, c := range checks {
		started := time.Now()
		err := c.do()
		took := time.Since(started).Seconds()
		if err != nil {
			say("FAIL %s (%.2fs): %v", c.name, took, err)
			log, _ := output("journalctl", "--no-pager", "-b", "-p", "info", "-u", unit, "-u", "dbus.service", "-n", "40")
			fmt.Println(log)
			return passed, 1
		}
		say("PASS %s (%.2fs)", c.name, took)
		passed++
	}
	return passed, 0
}

func say(format string, args ...any) { fmt.Printf("vm: "+format+"\n", args...) }

// output runs a program to its end; an error has what it said.
func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, text)
	}
	return text, nil
}

// property is one of the unit's, as systemd has it.
func property(name string) (string, error) {
	return output("systemctl", "show", "--value", "-p", name, unit)
}

// within waits for something that happens by itself.
func within(limit time.Duration, what string, come func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if come() {
			return nil
		}
	}
	return fmt.Errorf("after %s still not: %s", limit, what)
}
