package bup

import (
	"fmt"
	"slices"
	"strings"
)

// defaultCompatSpec is what firmware takes if the variable TegraPlatformCompatSpec is missing: all fields empty, which
// fits any spec of as many fields (FMP_PLATFORM_SPEC_DEFAULT in edk2-nvidia's TegraFmp.c).
const defaultCompatSpec = "-------"

// Selection is what one board would take from a package.
type Selection struct {
	// Spec and Compat are those matched against; Compat is "-------" if none was given.
	Spec, Compat string
	// Production says whether firmware takes the board for production fused.
	Production bool
	// Chosen has the index in Entries of each name that resolves, required or not.
	Chosen map[string]int
	// Missing lists the required names that do not resolve, in the order they were given.
	Missing []Missing
}

// Missing is a required name without an entry for the board, and why.
type Missing struct {
	Name, Reason string
}

// Match chooses the entry of each name for a board exactly as firmware does (FwPackageGetImageIndex in edk2-nvidia's
// FwPackageLib.c). spec and compat are the variables TegraPlatformSpec and TegraPlatformCompatSpec, empty if they are
// missing.
//
// Entries are tried in order. Those for the other fuse mode are skipped; the first that fits spec wins outright;
// otherwise the first that is for all boards or fits compat does. Without a spec the board counts as production fused.
func (p *Package) Match(spec, compat string, required []string) Selection {
	if compat == "" {
		compat = defaultCompatSpec
	}
	s := Selection{Spec: spec, Compat: compat, Production: productionFused(spec), Chosen: map[string]int{}}
	exact := map[string]bool{}
	for i, e := range p.Entries {
		if exact[e.Name] || !e.OpMode.applies(s.Production) {
			continue
		}
		_, found := s.Chosen[e.Name]
		switch {
		case e.Spec != "" && spec != "" && specFits(spec, e.Spec):
			s.Chosen[e.Name] = i
			exact[e.Name] = true
		case found:
		case e.Spec == "" || specFits(compat, e.Spec):
			s.Chosen[e.Name] = i
		}
	}
	for _, name := range required {
		if _, ok := s.Chosen[name]; !ok {
			s.Missing = append(s.Missing, Missing{Name: name, Reason: p.whyMissing(name, s.Production)})
		}
	}
	return s
}

// productionFused reads the fuse level, the fifth field. Firmware (GetFuseSettings in TegraFmp.c) looks for "0-" behind
// the fourth hyphen: a spec that ends right after the 0, or has fewer fields, or is missing, counts as production.
func productionFused(spec string) bool {
	fields := strings.SplitN(spec, "-", 5)
	return len(fields) < 5 || !strings.HasPrefix(fields[4], "0-")
}

// specFits is FwPackageCheckTnSpec: as many fields, and each equal or empty on either side. The hyphens of a machine's
// name separate fields like all others.
func specFits(a, b string) bool {
	as, bs := strings.Split(a, "-"), strings.Split(b, "-")
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if as[i] != "" && bs[i] != "" && as[i] != bs[i] {
			return false
		}
	}
	return true
}

// whyMissing says what the package has of a name that did not resolve.
func (p *Package) whyMissing(name string, production bool) string {
	const shown = 3
	var specs []string
	others, otherFuses := 0, 0
	for _, e := range p.Entries {
		switch {
		case e.Name != name:
		case !e.OpMode.applies(production):
			otherFuses++
		default:
			others++
			if !slices.Contains(specs, e.Spec) {
				specs = append(specs, e.Spec)
			}
		}
	}
	switch {
	case others == 0 && otherFuses == 0:
		return "the package has no image of that name"
	case others == 0 && production:
		return "the package has it for boards without production fuses only; this board counts as production fused"
	case others == 0:
		return "the package has it for production fused boards only; this board is not production fused"
	}
	more := ""
	if len(specs) > shown {
		more = fmt.Sprintf(" and %d more", len(specs)-shown)
		specs = specs[:shown]
	}
	images := "1 image"
	if others > 1 {
		images = fmt.Sprintf("%d images", others)
	}
	return fmt.Sprintf("the package has %s for other boards: %s%s", images, strings.Join(specs, ", "), more)
}
