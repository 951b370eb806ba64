// Package guest is what the programs inside the virtual machine of make test-vm share: how they know that they are inside it.
//
// Their tests write UEFI variables. On anybody's computer that is the firmware's flash, so they ask here first, and a
// test that was sent to a real efivarfs must never end up in a plain folder instead.
package guest

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// Word stands on the kernel's command line in the virtual machine and nowhere else; behind it comes the number of the boot.
const Word = "tegra-ota.test-vm="

// Boot returns the number of this boot, from 1. Outside the virtual machine it is an error.
func Boot() (int, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return 0, fmt.Errorf("cannot tell whether this is the virtual machine: %w", err)
	}
	for _, field := range strings.Fields(string(line)) {
		if text, ok := strings.CutPrefix(field, Word); ok {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return 0, fmt.Errorf("cannot use %q on the kernel's command line: want a number from 1", field)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("cannot run here: this is not the virtual machine of make test-vm (no %s on the kernel's command line)", Word)
}

// Efivarfs answers nil if folder is where the virtual machine's kernel shows its UEFI variables.
func Efivarfs(folder string) error {
	if _, err := Boot(); err != nil {
		return err
	}
	if folder != efivarfs.Dir {
		return fmt.Errorf("cannot test %s: the kernel's efivarfs belongs at %s", folder, efivarfs.Dir)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return fmt.Errorf("cannot test %s: %w", folder, err)
	}
	if uint32(st.Type) != unix.EFIVARFS_MAGIC {
		return fmt.Errorf("cannot test %s: efivarfs is not mounted there", folder)
	}
	return nil
}
