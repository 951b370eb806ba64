package bup_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

func entry(name, spec string, mode bup.OpMode) bup.Entry {
	return bup.Entry{Name: name, Spec: spec, OpMode: mode}
}

const (
	nonProductionSpec = "3767-300-0005-K.2-0-0-jetson-orin-nano-devkit-"
	nanoEntry         = "3767-000-0005--1-0-jetson-orin-nano-devkit-" // not the board's fab: fits the compatible spec only
	otherSKU          = "3767-000-0000--1-0-jetson-orin-nano-devkit-"
)

// One row for each rule of FwPackageGetImageIndex, FwPackageCheckTnSpec and GetFuseSettings.
func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		name         string
		entries      []bup.Entry
		spec, compat string
		want         int // index chosen for mb1, -1 for none
		reason       string
	}{
		{"name differs", []bup.Entry{entry("mb1_b", "", 0), entry("MB1", "", 0)}, nanoSpec, nanoCompat, -1, "no image of that name"},
		{"for all boards", []bup.Entry{entry("mb2", "", 0), entry("mb1", "", 0)}, nanoSpec, nanoCompat, 1, ""},
		{"first for all boards is kept", []bup.Entry{entry("mb1", "", 0), entry("mb1", "", 0)}, nanoSpec, nanoCompat, 0, ""},
		{"non-production image, production board", []bup.Entry{entry("mb1", "", 1)}, nanoSpec, nanoCompat, -1, "without production fuses only"},
		{"production image, production board", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, nanoSpec, nanoCompat, 1, ""},
		{"production image, non-production board", []bup.Entry{entry("mb1", "", 2)}, nonProductionSpec, nanoCompat, -1, "production fused boards only"},
		{"non-production image, non-production board", []bup.Entry{entry("mb1", "", 2), entry("mb1", "", 1)}, nonProductionSpec, nanoCompat, 1, ""},
		{"fuse level 2 is production", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, "3767-300-0005-K.2-2-0-m-", nanoCompat, 1, ""},
		{"fuse level 00 is production", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, "3767-300-0005-K.2-00-0-m-", nanoCompat, 1, ""},
		{"spec that ends at the fuse level is production", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, "3767-300-0005-K.2-0", nanoCompat, 1, ""},
		{"spec of few fields is production", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, "0-0-", nanoCompat, 1, ""},
		{"no spec is production", []bup.Entry{entry("mb1", "", 1), entry("mb1", "", 2)}, "", nanoCompat, 1, ""},
		{"full spec wins over what stands before it", []bup.Entry{entry("mb1", "", 0), entry("mb1", nanoEntry, 0), entry("mb1", nanoSpec, 0)}, nanoSpec, nanoCompat, 2, ""},
		{"first full spec wins", []bup.Entry{entry("mb1", nanoSpec, 0), entry("mb1", nanoSpec, 0)}, nanoSpec, nanoCompat, 0, ""},
		{"a wildcard entry is a full match", []bup.Entry{entry("mb1", nanoEntry, 0), entry("mb1", "3767--0005-----jetson--nano--", 0), entry("mb1", "3767--0005----orin-nano-devkit-", 0)}, nanoSpec, nanoCompat, 0, ""},
		{"full spec with empty fields", []bup.Entry{entry("mb1", "", 0), entry("mb1", "3767--0005--1--jetson-orin-nano-devkit-", 0)}, nanoSpec, "-------", 1, ""},
		{"compatible spec", []bup.Entry{entry("mb1", otherSKU, 0), entry("mb1", nanoEntry, 0)}, nanoSpec, nanoCompat, 1, ""},
		{"first compatible is kept", []bup.Entry{entry("mb1", nanoEntry, 0), entry("mb1", nanoEntry, 0)}, nanoSpec, nanoCompat, 0, ""},
		{"for all boards before compatible", []bup.Entry{entry("mb1", "", 0), entry("mb1", nanoEntry, 0)}, nanoSpec, nanoCompat, 0, ""},
		{"compatible before for all boards", []bup.Entry{entry("mb1", nanoEntry, 0), entry("mb1", "", 0)}, nanoSpec, nanoCompat, 0, ""},
		{"full spec of the wrong fuse mode", []bup.Entry{entry("mb1", nanoEntry, 0), entry("mb1", nanoSpec, 1)}, nanoSpec, nanoCompat, 0, ""},
		{"other boards", []bup.Entry{
			entry("mb1", otherSKU, 0), entry("mb1", agxSpec, 0), entry("mb1", "a-b", 0), entry("mb1", "c-d", 0), entry("mb1", "c-d", 2), entry("mb1", "", 1),
		}, nanoSpec, nanoCompat, -1, "5 images for other boards: " + otherSKU + ", " + agxSpec + ", a-b and 1 more"},
		{"another machine name of as many fields", []bup.Entry{entry("mb1", "3767-000-0005--1-0-jetson-orin-nano-super-", 0)}, nanoSpec, nanoCompat, -1, "1 image for other boards"},
		{"another number of fields", []bup.Entry{entry("mb1", "3767-000-0005--1-0-jetson-orin-nano-devkit-super-", 0)}, nanoSpec, nanoCompat, -1, "1 image for other boards"},
		{"case matters", []bup.Entry{entry("mb1", "3767-300-0005-k.2-1-0-jetson-orin-nano-devkit-", 0)}, nanoSpec, "x", -1, "1 image for other boards"},
		{"missing compatible spec fits eight fields", []bup.Entry{entry("mb1", "3701-000-0000--1-0-other-", 0)}, "", "", 0, ""},
		{"missing compatible spec fits no more than eight fields", []bup.Entry{entry("mb1", nanoEntry, 0)}, "", "", -1, "1 image for other boards"},
		{"no spec, compatible spec", []bup.Entry{entry("mb1", nanoEntry, 0)}, "", nanoCompat, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := &bup.Package{Entries: tt.entries}
			s := p.Match(tt.spec, tt.compat, []string{"mb1"})
			got, ok := s.Chosen["mb1"]
			if !ok {
				got = -1
			}
			if got != tt.want {
				t.Errorf("chose %d, want %d", got, tt.want)
			}
			if (len(s.Missing) == 1) == ok {
				t.Errorf("missing %v, chosen %v", s.Missing, s.Chosen)
			}
			if len(s.Missing) == 1 && (s.Missing[0].Name != "mb1" || !strings.Contains(s.Missing[0].Reason, tt.reason) || tt.reason == "") {
				t.Errorf("missing %+v, want a reason with %q", s.Missing[0], tt.reason)
			}
		})
	}
}

