package firmware_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
)

func TestParseBoards(t *testing.T) {
	for _, tt := range []struct {
		name string
		want [][4]string // name, spec, compat, chip
	}{
		{nanoSpec, [][4]string{{nanoSpec, nanoSpec, "3767--0005--1--jetson-orin-nano-devkit-", "T234"}}},
		{agxSpec, [][4]string{{agxSpec, agxSpec, "3701-300-0000--1--jetson-agx-orin-devkit-", "T234"}}},
		// As in /etc/nv_boot_control.conf of meta-tegra, with a boot device; and not production fused.
		{"3767-TS4-0000-A.1-0-1-p3768-0000-p3767-0000-nvme0n1p1", [][4]string{{"3767-TS4-0000-A.1-0-1-p3768-0000-p3767-0000-nvme0n1p1",
			"3767-TS4-0000-A.1-0-1-p3768-0000-p3767-0000-nvme0n1p1", "3767-TS4-0000--0--p3768-0000-p3767-0000-nvme0n1p1", "T234"}}},
		// A compatible spec.
		{"3701-300-0000--1--jetson-agx-orin-devkit-", [][4]string{{"3701-300-0000--1--jetson-agx-orin-devkit-",
			"3701-300-0000--1--jetson-agx-orin-devkit-", "3701-300-0000--1--jetson-agx-orin-devkit-", "T234"}}},
		{"3767--0005--1--jetson-orin-nano-devkit-", [][4]string{{"3767--0005--1--jetson-orin-nano-devkit-",
			"3767--0005--1--jetson-orin-nano-devkit-", "3767--0005--1--jetson-orin-nano-devkit-", "T234"}}},
		// No rule is known for Xavier.
		{"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1", [][4]string{{"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1",
			"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1", "", "T194"}}},
		{"p3767-0005", [][4]string{{"p3767-0005", "3767--0005--1--jetson-orin-nano-devkit-",
			"3767--0005--1--jetson-orin-nano-devkit-", "T234"}}},
		{"p3767-0000", [][4]string{{"p3767-0000", "3767--0000--1--jetson-orin-nano-devkit-",
			"3767-000-0000--1--jetson-orin-nano-devkit-", "T234"}}},
		{"p3767-0005/jetson-orin-nano-devkit-super", [][4]string{{"p3767-0005/jetson-orin-nano-devkit-super",
			"3767--0005--1--jetson-orin-nano-devkit-super-", "3767--0005--1--jetson-orin-nano-devkit-super-", "T234"}}},
		{"p3701-0000", [][4]string{
			{"p3701-0000 (fab 0xx, 1xx, 2xx, TSx, EBx)", "3701--0000--1--jetson-agx-orin-devkit-",
				"3701-000-0000--1--jetson-agx-orin-devkit-", "T234"},
			{"p3701-0000 (fab 3xx and later)", "3701--0000--1--jetson-agx-orin-devkit-", "3701-300-0000--1--jetson-agx-orin-devkit-", "T234"},
		}},
		{"p3701-0008", [][4]string{{"p3701-0008", "3701--0008--1--jetson-agx-orin-devkit-industrial-",
			"3701--0008--1--jetson-agx-orin-devkit-industrial-", "T234"}}},
		{"p3834-0008", [][4]string{{"p3834-0008", "3834--0008--1--jetson-agx-thor-devkit-", "3834--0008--1--jetson-agx-thor-devkit-", "T264"}}},
	} {
		var got [][4]string
		for _, b := range parse(t, tt.name) {
			got = append(got, [4]string{b.Name, b.Spec, b.Compat, b.Chip.Name})
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if len(parse(t)) != 0 {
		t.Error("boards out of nothing")
	}
	// All names together are different boards, one more for the fab of p3701-0000.
	if got, want := len(parse(t, append(firmware.Modules(), nanoSpec)...)), len(firmware.Modules())+2; got != want {
		t.Errorf("%d boards, want %d", got, want)
	}
}

func TestParseBoardsRefuses(t *testing.T) {
	for _, tt := range []struct {
		want  string
		names []string
	}{
		{`"": it is neither`, []string{""}},
		{`"p3767": it is neither`, []string{"p3767"}},
		{`"3767-0005": it is neither`, []string{"3767-0005"}},
		{`no such module`, []string{"p3767-0009"}},
		{`no such module`, []string{"p3768-0000"}},
		{`neither`, []string{"p3767-0005/"}},
		{`neither`, []string{"p3767-0005/jetson--nano"}},
		{`neither`, []string{"p3767-0005/jetson nano"}},
		{`neither`, []string{"P3767-0005"}},
		{`more than 127 characters`, []string{"p3767-0005/" + strings.Repeat("m", 120)}},
		{`neither`, []string{"3767-300-0005-K.2-1-0-" + strings.Repeat("m", 120) + "-"}},
		{`neither`, []string{"3767-300-0005-K.2-1-0-"}},
		{`neither`, []string{"3767-300-0005-K.2-1-0--"}},
		{`neither`, []string{"3767-300--K.2-1-0-jetson-orin-nano-devkit-"}},
		{`neither`, []string{"3767-300-0005-K.2--0-jetson-orin-nano-devkit-"}},
		{`neither`, []string{nanoSpec + "\n"}},
		{`neither`, []string{"3767-300-0005-K 2-1-0-jetson-orin-nano-devkit-"}},
		{`"devkit" at its end is no boot device`, []string{strings.TrimSuffix(nanoSpec, "-")}},
		{`"0003" at its end is no boot device`, []string{"3767-300-0003-N.2-1-0-p3768-0000-p3767-0003"}},
		{`no chip is known for board id 1234`, []string{"1234-300-0005-K.2-1-0-jetson-orin-nano-devkit-"}},
		{`leaves the fab open`, []string{"3701--0000--1--jetson-agx-orin-devkit-"}},
		{`it is the same as "p3767-0005"`, []string{"p3767-0005", "p3767-0004", "p3767-0005"}},
		{`it is the same as "p3767-0005"`, []string{"p3767-0005", "p3767-0005/jetson-orin-nano-devkit"}},
		{`it is the same as "p3701-0000"`, []string{"p3701-0000", "p3701-0000"}},
		{`it is the same as "p3767-0005"`, []string{"p3767-0005", "3767--0005--1--jetson-orin-nano-devkit-"}},
	} {
		boards, err := firmware.ParseBoards(tt.names)
		if err == nil || boards != nil || fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, %v (%v), want %q", tt.names, boards, err, fail.CodeOf(err), tt.want)
			continue
		}
		if !strings.Contains(tt.want, "the same") &&
			!strings.Contains(err.Error(), "p3701-0000, p3701-0004, p3701-0005, p3701-0008, p3767-0000") {
			t.Errorf("%q: %v does not list the modules", tt.names, err)
		}
	}
}

// specOf draws a spec out of few words, so that many fit each other.
func specOf(t *rapid.T, id, sku string, fab, rev, fuse, chipRev []string) string {
	return strings.Join([]string{
		id, rapid.SampledFrom(fab).Draw(t, "fab"), sku, rapid.SampledFrom(rev).Draw(t, "rev"), rapid.SampledFrom(fuse).Draw(t, "fuse"),
		rapid.SampledFrom(chipRev).Draw(t, "chip rev"), rapid.SampledFrom([]string{"m", "m-super"}).Draw(t, "machine"), "",
	}, "-")
}

func somePackage(t *rapid.T, id, sku string) *bup.Package {
	entries := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bup.Entry {
		e := bup.Entry{Name: rapid.SampledFrom([]string{"mb1", "mb2"}).Draw(t, "name"), OpMode: bup.OpMode(rapid.IntRange(0, 2).Draw(t, "mode"))}
		if rapid.IntRange(0, 9).Draw(t, "common") > 0 {
			e.Spec = specOf(t, id, rapid.SampledFrom([]string{sku, sku, "", "0009"}).Draw(t, "sku"),
				[]string{"", "000", "300", "500", "TS4", "RC1", "?"},
				[]string{"", "", "K.2", "A.1"}, []string{"", "0", "1"}, []string{"", "", "0", "1"})
		}
		return e
	}), 0, 6).Draw(t, "entries")
	return &bup.Package{Entries: entries}
}

