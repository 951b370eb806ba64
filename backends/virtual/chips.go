package virtual

import (
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The chips, what names them to NVIDIA's tools (TEGRA_CHIPID), and where boards keep things.
const (
	chipT186    = "T186"
	chipT194    = "T194"
	chipT234    = "T234"
	storageNVMe = "nvme0n1"
	storageEMMC = "mmcblk0"
	mtdBlock    = "/dev/mtdblock0"
	jetPack4    = 32 // L4T branch of JetPack 4
	splashImage = "BMP"
	nvmeMajor   = 259
	mmcMajor    = 179
)

var chipIDs = map[string]string{chipT186: "0x18", chipT194: "0x19", chipT234: "0x23"}

// olderModules are those of T186 and T194. Their specs are of the form that BUPs of R32 carry, with the boot device as the last
// field; the compatibility spec follows nv-l4t-bootloader-config.sh as tegra-boot-tools restates it (bup.c).
func olderModules() map[string]module {
	return map[string]module{
		"p3668-0001": {
			model: "NVIDIA Jetson Xavier NX Developer Kit", carrier: "p3509-0000", chip: chipT194,
			storage: storageEMMC, otaBoot: mtdBlock, otaGPT: mtdBlock,
			spec:    "3668-200-0001-G.0-1-2-jetson-xavier-nx-devkit-emmc-",
			compat:  "3668-100---1--jetson-xavier-nx-devkit-emmc-",
			capsule: "3668-100-0001--1-2-jetson-xavier-nx-devkit-emmc-",
		},
		"p2888-0001": {
			model: "Jetson-AGX", carrier: "p2822-0000", chip: chipT194,
			storage: storageEMMC, otaBoot: "/dev/mmcblk0boot0", otaGPT: "/dev/mmcblk0boot1",
			spec:    "2888-400-0001-E.0-1-2-jetson-agx-xavier-devkit-",
			compat:  "2888-400-0001-J.0-1-2-jetson-agx-xavier-devkit-",
			capsule: "2888-400-0001-J.0-1-2-jetson-agx-xavier-devkit-",
		},
		"p3310-1000": {
			model: "quill", carrier: "p2597-0000", chip: chipT186,
			storage: storageEMMC, otaBoot: "/dev/mmcblk0boot0", otaGPT: "/dev/mmcblk0boot1",
			spec:    "3310-B02-1000-E.0-1-0-jetson-tx2-devkit-",
			compat:  "3310-B01---1--jetson-tx2-devkit-",
			capsule: "3310-B01-1000--1-0-jetson-tx2-devkit-",
		},
	}
}

// allows says why a module can not have a release or a kind of redundancy. T186 ended with R32, T234 began with R35 (R34 is
// not modelled), and T194 has been in both, with UEFI from R35 on.
func (m module) allows(name string, l4t capsule.Version, r Redundancy) error {
	switch r {
	case RootfsAB, BootOnly, NoVariables:
	case RootfsOnly:
		if l4t>>16 != jetPack4 || l4t < unifiedSince {
			return fail.New(fail.Usage, "cannot make redundancy %q with L4T %s: it came with 32.6.1 and ended with 32", r, l4t)
		}
	default:
		return fail.New(fail.Usage, "cannot make redundancy %q: it is 0, 1, absent, or rootfs with L4T 32", r)
	}
	old := l4t>>16 <= jetPack4
	switch {
	case m.chip == chipT234 && old:
		return fail.New(fail.Usage, "cannot make %s with L4T %s: T234 came with 35", name, l4t)
	case m.chip == chipT186 && l4t>>16 != jetPack4:
		return fail.New(fail.Usage, "cannot make %s with L4T %s: T186 is known with 32 only", name, l4t)
	case m.chip == chipT194 && (l4t>>16 != jetPack4 && l4t>>16 != 35):
		return fail.New(fail.Usage, "cannot make %s with L4T %s: T194 is known with 32 and 35", name, l4t)
	}
	return nil
}

// parts are the partitions of one boot chain.
func (b board) parts() []flashPart {
	switch {
	case b.Cboot:
		return partsR32(b.Chip)
	case b.Chip == chipT194:
		return partsT194()
	}
	return chainParts()
}

// flashName is what a chain's partition is called: A_mb1 and B_mb1 on T234, mb1 and mb1_b before (BootChainInfoLib.c; cboot's
// tegrabl_a_b_set_bootslot_suffix).
func (b board) flashName(s Slot, name string) string {
	switch {
	case b.Chip == chipT234:
		return s.String() + "_" + name
	case s == B:
		return name + "_b"
	}
	return name
}

func (b board) disk() string { return "dev/" + b.Storage }

func (b board) partitionNode(number int) string { return fmt.Sprintf("%sp%d", b.disk(), number) }

// major is the kernel's device number of the disk: NVMe partitions are in the extended range, those of eMMC are not.
func (b board) major() int {
	if b.Storage == storageEMMC {
		return mmcMajor
	}
	return nvmeMajor
}

// partsT194 are what UEFI of R35 updates on T194. The sizes are those of T234 where both chips have an image; they bound what fits
// and nothing else.
func partsT194() []flashPart {
	return []flashPart{
		{firstImage, 1024}, {"MB1_BCT", 256}, {"MEM_BCT", 512}, {"mb2", 1024}, {"spe-fw", 1152}, {"cpu-bootloader", 7168},
		{"bootloader-dtb", 2048}, {"secure-os", 8192}, {"bpmp-fw", 3072}, {"bpmp-fw-dtb", 8192}, {"adsp-fw", 4096}, {"rce-fw", 2048},
		{"mts-preboot", 256}, {"mts-mce", 1024}, {"mts-proper", 8192}, {"sc7", 384}, {"xusb-fw", 512}, {versionImage, 128},
	}
}

// partsR32 are the boot partitions of a chain with R32, by the names that BUPs of that release carry. BCT, of which the flash has
// several copies for both chains, is one image per chain here.
func partsR32(chip string) []flashPart {
	common := []flashPart{
		{"spe-fw", 1152}, {"mb2", 1024}, {"cpu-bootloader", 7168}, {"bootloader-dtb", 2048}, {"secure-os", 8192}, {"bpmp-fw", 3072},
		{"bpmp-fw-dtb", 8192}, {"adsp-fw", 4096}, {"mts-preboot", 256}, {"sc7", 384}, {firstImage, 1024}, {"MB1_BCT", 256},
		{bctImage, 128}, {splashImage, 512}, {versionImage, 128},
	}
	if chip == chipT186 {
		return append(common, flashPart{"sce-fw", 2048}, flashPart{"mts-bootpack", 8192})
	}
	return append(common, flashPart{"rce-fw", 2048}, flashPart{"mts-mce", 1024}, flashPart{"mts-proper", 8192},
		flashPart{"MEM_BCT", 512}, flashPart{"xusb-fw", 512})
}
