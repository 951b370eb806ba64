package bup

import (
	"fmt"
	"strings"
)

// CompatSpec derives the compatible spec from a board's full TNSPEC, the way meta-tegra's uefi_common.func and the
// setup of TegraPlatformCompatSpec do: board revision and chip revision become empty, and the fab what the boards of a
// family have in common. A spec has at least eight fields separated by hyphens:
//
//	BOARDID-FAB-BOARDSKU-BOARDREV-FUSELEVEL-CHIPREV-MACHINE-BOOTDEV
//
// where the machine may contain hyphens itself and the boot device is empty on T234. Boards without a rule known are an
// error: a guess would choose another board's firmware.
//
// This is for a device whose variable is missing; where TegraPlatformCompatSpec exists, it holds what firmware will match
// against, and writers differ: edk2-nvidia's L4TPreIsoInstaller.c never leaves the fab empty (3701: 000 or 300; 3767: 000;
// 3834: 000 or 401).
func CompatSpec(spec string) (string, error) {
	f := strings.Split(spec, "-")
	if len(f) < 8 {
		return "", fmt.Errorf("cannot derive compatible spec of %q: %d fields, want at least 8", spec, len(f))
	}
	fab, ok := compatFab(f[0], f[2], f[1])
	if !ok {
		return "", fmt.Errorf("cannot derive compatible spec of %q: no rule known for board %s with SKU %q", spec, f[0], f[2])
	}
	f[1], f[3], f[5] = fab, "", ""
	return strings.Join(f, "-"), nil
}

func compatFab(board, sku, fab string) (string, bool) {
	engineering := strings.HasPrefix(fab, "TS") || strings.HasPrefix(fab, "EB")
	switch board {
	case "3701": // AGX Orin
		switch sku {
		case "0000":
			if engineering || len(fab) == 3 && fab[0] >= '0' && fab[0] <= '2' {
				return "000", true
			}
			return "300", true
		case "0004", "0005", "0008":
			return "", true
		}
	case "3767": // Orin NX and Nano
		switch sku {
		case "0000", "0002":
			if engineering {
				return fab, true
			}
			return "000", true
		case "0001", "0003", "0004", "0005":
			return "", true
		}
	case "3834": // Thor
		return "", true
	}
	return "", false
}