func TestMatchReportsAll(t *testing.T) {
	p := &bup.Package{Entries: []bup.Entry{entry("mb1", "", 0), entry("extra", "", 0), entry("mb2", agxSpec, 0)}}
	got := p.Match(nanoSpec, "", []string{"mb2", "mb1", "VER"})
	want := bup.Selection{
		Spec: nanoSpec, Compat: "-------", Production: true,
		Chosen: map[string]int{"mb1": 0, "extra": 1},
		Missing: []bup.Missing{
			{Name: "mb2", Reason: "the package has 1 image for other boards: " + agxSpec},
			{Name: "VER", Reason: "the package has no image of that name"},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// reference is firmware's loop for one name, with strsep, break and continue as in C.
func reference(entries []bup.Entry, name string, production bool, compat string, full *string) int {
	check := func(s1, s2 string) bool {
		tokens := func(s string) (list []string) {
			for {
				i := strings.IndexByte(s, '-')
				if i < 0 {
					return append(list, s)
				}
				list = append(list, s[:i])
				s = s[i+1:]
			}
		}
		t1, t2 := tokens(s1), tokens(s2)
		if len(t1) != len(t2) {
			return false
		}
		for i := range t1 {
			if t1[i] == "" || t2[i] == "" {
				continue
			}
			if t1[i] != t2[i] {
				return false
			}
		}
		return true
	}
	found := -1
	for i, e := range entries {
		if e.Name != name {
			continue
		}
		if e.OpMode != 0 && (production && e.OpMode != 2 || !production && e.OpMode != 1) {
			continue
		}
		if len(e.Spec) > 0 {
			if full != nil && check(*full, e.Spec) {
				return i
			}
			if !check(compat, e.Spec) {
				continue
			}
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// productionInC walks over the spec as GetFuseSettings does.
func productionInC(spec string) bool {
	if spec == "" {
		return true
	}
	s := spec + "\x00\x00"
	at := 0
	for range 4 {
		for s[at] != 0 {
			at++
			if s[at-1] == '-' {
				break
			}
		}
	}
	return !(s[at] == '0' && s[at+1] == '-')
}

func TestMatchLikeReference(t *testing.T) {
	spec := rapid.StringMatching(`[01]?(-[01]?){0,4}`)
	rapid.Check(t, func(t *rapid.T) {
		p := &bup.Package{Entries: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bup.Entry {
			return entry(rapid.SampledFrom([]string{"mb1", "mb2"}).Draw(t, "name"), spec.Draw(t, "spec"),
				bup.OpMode(rapid.Uint32Range(0, 2).Draw(t, "mode")))
		}), 0, 8).Draw(t, "entries")}
		full, compat := spec.Draw(t, "full"), spec.Draw(t, "compat")
		s := p.Match(full, compat, []string{"mb1", "mb2", "mb3"})
		if s.Production != productionInC(full) {
			t.Fatalf("production %v for %q", s.Production, full)
		}
		fullPointer, wantCompat := &full, compat
		if full == "" {
			fullPointer = nil
		}
		if compat == "" {
			wantCompat = "-------"
		}
		missing := map[string]bool{}
		for _, m := range s.Missing {
			missing[m.Name] = true
		}
		for _, name := range []string{"mb1", "mb2", "mb3"} {
			want := reference(p.Entries, name, s.Production, wantCompat, fullPointer)
			got, ok := s.Chosen[name]
			if !ok {
				got = -1
			}
			if got != want || missing[name] != (want < 0) {
				t.Errorf("%s: chose %d, missing %v, want %d", name, got, missing[name], want)
			}
		}
	})
}

func TestCompatSpec(t *testing.T) {
	for spec, want := range map[string]string{
		nanoSpec: nanoCompat,
		agxSpec:  "3701-300-0000--1--jetson-agx-orin-devkit-",
		"3701-000-0000-A.0-1-2-jetson-agx-orin-devkit-":       "3701-000-0000--1--jetson-agx-orin-devkit-",
		"3701-199-0000-A.0-1-2-jetson-agx-orin-devkit-":       "3701-000-0000--1--jetson-agx-orin-devkit-",
		"3701-200-0000-A.0-0-2-jetson-agx-orin-devkit-":       "3701-000-0000--0--jetson-agx-orin-devkit-",
		"3701-TS4-0000-A.0-1-2-jetson-agx-orin-devkit-":       "3701-000-0000--1--jetson-agx-orin-devkit-",
		"3701-EB1-0000-A.0-1-2-jetson-agx-orin-devkit-":       "3701-000-0000--1--jetson-agx-orin-devkit-",
		"3701-300-0000-A.0-1-2-jetson-agx-orin-devkit-super-": "3701-300-0000--1--jetson-agx-orin-devkit-super-",
		"3701-500-0004-A.0-1-2-m-":                            "3701--0004--1--m-",
		"3701-500-0005-A.0-1-2-m-":                            "3701--0005--1--m-",
		"3701-500-0008-A.0-1-2-m-":                            "3701--0008--1--m-",
		"3767-300-0000-A.0-1-2-m-":                            "3767-000-0000--1--m-",
		"3767-300-0002-A.0-1-2-m-":                            "3767-000-0002--1--m-",
		"3767-TS1-0000-A.0-1-2-m-":                            "3767-TS1-0000--1--m-",
		"3767-EB2-0002-A.0-1-2-m-":                            "3767-EB2-0002--1--m-",
		"3767-TS1-0001-A.0-1-2-m-":                            "3767--0001--1--m-",
		"3767-300-0003-A.0-1-2-m-":                            "3767--0003--1--m-",
		"3767-300-0004-A.0-1-2-m-":                            "3767--0004--1--m-",
		"3834-400-0008-A.0-1-2-jetson-agx-thor-devkit-":       "3834--0008--1--jetson-agx-thor-devkit-",
	} {
		if got, err := bup.CompatSpec(spec); err != nil || got != want {
			t.Errorf("CompatSpec(%s) = %q, %v, want %q", spec, got, err, want)
		}
	}
	for _, spec := range []string{"", "3767-300-0005", "2888-400-0004-M.0-1-2-xavier-", "3767-300-0009-A.0-1-2-m-", "3701-300-0001-A.0-1-2-m-", "3701-300--A.0-1-2-m-"} {
		if got, err := bup.CompatSpec(spec); err == nil {
			t.Errorf("CompatSpec(%q) = %q, want an error", spec, got)
		}
	}
}

func TestRequiredNames(t *testing.T) {
	for name, tt := range map[string]struct {
		list  []string
		count int
	}{
		"T234": {bup.RequiredT234, 21}, "T234 R35": {bup.RequiredT234R35, 20}, "T264": {bup.RequiredT264, 14}, "T194": {bup.RequiredT194, 17},
	} {
		seen := map[string]bool{}
		for _, n := range tt.list {
			seen[n] = true
		}
		if len(seen) != tt.count || len(tt.list) != tt.count {
			t.Errorf("%s: %d names, %d different, want %d", name, len(tt.list), len(seen), tt.count)
		}
	}
}
