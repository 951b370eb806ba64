package firmware

import (
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// The checks, as a release allows them by name.
const (
	CheckBoards    = "firmware-boards"    // a board lacks images, or no board was compared
	CheckType      = "firmware-type"      // the container or its image type is not the chip's
	CheckSignature = "firmware-signature" // a capsule without one
	CheckFloor     = "firmware-floor"     // what the update locks out
	CheckStep      = "firmware-step"      // releases that must be installed first
	CheckVersion   = "firmware-version"   // versions in the package that contradict each other
)

// newLayout is the first branch whose payload needs firmware of firstWithNewLayout (L4T R36 release notes).
const newLayout = 36

const firstWithNewLayout = capsule.Version(35<<16 | 5<<8)

// judge compares with the boards, fills in Report.Boards, and returns what it finds.
func (in *inspection) judge(boards []Board) problem.List {
	r := in.report
	list, refused := in.judgeType(boards)
	if r.Kind == "capsule" && !r.Signed {
		// A device only warns, because firmware may be built without authentication; stock firmware ends with ESRT 4114.
		list = append(list, problem.Errorf(CheckSignature,
			"the capsule is not signed: firmware refuses it unless it was built without authentication").
			Then("sign it (GenerateCapsule with --signer-private-cert; meta-tegra: tegra-uefi-capsule-signing)"))
	}
	list = append(list, in.judgeBoards(boards, refused)...)
	list = append(list, in.judgeVersions(boards)...)
	for i := range list {
		list[i] = list[i].At(r.File)
	}
	return list
}

// judgeType says which chips refuse the container or its image type, and returns the names of those that do.
func (in *inspection) judgeType(boards []Board) (problem.List, map[string]bool) {
	var list problem.List
	refused := map[string]bool{}
	for _, c := range chip.All {
		var names []string
		for _, b := range boards {
			if b.Chip.Name == c.Name {
				names = append(names, b.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		check := in.judgeCapsule
		if in.report.Kind == "bup" {
			check = in.judgeBUP
		}
		for _, p := range check(c, strings.Join(names, ", ")) {
			refused[c.Name] = refused[c.Name] || p.Severity == problem.Error
			list = append(list, p)
		}
	}
	return list, refused
}

// judgeBUP says where a bare BUP can not go: only the update engine of R32 on T194 takes one, of format V2.
func (in *inspection) judgeBUP(c chip.Chip, boards string) problem.List {
	const wrap = "wrap it with GenerateCapsule (meta-tegra: tegra-uefi-capsules) and take the .Cap file"
	format := in.pkg.Header.Format
	switch {
	case in.pkg.Header.Type != bup.TypeUpdate:
		return problem.List{problem.Errorf(CheckType, "the BUP is of type %d; %s (%s) takes boot firmware only, type %d",
			in.pkg.Header.Type, c.Name, boards, bup.TypeUpdate).Then("take the payload with boot firmware")}
	case c.Name == chip.T194.Name && format == bup.V2:
		return nil
	case format == bup.V2:
		return problem.List{problem.Errorf(CheckType, "the file is a bare BUP of format V2, which is R32's; "+
			"firmware of %s (%s) takes a signed UEFI capsule with one of format V3", c.Name, boards).
			Then("build the payload in format V3, and the capsule around it")}
	case c.Name == chip.T194.Name:
		return problem.List{problem.Errorf(CheckType, "the file is a bare BUP of format V3; "+
			"%s (%s) takes one in a signed UEFI capsule only, and bare ones of format V2", c.Name, boards).Then(wrap)}
	}
	return problem.List{problem.Errorf(CheckType, "the file is a bare BUP; firmware of %s (%s) takes a signed UEFI capsule",
		c.Name, boards).Then(wrap)}
}

// judgeCapsule compares the image type with those of a chip. A device compares it with the fw_class of its ESRT, which
// an OEM may have changed (device tree fmp-image-type-id-guid, R38 and later).
func (in *inspection) judgeCapsule(c chip.Chip, boards string) problem.List {
	const next = "compare it with fw_class in /sys/firmware/efi/esrt/entries/entry0 of such a device"
	imageType := *in.report.ImageType
	of := chipOf(imageType)
	switch {
	case of == nil:
		return problem.List{problem.Warnf(CheckType, "no chip is known to have the capsule's image type %s; "+
			"%s (%s) has %s unless its maker changed it", imageType, c.Name, boards, c.ImageTypes[0]).Then(next)}
	case of.Name != c.Name:
		return problem.List{problem.Errorf(CheckType, "the capsule's image type %s is that of %s; %s (%s) refuses it",
			imageType, of.Name, c.Name, boards).
			Then("build the capsule for %s", c.Name)}
	case imageType != c.ImageTypes[0]:
		return problem.List{problem.Warnf(CheckType, "the capsule's image type %s is that of special products with %s; "+
			"others (%s) have %s and refuse it", imageType, c.Name, boards, c.ImageTypes[0]).Then(next)}
	}
	return nil
}

// judgeBoards resolves what each board needs. Boards of a chip that refuses the package anyway get no problem of their own.
func (in *inspection) judgeBoards(boards []Board, refused map[string]bool) problem.List {
	var list problem.List
	if len(boards) == 0 {
		list = append(list, problem.Warnf(CheckBoards, "no boards are named, so nothing was compared with the firmware").
			Then("name the fleet's boards in the release"))
	}
	in.report.Boards = []BoardReport{}
	for _, b := range boards {
		s := b.match(in.pkg, in.required(b.Chip))
		r := BoardReport{
			Name: b.Name, Spec: b.Spec, Chip: b.Chip.Name, Resolves: len(s.Missing) == 0, Missing: []Missing{}, Chosen: len(s.Chosen),
		}
		if compat := b.Compat; compat != "" {
			r.Compat = &compat
		}
		for _, m := range s.Missing {
			r.Missing = append(r.Missing, Missing(m))
		}
		in.report.Boards = append(in.report.Boards, r)
		if refused[b.Chip.Name] {
			continue
		}
		if !r.Resolves {
			list = append(list, problem.Errorf(CheckBoards, "%s: the %s has no %s for it (%s: %s)",
				b.Name, in.report.Kind, names(s.Missing), s.Missing[0].Name, s.Missing[0].Reason).
				Then("build it with that board's spec, or take the board out of the release"))
		} else if later := b.match(in.pkg, b.Chip.Required).Missing; in.report.Kind == "capsule" && len(later) > 0 {
			list = append(list, problem.Warnf(CheckBoards, "%s: devices that run R%d or later refuse the capsule, because it has no %s for them",
				b.Name, newLayout, names(later)).Then("add them to the payload, or keep the capsule to devices that run R%d", newLayout-1))
		}
	}
	return list
}

// required returns the names that a package must have. The running firmware asks for them, and its release is unknown
// here. The list of the package's own release is asked for by every device once the update is done, when the same package
// comes again for the other chain; older lists hold no name that it lacks, so that it covers the devices before, too.
//
// R32 has no list: a V2 package must have for each board whatever it has for any.
func (in *inspection) required(c chip.Chip) []string {
	if in.pkg.Header.Format == bup.V2 {
		return in.pkg.Names()
	}
	// A version of the maker's own says nothing about the release; VER does.
	for _, v := range []*capsule.Version{in.report.PackageVersion, in.report.FirmwareVersion} {
		if v != nil && c.Knows(*v) {
			return c.RequiredBy(*v)
		}
	}
	return c.Required
}

// judgeVersions says what the versions in the package mean for devices.
func (in *inspection) judgeVersions(boards []Board) problem.List {
	r := in.report
	var list problem.List
	if in.verError != nil && r.Format == bup.V3.String() {
		list = append(list, problem.Warnf(CheckVersion,
			"the %s's image VER cannot be read, %v: firmware will tell 0.0.0 as its version", r.Kind, in.verError).
			Then("build the payload again"))
	}
	if r.Kind == "bup" {
		return list
	}
	version, lowest := *r.FirmwareVersion, *r.LowestSupported
	differs := func(v capsule.Version) bool { return v != version }
	if i := slices.IndexFunc(in.verVersions, differs); i >= 0 {
		list = append(list, problem.Warnf(CheckVersion,
			"the capsule says version %s, the image VER in it %s, which firmware will tell once installed", version, in.verVersions[i]).
			Then("give GenerateCapsule the payload's version (--fw-version)"))
	}
	switch {
	case lowest > version:
		list = append(list, problem.Errorf(CheckFloor, "the capsule's lowest supported version %s is above its own version %s: "+
			"after this update not even the same capsule installs again", lowest, version).
			Then("build it with a lowest supported version of at most %s (meta-tegra: TEGRA_UEFI_LOWEST_SUPPORTED_VERSION)", version))
	case lowest > 0:
		list = append(list, problem.Warnf(CheckFloor, "%s", r.Floor).
			Then("if a way back to older firmware must stay open, build with a lower TEGRA_UEFI_LOWEST_SUPPORTED_VERSION (meta-tegra)"))
	}
	payload := version
	if r.PackageVersion != nil {
		payload = max(payload, *r.PackageVersion) // where the capsule's version is the maker's own
	}
	thorOnly := len(boards) > 0 && !slices.ContainsFunc(boards, func(b Board) bool { return b.Chip.Name != chip.T264.Name })
	if payload>>16 >= newLayout && !thorOnly { // Thor has never had older firmware
		list = append(list, problem.Warnf(CheckStep,
			"devices with firmware older than %s refuse %s, whose flash layout is newer", firstWithNewLayout, payload).
			Then("install %s or newer on them first", firstWithNewLayout))
	}
	return list
}

func names(missing []bup.Missing) string {
	var list []string
	for _, m := range missing {
		list = append(list, m.Name)
	}
	return strings.Join(list, ", ")
}