// A module that resolves stands for every board of its kind: whatever fab and revision it has, firmware finds as much.
func TestModuleIsNeverMoreGenerousThanADevice(t *testing.T) {
	resolved, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		module := rapid.SampledFrom(firmware.Modules()).Draw(t, "module")
		id, sku := module[1:5], module[6:]
		p := somePackage(t, id, sku)
		required := []string{"mb1", "mb2"}[:rapid.IntRange(1, 2).Draw(t, "required")]
		machine := rapid.SampledFrom([]string{"m", "m-super"}).Draw(t, "module's machine")
		boards, err := firmware.ParseBoards([]string{module + "/" + machine})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range boards {
			if len(firmware.Match(b, p, required).Missing) > 0 {
				refused++
				return
			}
		}
		resolved++
		fabs := []string{"000", "100", "201", "300", "301", "500", "RC1", "K00"}
		if module != "p3767-0000" { // whose engineering samples only a TNSPEC names
			fabs = append(fabs, "TS4", "EB9")
		}
		device := strings.Join([]string{id, rapid.SampledFrom(fabs).Draw(t, "device's fab"), sku,
			rapid.SampledFrom([]string{"K.2", "A.1", "Z.9", ""}).Draw(t, "rev"),
			"1", rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "chip rev"), machine, ""}, "-")
		compat, err := bup.CompatSpec(device)
		if err != nil {
			t.Fatal(err)
		}
		if s := p.Match(device, compat, required); len(s.Missing) > 0 {
			t.Fatalf("%s resolves, %s lacks %v", module, device, s.Missing)
		}
	})
	if resolved < 5 || refused < 5 {
		t.Errorf("%d packages resolved, %d did not: the test says little", resolved, refused)
	}
}

