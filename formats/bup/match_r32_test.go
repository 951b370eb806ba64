package bup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

const nxSpec = "3668-200-0001-F.1-1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1"

func pkgR32(entries ...bup.Entry) *bup.Package {
	return &bup.Package{Header: bup.Header{Format: bup.V2}, Entries: entries}
}

// One entry fits a board or does not: the rule of tegra-boot-tools, field by field.
func TestR32EntryFitsBoard(t *testing.T) {
	for _, tt := range []struct {
		name, entry, spec, compat string
		mode                      bup.OpMode
		want                      bool
	}{
		{"the board's own", nxSpec, nxSpec, "-", 0, true},
		{"for all boards", "", nxSpec, "-", 0, true},
		{"for all boards, board unknown", "", "", "", 0, true},
		{"another board, board unknown", nxSpec, "", "", 0, false},
		{"another SKU", strings.Replace(nxSpec, "0001", "0000", 1), nxSpec, "-", 0, false},
		{"empty in the entry", "3668----1--jetson-xavier-nx-devkit-emmc-", nxSpec, "-", 0, true},
		{"empty in the board", nxSpec, "3668----1--jetson-xavier-nx-devkit-emmc-", "-", 0, true},
		{"another machine with as many hyphens", "3668----1--jetson-xavier-nx-devkit-sd-", nxSpec, "-", 0, false},
		{"another machine with fewer hyphens", "3668----1--jetson-", nxSpec, "-", 0, false},
		{"internal is mmcblk0p1", nxSpec, strings.Replace(nxSpec, "mmcblk0p1", "internal", 1), "-", 0, true},
		{"internal is not mmcblk0p", strings.TrimSuffix(nxSpec, "1"), strings.Replace(nxSpec, "mmcblk0p1", "internal", 1), "-", 0, false},
		{"internal in the entry only", strings.Replace(nxSpec, "mmcblk0p1", "internal", 1), nxSpec, "-", 0, false},
		{"fewer fields", "3668-200-0001", nxSpec, "-", 0, false},
		{"by the compatible spec given", "3668-100---1--jetson-xavier-nx-devkit-emmc-", nxSpec, "3668-100---1--jetson-xavier-nx-devkit-emmc-", 0, true},
		{"by the compatible spec derived", "3668-100---1--jetson-xavier-nx-devkit-emmc-", nxSpec, "", 0, true},
		{"not by another compatible spec", "3668-100---1--jetson-xavier-nx-devkit-emmc-", nxSpec, "3668-301---1--jetson-xavier-nx-devkit-emmc-", 0, false},
		{"for unfused boards", nxSpec, nxSpec, "-", bup.NonProduction, false},
		{"for fused boards", nxSpec, nxSpec, "-", bup.Production, true},
	} {
		s := pkgR32(bup.Entry{Name: "mb1", Spec: tt.entry, OpMode: tt.mode}).MatchR32(tt.spec, tt.compat, nil)
		if _, got := s.Chosen["mb1"]; got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The board's own entry wins over a compatible one wherever it stands, and the first wins over later ones.
func TestR32PrefersTheBoardsOwn(t *testing.T) {
	common := bup.Entry{Name: "mb1"}
	compat := bup.Entry{Name: "mb1", Spec: "3668-100---1--jetson-xavier-nx-devkit-emmc-"}
	own := bup.Entry{Name: "mb1", Spec: nxSpec}
	for _, tt := range []struct {
		entries []bup.Entry
		want    int
	}{
		{[]bup.Entry{common, compat, own, own}, 2},
		{[]bup.Entry{own, compat, common}, 0},
		{[]bup.Entry{compat, common}, 0},
		{[]bup.Entry{common, compat}, 0},
	} {
		if got := pkgR32(tt.entries...).MatchR32(nxSpec, "", nil).Chosen["mb1"]; got != tt.want {
			t.Errorf("%v: %d, want %d", tt.entries, got, tt.want)
		}
	}
}

// Missing are the required names and those that the package has for other boards only, each once and with a reason.
func TestR32NamesWhatIsMissing(t *testing.T) {
	other := "3310-B00-1000--1-0-jetson-tx2-mmcblk0p1"
	p := pkgR32(bup.Entry{Name: "mb1"}, bup.Entry{Name: "BCT", Spec: other}, bup.Entry{Name: "MB1_BCT", Spec: other},
		bup.Entry{Name: "mb2", OpMode: bup.NonProduction, Spec: other})
	want := []bup.Missing{
		{Name: "sc7", Reason: "the package has no image of that name"},
		{Name: "MB1_BCT", Reason: "the package has 1 image for other boards: " + other},
		{Name: "BCT", Reason: "the package has 1 image for other boards: " + other},
	}
	if d := cmp.Diff(want, p.MatchR32(nxSpec, "", []string{"mb1", "sc7", "MB1_BCT"}).Missing); d != "" {
		t.Error(d)
	}
}

// The families of boards (tegra-boot-tools bup.c).
func TestCompatSpecR32(t *testing.T) {
	for _, tt := range []struct{ spec, want string }{
		{nxSpec, "3668-100-- -1--jetson-xavier-nx-devkit-emmc-"},
		{"3668-301-0000-A.0-1-2-x-y", "3668-301---1--x-"},
		{"3310-D01-1000-B.0-1-0-tx2-mmcblk0p1", "3310-B01---1--tx2-"},
		{"3310-B00-1000-B.0-1-0-tx2-mmcblk0p1", "3310-B00---1--tx2-"},
		{"3489-100-0888-A.0-1-0-tx2i-mmcblk0p1", "3489-200---1--tx2i-"},
		{"3489-300-0888-A.0-1-0-tx2i-mmcblk0p1", "3489-300---1--tx2i-"},
		{"3636-301-0001-D.0-1-0-tx2-nx-mmcblk0p1", "3636--0001--1--tx2-nx-"},
		{"2888-400-0004-L.0-1-2-agx-mmcblk0p1", "2888-400-0004--1-2-agx-"},
		{"2888-400-0001-B.1-1-2-agx-mmcblk0p1", "2888-400-0001-D.0-1-2-agx-"},
		{"2888-400-0000-K.1-1-2-agx-mmcblk0p1", "2888-400-0001-E.0-1-2-agx-"},
		{"2888-400-0000--1-2-agx-mmcblk0p1", "2888-400-0001--1-2-agx-"},
		{"2888-600-0008-K.1-1-2-agx-mmcblk0p1", "2888-600-0008--1-2-agx-"},
		{"2888-500-0000-K.1-1-2-agx-mmcblk0p1", "2888-500-0000-K.1-1-2-agx-"},
		{"9999-500-0000-K.1-1-2-mine-mmcblk0p1", "9999-500-0000-K.1-1-2-mine-"},
		{"2888-400-0004-L.0-1-2-agx", ""},
		{"288-400-0004-L.0-1-2-agx-x", ""},
		{"", ""},
	} {
		if got := bup.CompatSpecR32(tt.spec); got != strings.ReplaceAll(tt.want, " ", "") {
			t.Errorf("%q: %q, want %q", tt.spec, got, tt.want)
		}
	}
}

// Whatever a package holds: what is chosen exists, is of that name, and is no entry for unfused boards; what is not is Missing if it
// was required; and the derived compatible spec fits its board's family, so that deriving it again changes nothing.
func TestR32MatchIsConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.StringMatching(`(3668|2888|3310|9999)-([12]00|B0[01])-000[01]-[A-F]\.0-1-[0-2]-[ab](-[ab])?-(internal|mmcblk0p1)?`)
		required := rapid.SliceOfN(rapid.SampledFrom([]string{"mb1", "mb2", "sc7"}), 0, 3).Draw(t, "required")
		var p bup.Package
		for range rapid.IntRange(0, 8).Draw(t, "entries") {
			e := bup.Entry{Name: rapid.SampledFrom([]string{"mb1", "mb2", "BCT"}).Draw(t, "name"), OpMode: bup.OpMode(rapid.IntRange(0, 2).Draw(t, "mode"))}
			if rapid.Bool().Draw(t, "has a spec") {
				e.Spec = spec.Draw(t, "entry")
			}
			p.Entries = append(p.Entries, e)
		}
		board := spec.Draw(t, "board")
		s := p.MatchR32(board, "", required)
		for name, i := range s.Chosen {
			if e := p.Entries[i]; e.Name != name || e.OpMode == bup.NonProduction {
				t.Fatalf("%s: entry %d is %+v", name, i, e)
			}
		}
		for _, name := range required {
			_, chosen := s.Chosen[name]
			if missing := slices.ContainsFunc(s.Missing, func(m bup.Missing) bool { return m.Name == name }); missing == chosen {
				t.Fatalf("%s: chosen %v, missing %v", name, chosen, missing)
			}
		}
		if again := bup.CompatSpecR32(s.Compat); again != s.Compat {
			t.Fatalf("%q of %q is not stable: %q", s.Compat, board, again)
		}
	})
}
