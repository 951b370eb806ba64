package release

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/spelling"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// preChecks are the names that pre_checks of a manifest may have: the one of the guides first, then its usual variants. Each reads
// its value into the release, or says what the value must be.
var preChecks = map[string]func(*importer, syntax.Value) string{
	"min_battery_pct":      (*importer).battery,
	"min_battery_percent":  (*importer).battery,
	"min_battery":          (*importer).battery,
	"battery_percent":      (*importer).battery,
	"min_free_space_mb":    (*importer).freeSpaceMB,
	"free_space_mb":        (*importer).freeSpaceMB,
	"min_free_space_bytes": (*importer).freeSpaceBytes,
	"required_services":    (*importer).services,
	"services":             (*importer).services,
	"require_ac_power":     (*importer).power,
	"ac_power":             (*importer).power,
}

// checks reads pre_checks: an object {"min_battery_pct": 30, ...}; or a list of such objects, or of objects whose "name" or "type"
// names the check and whose "value" is its value.
func (im *importer) checks(v syntax.Value) {
	switch v.Kind {
	case syntax.Group:
		im.checkGroup(v, "pre_checks")
	case syntax.List:
		for i, e := range v.Elements {
			at := fmt.Sprintf("pre_checks[%d]", i)
			im.schema.places[at] = e.Position
			if e.Kind != syntax.Group {
				im.schema.add(at, "must be an object")
				continue
			}
			im.checkGroup(e, at)
		}
	default:
		im.schema.add("pre_checks", "must be an object or a list of objects")
	}
}

func (im *importer) checkGroup(v syntax.Value, path string) {
	name, ok := v.Get("name")
	if !ok {
		name, ok = v.Get("type")
	}
	if value, has := v.Get("value"); ok && has && name.Kind == syntax.String && len(v.Settings) == 2 {
		v.Settings = []syntax.Setting{{Name: name.String, Value: value, Position: name.Position}}
	}
	for _, c := range v.Settings {
		at := path + "." + c.Name
		im.schema.places[at] = c.Position
		read, known := preChecks[c.Name]
		if !known {
			im.schema.findings = append(im.schema.findings, finding{c.Position, unknownCheck(c.Name)})
		} else if must := read(im, c.Value); must != "" {
			im.schema.add(at, "must be %s", must)
		}
	}
}

func unknownCheck(name string) string {
	var known []string
	for k := range preChecks {
		known = append(known, k)
	}
	sort.Strings(known)
	text := fmt.Sprintf("unknown check %q in pre_checks", name)
	if k := spelling.Closest(name, known); k != "" {
		return text + fmt.Sprintf(", did you mean %q?", k)
	}
	return text + "; known are " + strings.Join(known, ", ")
}

func (im *importer) battery(v syntax.Value) string {
	if v.Kind != syntax.Int || v.Int < 0 || v.Int > 100 {
		return "a percentage from 0 to 100"
	}
	im.release.Preconditions.BatteryPercent = max(im.release.Preconditions.BatteryPercent, int(v.Int))
	return ""
}

func (im *importer) freeSpaceMB(v syntax.Value) string {
	if v.Kind != syntax.Int || v.Int <= 0 || v.Int >= 1<<43 {
		return "a number of MiB above 0"
	}
	return im.freeSpace(Size(v.Int) << 20)
}

func (im *importer) freeSpaceBytes(v syntax.Value) string {
	if v.Kind != syntax.Int || v.Int <= 0 {
		return "a number of bytes above 0"
	}
	return im.freeSpace(Size(v.Int))
}

// freeSpace asks the file system of /tmp: a manifest names none, and that is where the guides' scripts look and where SWUpdate
// puts what it does not stream (TMPDIR).
func (im *importer) freeSpace(bytes Size) string {
	const folder = "/tmp"
	p := &im.release.Preconditions
	if len(p.FreeSpace) > 0 {
		p.FreeSpace[0].Bytes = max(p.FreeSpace[0].Bytes, bytes)
		return ""
	}
	p.FreeSpace = []FreeSpace{{Path: folder, Bytes: bytes}}
	im.warn(problem.Warnf("import", "the manifest asks for %s of free space and does not say where; %s is taken", bytes, folder).
		Then("set path of free_space to the folder that needs it"))
	return ""
}

func (im *importer) services(v syntax.Value) string {
	if v.Kind != syntax.List {
		return "a list of systemd units"
	}
	p := &im.release.Preconditions
	for _, e := range v.Elements {
		if e.Kind != syntax.String || texts["unit"](e.String) != "" {
			return "a list of systemd units, such as docker.service"
		}
		name := e.String
		if !strings.Contains(name, ".") {
			name += ".service"
			im.warn(problem.Warnf("import", "service %q is taken as %s", e.String, name).
				Then("compare with systemctl list-units on a device: capital letters count, as in NetworkManager.service"))
		}
		if !slices.Contains(p.Services, name) {
			p.Services = append(p.Services, name)
		}
	}
	return ""
}

func (im *importer) power(v syntax.Value) string {
	if v.Kind != syntax.Bool {
		return "true or false"
	}
	im.release.Preconditions.ACPower = im.release.Preconditions.ACPower || v.Bool
	return ""
}
