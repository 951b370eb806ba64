// Command init is the first and only process of make test-vm's virtual machine with UEFI firmware. It reports as guest.Run does.
package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// tests of a compiled program, on the kernel's efivarfs.
func tests(path, names string) guest.Program {
	return guest.Program{Path: path, Tests: names, Arguments: []string{"-efivarfs", efivarfs.Dir}}
}

// boots says what runs at which boot, from 1. TestReboot comes last on the first boot, because what it leaves is what
// it looks for on the next.
var boots = [][]guest.Program{
	{tests("/tests/efivarfs.test", "TestConformance"), tests("/tests/vm.test", "TestSlots|TestCapsule|TestCommand"), tests("/tests/vm.test", "TestReboot")},
	{tests("/tests/vm.test", "TestReboot")},
}

func main() {
	guest.Run(prepare, boots, false, func() {
		unix.Sync()
		_ = unix.Unmount(espPoint, 0)
	})
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
