package firmware

import (
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Board is what a package is matched against.
type Board struct {
	// Name is what the report calls it: what was given, and the fabs it stands for where they make a difference.
	Name string
	// Spec is the board's TNSPEC. An empty fab, board revision or chip revision is unknown.
	Spec string
	// Compat is the compatible spec, derived by bup.CompatSpec; empty where no rule is known.
	Compat string
	Chip   chip.Chip
}

// maxSpec is the longest spec in bytes that firmware compares (FW_PACKAGE_TNSPEC_LENGTH of edk2-nvidia, less the NUL).
const maxSpec = 127

// chips tells the chip by the board id in the module's EEPROM (meta-tegra, TEGRA_BOARDID in conf/machine: kirkstone and master).
var chips = map[string]chip.Chip{
	"2888": chip.T194, // AGX Xavier
	"3668": chip.T194, // Xavier NX
	"3701": chip.T234, // AGX Orin
	"3767": chip.T234, // Orin NX and Orin Nano
	"3834": chip.T264, // AGX Thor
}

// modules are the names a board may be given by, with the machine of NVIDIA's own images (edk2-nvidia
// README_PreIsoInstaller.md; meta-tegra's machine of SKU 3701-0008 has the same name).
var modules = []struct{ id, sku, machine string }{
	{"3701", "0000", "jetson-agx-orin-devkit"},
	{"3701", "0004", "jetson-agx-orin-devkit"},
	{"3701", "0005", "jetson-agx-orin-devkit"},
	{"3701", "0008", "jetson-agx-orin-devkit-industrial"},
	{"3767", "0000", "jetson-orin-nano-devkit"},
	{"3767", "0001", "jetson-orin-nano-devkit"},
	{"3767", "0003", "jetson-orin-nano-devkit"},
	{"3767", "0004", "jetson-orin-nano-devkit"},
	{"3767", "0005", "jetson-orin-nano-devkit"},
	{"3834", "0000", "jetson-agx-thor-t4000"},
	{"3834", "0008", "jetson-agx-thor-devkit"},
}

// Modules returns the module names that ParseBoards knows, sorted.
func Modules() []string {
	var names []string
	for _, m := range modules {
		names = append(names, "p"+m.id+"-"+m.sku)
	}
	return names
}

var (
	moduleName = regexp.MustCompile(`^p([0-9]{4})-([0-9]{4})(?:/([A-Za-z0-9._+]+(?:-[A-Za-z0-9._+]+)*))?$`)
	// tnspec is BOARDID-FAB-BOARDSKU-BOARDREV-FUSELEVEL-CHIPREV-MACHINE-BOOTDEV, of printable ASCII.
	tnspec = regexp.MustCompile(`^([0-9]{4})-([!-,.-~]*)-[!-,.-~]+-[!-,.-~]*-[!-,.-~]+-[!-,.-~]*-[!-,.-~]+(?:-[!-,.-~]+)*-([!-,.-~]*)$`)
	// A boot device; what else stands last is a machine whose closing hyphen was forgotten.
	bootDevice = regexp.MustCompile(`^(?:(?:mmcblk|nvme|sd)[a-z0-9]*|internal|external)?$`)
)

// fabs are a representative of each group of fabs that compatible specs tell apart (bup.CompatSpec: only 3701-0000 does).
// Engineering samples of 3767-0000 (fab TS and EB) have compatible specs of their own: only a TNSPEC names them.
var fabs = []struct{ fab, label string }{
	{"000", " (fab 0xx, 1xx, 2xx, TSx, EBx)"},
	{"300", " (fab 3xx and later)"},
}

// ParseBoards reads boards as people name them: a TNSPEC, as it stands in TegraPlatformSpec or /etc/nv_boot_control.conf,
// or MODULE or MODULE/MACHINE, for example p3767-0005 or p3767-0005/jetson-orin-nano-devkit-super. The machine is the one
// the firmware was built for (MACHINE of meta-tegra), by default NVIDIA's.
//
// A module stands for all production fused boards of its kind, whatever their fab and revisions, and becomes two boards
// where the fab decides about the firmware (p3701-0000). A TNSPEC with an empty fab, board revision or chip revision is
// understood in the same way, so that a compatible spec will do, too. Names that are neither, unknown modules and boards
// named twice are errors of code fail.Data.
func ParseBoards(names []string) ([]Board, error) {
	var boards []Board
	seen := map[[2]string]string{}
	for _, name := range names {
		found, err := parseBoard(name)
		if err != nil {
			return nil, err
		}
		for _, b := range found {
			key := [2]string{b.Spec, b.Compat}
			if first, ok := seen[key]; ok {
				return nil, fail.New(fail.Data, "cannot use board %q: it is the same as %q", name, first).Then("name each board once")
			}
			seen[key] = name
		}
		boards = append(boards, found...)
	}
	return boards, nil
}

func parseBoard(name string) ([]Board, error) {
	if m := moduleName.FindStringSubmatch(name); m != nil {
		return parseModule(name, m[1], m[2], m[3])
	}
	m := tnspec.FindStringSubmatch(name)
	if m == nil || len(name) > maxSpec {
		return nil, refuse(name, "it is neither a module nor a TNSPEC (BOARDID-FAB-BOARDSKU-BOARDREV-FUSELEVEL-CHIPREV-MACHINE-BOOTDEV, "+
			"at most %d characters)", maxSpec)
	}
	if !bootDevice.MatchString(m[3]) {
		return nil, refuse(name, "%q at its end is no boot device; a TNSPEC without one ends with a hyphen", m[3])
	}
	c, ok := chips[m[1]]
	if !ok {
		return nil, refuse(name, "no chip is known for board id %s", m[1])
	}
	if m[2] == "" && len(compatSpecs(name)) > 1 {
		return nil, refuse(name, "it leaves the fab open, which decides about the compatible spec of this board")
	}
	// Without a rule the variable TegraPlatformCompatSpec is unknown, so that the full spec alone is matched.
	compat, err := bup.CompatSpec(name)
	if err != nil {
		compat = ""
	}
	return []Board{{Name: name, Spec: name, Compat: compat, Chip: c}}, nil
}

func parseModule(name, id, sku, machine string) ([]Board, error) {
	for _, m := range modules {
		if m.id != id || m.sku != sku {
			continue
		}
		if machine == "" {
			machine = m.machine
		}
		spec := id + "--" + sku + "--1--" + machine + "-"
		if len(spec)+len(fabs[0].fab) > maxSpec {
			return nil, refuse(name, "its spec would have more than %d characters", maxSpec)
		}
		compats := compatSpecs(spec)
		var boards []Board
		for i, compat := range compats {
			b := Board{Name: name, Spec: spec, Compat: compat, Chip: chips[id]}
			if len(compats) > 1 {
				b.Name += fabs[i].label
			}
			boards = append(boards, b)
		}
		return boards, nil
	}
	return nil, refuse(name, "no such module is known")
}

// compatSpecs returns the compatible specs that a spec has with any fab: one where the fab makes no difference, else one
// for each of fabs; none where no rule is known.
func compatSpecs(spec string) []string {
	var compats []string
	for _, f := range fabs {
		fields := strings.Split(spec, "-")
		fields[1] = f.fab
		compat, err := bup.CompatSpec(strings.Join(fields, "-"))
		if err != nil {
			return nil
		}
		if len(compats) == 0 || compats[0] != compat {
			compats = append(compats, compat)
		}
	}
	return compats
}

func refuse(name, format string, args ...any) error {
	return fail.New(fail.Data, "cannot use board %q: "+format, append([]any{name}, args...)...).
		Then("give the device's TNSPEC, or MODULE or MODULE/MACHINE with one of the modules %s", strings.Join(Modules(), ", "))
}

// match chooses the images of a board. A field that is unknown must not act as the wildcard that an empty one is: it
// becomes a blank, which no entry of a package can hold, so that it fits those entries only that leave the field open.
func (b Board) match(p *bup.Package, required []string) bup.Selection {
	fields := strings.Split(b.Spec, "-")
	for _, i := range []int{1, 3, 5} {
		if i < len(fields) && fields[i] == "" {
			fields[i] = " "
		}
	}
	spec, compat := strings.Join(fields, "-"), b.Compat
	if compat == "" {
		compat = spec // an empty one would be firmware's default, which fits other boards' entries
	}
	return p.Match(spec, compat, required)
}
