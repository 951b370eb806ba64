package virtual

import (
	"sort"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// DefaultModule is the module that Create makes when none is named: the Orin Nano of the developer kit.
const DefaultModule = "p3767-0005"

// module is one row of the table: what the board's EEPROM makes of TegraPlatformSpec and TegraPlatformCompatSpec.
// The fab field of the compatibility spec follows meta-tegra's uefi_common.func.
type module struct {
	model   string
	carrier string
	spec    string
	compat  string
	chip    string
	storage string // the disk that Linux runs from
	otaBoot string // TEGRA_OTA_BOOT_DEVICE: where the boot chains are
	otaGPT  string // TEGRA_OTA_GPT_DEVICE: where their partition table is
	capsule string // the tnspec that a board-specific capsule image for it carries
}

func moduleTable() map[string]module {
	nano := func(sku, rev, compatFab, model string) module {
		const machine = "jetson-orin-nano-devkit-"
		return module{
			model: model, carrier: "p3768-0000", chip: chipT234, storage: storageNVMe, otaBoot: mtdBlock, otaGPT: mtdBlock,
			spec:    "3767-300-" + sku + "-" + rev + "-1-0-" + machine,
			compat:  "3767-" + compatFab + "-" + sku + "--1--" + machine,
			capsule: "3767-000-" + sku + "--1-0-" + machine,
		}
	}
	agx := func(sku, rev, compatFab, model string) module {
		const machine = "jetson-agx-orin-devkit-"
		return module{
			model: model, carrier: "p3737-0000", chip: chipT234, storage: storageNVMe, otaBoot: mtdBlock, otaGPT: mtdBlock,
			spec:    "3701-500-" + sku + "-" + rev + "-1-1-" + machine,
			compat:  "3701-" + compatFab + "-" + sku + "--1--" + machine,
			capsule: "3701-300-" + sku + "--1-1-" + machine,
		}
	}
	table := map[string]module{
		"p3767-0000": nano("0000", "R.1", "000", "NVIDIA Jetson Orin NX 16GB"),
		"p3767-0001": nano("0001", "M.3", "", "NVIDIA Jetson Orin NX 8GB"),
		"p3767-0003": nano("0003", "N.2", "", "NVIDIA Jetson Orin Nano 8GB"),
		"p3767-0004": nano("0004", "H.1", "", "NVIDIA Jetson Orin Nano 4GB"),
		"p3767-0005": nano("0005", "K.2", "", "NVIDIA Jetson Orin Nano Developer Kit"),
		"p3701-0000": agx("0000", "M.0", "300", "NVIDIA Jetson AGX Orin Developer Kit"),
		"p3701-0004": agx("0004", "G.1", "", "NVIDIA Jetson AGX Orin 32GB"),
		"p3701-0005": agx("0005", "H.0", "", "NVIDIA Jetson AGX Orin 64GB"),
	}
	for name, m := range olderModules() {
		table[name] = m
	}
	return table
}

// Modules lists the names that Create knows.
func Modules() []string {
	var names []string
	for name := range moduleTable() {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func lookupModule(name string) (module, error) {
	m, ok := moduleTable()[name]
	if !ok {
		return module{}, fail.New(fail.Usage, "cannot make module %q: known are %s", name, strings.Join(Modules(), ", "))
	}
	return m, nil
}

// CapsuleSpec returns the tnspec that NVIDIA's capsules carry for a module.
func CapsuleSpec(name string) (string, error) {
	m, err := lookupModule(name)
	return m.capsule, err
}
