// Package chip holds what differs between Tegra chips as data: one row per chip, and no guess for a chip that has none.
package chip

import (
	"bytes"
	"errors"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// ErrUnknown says that the device is no Tegra we have a row for.
var ErrUnknown = errors.New("unknown chip")

// Naming says how a chain's partitions are called in the flash.
type Naming int

// The two naming rules (edk2-nvidia BootChainInfoLib.c).
const (
	PrefixAB Naming = iota // A_mb1 and B_mb1: T234, T264
	SuffixB                // mb1 and mb1_b: T186, T194
)

// GPTPlace says where the flash keeps its partition table.
type GPTPlace int

// The places (edk2-nvidia GptLib.c).
const (
	GPTPerChain GPTPlace = iota // T234: chain A at the very end, chain B four erase blocks before it; no primary table
	GPTEnd                      // T186/T194: one secondary table at the end
)

// Chip is one row of the table.
type Chip struct {
	Name       string      // "T234"
	ID         string      // TEGRA_CHIPID of /etc/nv_boot_control.conf
	Compatible string      // in the device tree's root compatible
	Required   []string    // image names the firmware refuses a package without (edk2-nvidia FwImageNames.c)
	ImageTypes []guid.GUID // capsule GUIDs known for it; an OEM may have its own, so ESRT's fw_class decides, not this list
	Naming     Naming
	GPT        GPTPlace
	PMC        []string // folders that may hold the launcher's scratch register, newest kernel first
	Releases   []int    // L4T branches whose firmware is known from its sources: 36 for R36.x
	Capsule    bool     // firmware can be updated by UEFI capsule; T194's since R35
	Tested     bool     // exercised end to end; others are reported by check as known from sources only
}

// Slot attributes of the scratch register below a PMC folder (kernel >= 5.15.148 of R36.3; R35 kernels have them elsewhere).
const (
	AttrMagic  = "rootfs_sr_magic"
	AttrRetryA = "rootfs_retry_count_a"
	AttrRetryB = "rootfs_retry_count_b"
)

// The chips. Sources: edk2-nvidia FmpDeviceLib (names, GUIDs: CapsuleUpdateJetson.md, NVIDIA.dec), meta-tegra machine
// configuration (ids).
var (
	T234 = Chip{
		Name: "T234", ID: "0x23", Compatible: "nvidia,tegra234", Required: bup.RequiredT234,
		ImageTypes: []guid.GUID{
			guid.MustParse("bf0d4599-20d4-414e-b2c5-3595b1cda402"), // t23x_general
			guid.MustParse("db21ea33-80c8-4906-971a-49c0b3f7d1d0"), // IGX Orin
		},
		Naming: PrefixAB, GPT: GPTPerChain, Capsule: true, Tested: true, Releases: []int{35, 36, 38, 39},
		PMC: []string{"/sys/devices/platform/bus@0/c360000.pmc", "/sys/devices/platform/c360000.pmc"},
	}
	T264 = Chip{
		Name: "T264", ID: "0x26", Compatible: "nvidia,tegra264", Required: bup.RequiredT264,
		ImageTypes: []guid.GUID{
			guid.MustParse("3c834404-d2d7-4912-8c1c-6e850b5f2824"),
			guid.MustParse("5cdb9398-9a1f-44a4-986b-bbd034590537"), // simple_emmc
			guid.MustParse("aeb40576-5d97-4d60-a138-93788792bf34"), // simple_pcie
		},
		Naming: PrefixAB, GPT: GPTPerChain, Capsule: true, Releases: []int{38, 39},
	}
	T186 = Chip{
		Name: "T186", ID: "0x18", Compatible: "nvidia,tegra186", Required: bup.RequiredT186R32,
		Naming: SuffixB, GPT: GPTEnd, Releases: []int{32},
	}
	T194 = Chip{
		Name: "T194", ID: "0x19", Compatible: "nvidia,tegra194", Required: bup.RequiredT194,
		ImageTypes: []guid.GUID{guid.MustParse("be3f5d68-7654-4ed2-838c-2a2faf901a78")},
		Naming:     SuffixB, GPT: GPTEnd, Capsule: true, Releases: []int{32, 35, 36},
		PMC: []string{"/sys/devices/platform/bus@0/c360000.pmc", "/sys/devices/platform/c360000.pmc"},
	}
)

// All is the table, newest last.
var All = []Chip{T186, T194, T234, T264}

// Detect names the chip from the device tree, or, where that is missing, from TEGRA_CHIPID of
// /etc/nv_boot_control.conf. Two sources that contradict each other are an error naming both.
func Detect(m *device.Machine) (Chip, error) {
	var fromTree, fromConf *Chip
	compatible, treeErr := m.ReadFile("/proc/device-tree/compatible")
	for _, word := range bytes.Split(compatible, []byte{0}) {
		for i := range All {
			if string(word) == All[i].Compatible {
				fromTree = &All[i]
			}
		}
	}
	id := BootControl(m)["TEGRA_CHIPID"]
	for i := range All {
		if strings.EqualFold(id, All[i].ID) {
			fromConf = &All[i]
		}
	}
	switch {
	case fromTree != nil && fromConf != nil && fromTree.Name != fromConf.Name:
		return Chip{}, fail.New(fail.Unavailable, "cannot name the chip: the device tree says %s, "+
			"/etc/nv_boot_control.conf says %s (TEGRA_CHIPID %s)", fromTree.Name, fromConf.Name, id).
			Then("correct TEGRA_CHIPID in /etc/nv_boot_control.conf (%s is %s), or install an image made for this device",
				fromTree.Name, fromTree.ID)
	case fromTree != nil:
		return *fromTree, nil
	case fromConf != nil:
		return *fromConf, nil
	case treeErr != nil && id == "":
		return Chip{}, fail.New(fail.Unavailable,
			"cannot name the chip: %w: neither /proc/device-tree/compatible nor TEGRA_CHIPID in /etc/nv_boot_control.conf says one", ErrUnknown).
			Then("run it on a Jetson, or set TEGRA_CHIPID in /etc/nv_boot_control.conf to the device's")
	}
	words := strings.ReplaceAll(strings.Trim(string(compatible), "\x00"), "\x00", ", ")
	return Chip{}, fail.New(fail.Unavailable, "cannot name the chip: %w: the device tree says %q, TEGRA_CHIPID %q", ErrUnknown, words, id).
		Then("correct TEGRA_CHIPID in /etc/nv_boot_control.conf if it is wrong, or report this chip to tegra-ota")
}

// BootControl reads /etc/nv_boot_control.conf, NVIDIA's description of the board, as key and value; empty where there is none.
func BootControl(m *device.Machine) map[string]string {
	values := map[string]string{}
	text, err := m.ReadFile("/etc/nv_boot_control.conf")
	if err != nil {
		return values
	}
	for _, line := range strings.Split(string(text), "\n") {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && !strings.HasPrefix(key, "#") {
			values[key] = strings.TrimSpace(value)
		}
	}
	return values
}

// RequiredBy returns the image names that a running firmware wants: those of R35 do not know pva-fw (edk2-nvidia
// FwImageNames.c, r35.5.0, r35.6.4; r36.3.0 has it).
func (c Chip) RequiredBy(running capsule.Version) []string {
	if c.Name == T234.Name && running < capsule.Version(36<<16) {
		return bup.RequiredT234R35
	}
	return c.Required
}

// Knows says whether the firmware of a release is known from its sources.
func (c Chip) Knows(firmware capsule.Version) bool {
	for _, branch := range c.Releases {
		if int(firmware>>16) == branch {
			return true
		}
	}
	return false
}