// A full TNSPEC is judged as firmware judges it.
func TestFullSpecIsJudgedAsByFirmware(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		module := rapid.SampledFrom(firmware.Modules()).Draw(t, "module")
		p, required := somePackage(t, module[1:5], module[6:]), []string{"mb1", "mb2"}
		spec := specOf(t, module[1:5], module[6:], []string{"000", "300", "500", "TS4", "RC1"}, []string{"K.2", "A.1"},
			[]string{"0", "1"}, []string{"0", "1"})
		boards, err := firmware.ParseBoards([]string{spec})
		if err != nil {
			t.Fatal(err)
		}
		compat, err := bup.CompatSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(p.Match(spec, compat, required), firmware.Match(boards[0], p, required)); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParseBoards(f *testing.F) {
	for _, s := range []string{nanoSpec, agxSpec, "p3767-0005", "p3701-0000", "p3767-0005/jetson-orin-nano-devkit-super",
		"3701--0000--1--m-", "2888-1-1-1-1-1-m-", "--------"} {
		f.Add(s)
	}
	p := &bup.Package{Entries: []bup.Entry{{Name: "mb1", Spec: nano0005}, {Name: "mb2"}}}
	f.Fuzz(func(t *testing.T, name string) {
		boards, err := firmware.ParseBoards([]string{name})
		if err != nil {
			if fail.CodeOf(err) != fail.Data || boards != nil {
				t.Fatalf("%v, %v", boards, err)
			}
			return
		}
		for _, b := range boards {
			if len(b.Spec) > 127 || len(b.Compat) > 127 || b.Chip.Name == "" || !strings.HasPrefix(b.Name, name) || strings.Count(b.Spec, "-") < 7 {
				t.Fatalf("%q: %+v", name, b)
			}
			firmware.Match(b, p, []string{"mb1"})
		}
		if _, err := firmware.ParseBoards([]string{name, name}); err == nil {
			t.Fatalf("%q twice is no error", name)
		}
	})
}
