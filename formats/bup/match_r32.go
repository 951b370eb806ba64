package bup

import "strings"

// specFields is the number of fields of a TNSPEC of L4T R32; the seventh is the machine, which may contain hyphens, and the
// eighth the boot device, which does not.
const specFields = 8

// MatchR32 chooses the entry of each name for a board of T186 or T194 with L4T R32, whose packages are V2. The rule is that of
// bup.c in tegra-boot-tools, the only public reader of them: entries for boards without production fuses are skipped always; the
// machine reaches to the last hyphen; an empty field on either side fits anything; the boot device "internal" of the board fits
// "mmcblk0p" and more of an entry; an entry fits if spec or compat does.
//
// Of several entries that fit, one that fits spec wins over one that fits compat or has no spec, and the first wins over later
// ones (inferred: tegra-boot-tools writes all that fit one after the other, and real packages have one).
//
// Where compat is "" the one of tegra-boot-tools is derived, see CompatSpecR32. Besides the names of required, those that the
// package has for other boards only are Missing, too: such a package was made without this board in mind.
func (p *Package) MatchR32(spec, compat string, required []string) Selection {
	if compat == "" {
		compat = CompatSpecR32(spec)
	}
	s := Selection{Spec: spec, Compat: compat, Production: true, Chosen: map[string]int{}}
	exact := map[string]bool{}
	ours, theirs := splitR32(spec), splitR32(compat)
	for i, e := range p.Entries {
		if exact[e.Name] || e.OpMode == NonProduction {
			continue
		}
		_, found := s.Chosen[e.Name]
		entry := splitR32(e.Spec)
		switch {
		case e.Spec != "" && fitsR32(entry, ours):
			s.Chosen[e.Name] = i
			exact[e.Name] = true
		case found:
		case e.Spec == "" || compat != "" && fitsR32(entry, theirs):
			s.Chosen[e.Name] = i
		}
	}
	listed := map[string]bool{}
	miss := func(name string) {
		if _, ok := s.Chosen[name]; !ok && !listed[name] {
			listed[name] = true
			s.Missing = append(s.Missing, Missing{Name: name, Reason: p.whyMissing(name, s.Production)})
		}
	}
	for _, name := range required {
		miss(name)
	}
	for _, e := range p.Entries {
		if e.Spec != "" && e.OpMode != NonProduction {
			miss(e.Name)
		}
	}
	return s
}

// splitR32 takes a TNSPEC apart; one with fewer fields than eight keeps those it has, "" has none.
func splitR32(spec string) []string {
	if spec == "" {
		return nil
	}
	fields := strings.SplitN(spec, "-", specFields-1)
	if len(fields) < specFields-1 {
		return fields
	}
	rest := fields[specFields-2]
	last := strings.LastIndexByte(rest, '-')
	if last < 0 {
		return fields
	}
	return append(fields[:specFields-2], rest[:last], rest[last+1:])
}

// fitsR32 says whether an entry's spec fits a board's. They must have as many fields; a board without a spec fits none.
func fitsR32(entry, board []string) bool {
	if len(entry) != len(board) {
		return false
	}
	for i, e := range entry {
		b := board[i]
		switch {
		case e == "" || b == "" || e == b:
		case i == specFields-1 && b == "internal" && strings.HasPrefix(e, "mmcblk0p") && len(e) > len("mmcblk0p"):
		default:
			return false
		}
	}
	return true
}

// CompatSpecR32 derives the compatible spec of a T186 or T194 board from its TNSPEC: what boards of a family have in common is
// kept or made equal, the rest is empty (bup.c of tegra-boot-tools, after L4T's nv-l4t-bootloader-config.sh). A spec that has
// not eight fields, or no board number of four digits, has none: "".
func CompatSpecR32(spec string) string {
	f := splitR32(spec)
	if len(f) != specFields || len(f[0]) != 4 {
		return ""
	}
	board, fab, sku := f[0], f[1], f[2]
	f[7] = ""
	three := len(fab) == 3
	noRevisions := func() { f[3], f[5] = "", "" }
	switch board {
	case "3310": // TX2
		noRevisions()
		f[2] = ""
		if three && fab != "B00" && fab[0] >= 'B' {
			f[1] = "B01"
		}
	case "3489": // TX2 4GB and TX2i
		noRevisions()
		f[2] = ""
		if three {
			f[1] = "300"
			if fab[0] >= '0' && fab[0] < '3' {
				f[1] = "200"
			}
		}
	case "3636": // TX2 NX
		noRevisions()
		f[1] = ""
	case "3668": // Xavier NX
		noRevisions()
		f[2] = ""
		if three && fab != "301" {
			f[1] = "100"
		}
	case "2888": // AGX Xavier
		compatAGXXavier(f, fab, sku)
	}
	return strings.Join(f, "-")
}

func compatAGXXavier(f []string, fab, sku string) {
	switch {
	case fab == "400" && sku == "0004", fab == "600" && sku == "0008":
		f[3] = ""
	case fab == "400":
		f[2] = "0001"
		if revision := f[3]; revision != "" {
			f[3] = "E.0"
			if revision[0] >= 'A' && revision[0] <= 'D' {
				f[3] = "D.0"
			}
		}
	}
}
