// Command uml is the first process of make test-vm's User Mode Linux, where Debian's rauc installs a verity bundle: this
// kernel has a device-mapper, which a machine that tests are run on may lack. It makes the kernel a device, plays one
// boot's part of the story and judges it on the spot, in order, up to the first failure:
//
//	vm: PASS NAME (seconds)
//	vm: FAIL NAME (seconds): CAUSE
//	vm: uml boot N complete: P passed, F failed
//
// Whoever reads the console may trust the last line alone: it is missing whenever the machine did not get that far.
//
// The device is a virtual Orin in a folder of the host's, mounted on /orin: UEFI variables, ESP, device tree. Its slots are
// block devices, the root file system is the slot that the virtual firmware chose, and paths in configuration and bundle are
// those of a real device. Under the name of one of tegra-ota's executables this program records the call and runs the executable.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// orin is where the virtual Orin is mounted, and what TEGRA_OTA_ROOT says.
const orin = "/orin"

// check is one step of the story and what has to be true of it.
type check struct {
	name string
	do   func() error
}

func main() {
	if name := filepath.Base(os.Args[0]); os.Getpid() != 1 {
		record(name)
	}
	// The empty line ends whatever the kernel left unfinished.
	fmt.Println()
	boot, err := whichBoot()
	if err != nil {
		// Whose first process this is, is not known: hands off. User Mode Linux panics, and ends.
		say("FAIL %v", err)
		os.Exit(1)
	}
	passed, failed := run(boot)
	say("uml boot %d complete: %d passed, %d failed", boot, passed, failed)
	_ = unix.Kill(-1, unix.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	_ = unix.Unmount(dataPoint, 0)
	unix.Sync()
	// Ends the kernel, and with it the host's process.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		say("FAIL power off: %v", err)
	}
}

func run(boot int) (passed, failed int) {
	checks := []check{{"the kernel becomes a device", prepare}}
	if boot > len(boots) {
		checks = []check{{"choose the checks", func() error { return fmt.Errorf("there are none for boot %d", boot) }}}
	} else {
		checks = append(checks, boots[boot-1]...)
	}
	for _, c := range checks {
		started := time.Now()
		err := c.do()
		took := time.Since(started).Seconds()
		if err != nil {
			say("FAIL %s (%.2fs): %v", c.name, took, err)
			showLogs()
			return passed, 1
		}
		say("PASS %s (%.2fs)", c.name, took)
		passed++
	}
	return passed, 0
}

// whichBoot comes before anything else is done: only in the virtual machine has the first process any business here.
func whichBoot() (int, error) {
	if err := (mount{kind: "proc", point: "/proc"}).mount(); err != nil {
		return 0, err
	}
	return guest.Boot()
}

// say prints one line that the host shows.
func say(format string, args ...any) { fmt.Printf("vm: "+format+"\n", args...) }
