// Command nor is the first and only process of the virtual machine with a NOR flash chip: QEMU's ast2600-evb with the kernel's
// spi-nor driver, which a Jetson's flash has, too. It loads the driver, runs the tests of this boot on the chip, and reports
// as guest.Run does.
package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

// conformance are the tests of internal/mtd on the device of that name.
func conformance(tests, name string, more ...string) guest.Program {
	return guest.Program{Path: "/tests/mtd.test", Tests: tests, Arguments: append([]string{"-mtd", name}, more...)}
}

// boots says what runs at which boot, from 1: the whole chip as one device, partitions from the device tree (board.sh), and
// another chip, which can be locked. The last one also says it for all that follow: the update that run.sh cuts.
var boots = [][]guest.Program{
	{conformance("TestConformance|TestReadOnly|TestListed", "bmc")},
	{
		conformance("TestConformance|TestReadOnly|TestListed", "A_mb1"), conformance("TestListed", `name with "blanks"`),
		conformance("TestReadOnlyPartition", "read only"),
	},
	{conformance("TestConformance|TestLockedChip", "bmc", "-mtd-locks")},
	{{Path: "/tests/nor.test", Tests: "TestUpdate", Arguments: []string{"-kernel", "-step", "update"}}},
}

// lastDevice is the name of a second chip that QEMU's board has, which the driver finds last.
const lastDevice = "pnor"

func main() { guest.Run(prepare, boots, true, func() {}) }

// prepare mounts what the tests expect, loads the driver and waits for its devices.
func prepare() error {
	for point, kind := range map[string]string{"/proc": "proc", "/sys": "sysfs", "/dev": "devtmpfs", "/tmp": "tmpfs", "/data": "tmpfs"} {
		if err := os.MkdirAll(point, 0o755); err != nil {
			return fmt.Errorf("cannot mount %s: %w", kind, err)
		}
		if err := unix.Mount(kind, point, kind, 0, ""); err != nil {
			return fmt.Errorf("cannot mount %s on %s: %w", kind, point, err)
		}
	}
	if err := guest.LoadModules(); err != nil {
		return err
	}
	return await(lastDevice)
}

// await waits for a flash device: the kernel finds chips on its own time.
func await(name string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		parts, err := mtd.List(device.New("/"))
		if err != nil {
			return err
		}
		for _, p := range parts {
			if p.Name == name {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot find the flash chips: the kernel lists %+v", parts)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
