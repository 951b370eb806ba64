package firmware_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// of returns the findings of one check, as severity and reason.
func of(list problem.List, check string) []string {
	var lines []string
	for _, p := range list {
		if p.Check == check {
			lines = append(lines, string(p.Severity)+": "+p.Reason)
		}
	}
	return lines
}

// Which boards resolve which packages; "" stands for a board that resolves, else the names it lacks.
func TestBoards(t *testing.T) {
	const perBoard = "MB1_BCT MEM_BCT"
	everything := strings.Join(bup.RequiredT234, " ")
	versions := map[string]string{"R35 by the capsule's version": "35.6.4", "an unknown release may": "1.2.3"} // 36.4.3 for the others
	both := payload{specs: []string{nano0005, nano0004}}
	for _, tt := range []struct {
		about   string
		payload payload
		board   string
		want    []string // per board that the name stands for
	}{
		{"common to all", payload{}, "p3767-0005", []string{""}},
		{"a module", both, "p3767-0005", []string{""}},
		{"a full spec, which fits by the compatible one", both, nanoSpec, []string{""}},
		{"another module", both, "p3767-0004", []string{""}},
		{"a module it lacks", both, "p3767-0003", []string{perBoard}},
		{"a machine it lacks", both, "p3767-0005/jetson-orin-nano-devkit-super", []string{perBoard}},
		{"the super machine", payload{specs: []string{super}}, "p3767-0005/jetson-orin-nano-devkit-super", []string{""}},
		{"the super machine only", payload{specs: []string{super}}, "p3767-0005", []string{perBoard}},
		{"fab 300 only", payload{specs: []string{agx300}}, "p3701-0000", []string{perBoard, ""}},
		{"fab 000 only", payload{specs: []string{agx000}}, "p3701-0000", []string{"", perBoard}},
		{"both fabs", payload{specs: []string{agx300, agx000}}, "p3701-0000", []string{"", ""}},
		{"a new fab by its spec", payload{specs: []string{agx300}}, agxSpec, []string{""}},
		{"an old fab by its spec", payload{specs: []string{agx300}}, "3701-TS4-0000-A.1-1-1-jetson-agx-orin-devkit-", []string{perBoard}},
		// The fab of 3767-0005 is no part of its compatible spec, so that an entry's fab does not matter; its revision does.
		{"an entry's own revision, for a module", payload{specs: []string{nanoSpec}}, "p3767-0005", []string{""}},
		{"an entry's own fab of 3767-0000", payload{specs: []string{"3767-300-0000--1-0-jetson-orin-nano-devkit-"}},
			"p3767-0000", []string{perBoard}},
		{"the same by a full spec", payload{specs: []string{"3767-300-0000--1-0-jetson-orin-nano-devkit-"}},
			"3767-300-0000-R.1-1-0-jetson-orin-nano-devkit-", []string{""}},
		{"compat only entries", payload{specs: []string{"3767--0005--1--jetson-orin-nano-devkit-"}}, "p3767-0005", []string{""}},
		{"for boards without production fuses", payload{mode: bup.NonProduction}, "p3767-0005", []string{perBoard}},
		{"such a board", payload{mode: bup.NonProduction}, "3767-300-0005-K.2-0-0-jetson-orin-nano-devkit-", []string{""}},
		{"for production fused boards, another one", payload{mode: bup.Production},
			"3767--0005--0--jetson-orin-nano-devkit-", []string{perBoard}},
		{"names missing", payload{omit: []string{"mb1", "sc7", "secondary_gpt"}}, "p3767-0005", []string{"mb1 sc7"}},
		{"nothing but VER", payload{omit: bup.RequiredT234[:len(bup.RequiredT234)-1]}, "p3767-0005",
			[]string{strings.TrimSuffix(everything, " VER")}},
		{"R36 wants pva-fw", payload{omit: []string{"pva-fw"}}, "p3767-0005", []string{"pva-fw"}},
		{"R35 does not", payload{omit: []string{"pva-fw"}, ver: verText(version("35.6.4"))}, "p3767-0005", []string{""}},
		{"R35 by the capsule's version", payload{omit: []string{"pva-fw"}, ver: []byte("NV3\n")}, "p3767-0005", []string{""}},
		{"an unknown release may", payload{omit: []string{"pva-fw"}, ver: verText(version("1.0.0"))}, "p3767-0005", []string{"pva-fw"}},
		{"without a rule", payload{chip: chip.T194, specs: []string{"2888-400-0004--1-2-jetson-agx-xavier-devkit-"}},
			"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-", []string{""}},
		// Firmware would take this one for any board whose compatible spec is missing; nobody should count on that.
		{"without a rule, another board's", payload{chip: chip.T194, specs: []string{"2888-100-0001--1-2-xavier-"}},
			"2888-400-0004-M.0-1-2-xavier-", []string{perBoard}},
	} {
		boards := parse(t, tt.board)
		w := wrap{imageType: boards[0].Chip.ImageTypes[0], version: versions[tt.about]}
		r, list, err := firmware.Inspect(write(t, w.around(t, tt.payload)), boards)
		if err != nil {
			t.Fatal(err)
		}
		var got, wantProblems []string
		for i, b := range r.Boards {
			var names []string
			for _, m := range b.Missing {
				names = append(names, m.Name)
			}
			got = append(got, strings.Join(names, " "))
			if b.Resolves != (len(b.Missing) == 0) || b.Name != boards[i].Name {
				t.Errorf("%s: %+v", tt.about, b)
			}
			if !b.Resolves {
				wantProblems = append(wantProblems, "error: "+b.Name+": the capsule has no "+strings.Join(names, ", ")+
					" for it ("+names[0]+": "+b.Missing[0].Reason+")")
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.about, d)
		}
		lines := of(list, firmware.CheckBoards)
		if strings.HasPrefix(tt.about, "R35") { // but who goes back to it from R36 needs it
			wantProblems = []string{"warning: p3767-0005: devices that run R36 or later refuse the capsule, because it has no pva-fw for them"}
		}
		if d := cmp.Diff(wantProblems, lines); d != "" {
			t.Errorf("%s: %s", tt.about, d)
		}
	}
}

// The list of a release holds all that older ones do, which Inspect relies on.
func TestNewerReleasesAskForMore(t *testing.T) {
	for _, c := range chip.All {
		for _, name := range c.RequiredBy(0) {
			if !strings.Contains(" "+strings.Join(c.Required, " ")+" ", " "+name+" ") {
				t.Errorf("%s: older firmware asks for %s, newer does not", c.Name, name)
			}
		}
	}
}

func TestReportAsJSON(t *testing.T) {
	path := write(t, wrap{lowest: "36.4.0"}.around(t, payload{specs: []string{nano0005}}))
	r, _, err := firmware.Inspect(path, parse(t, "p3767-0005", "p3767-0004"))
	if err != nil {
		t.Fatal(err)
	}
	r.File, r.Size = "FILE", 0
	if r.Version() == nil || *r.Version() != version("36.4.3") {
		t.Errorf("version %v", r.Version())
	}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file":"FILE","kind":"capsule","format":"V3","size":0,"signed":true,"firmware_version":"36.4.3",` +
		`"lowest_supported_version":"36.4.0","image_type":"bf0d4599-20d4-414e-b2c5-3595b1cda402","package_version":"36.4.3",` +
		`"chip":"T234","boards":[` +
		`{"name":"p3767-0005","spec":"3767--0005--1--jetson-orin-nano-devkit-","compat":"3767--0005--1--jetson-orin-nano-devkit-",` +
		`"chip":"T234","resolves":true,"missing":[],"chosen":23},` +
		`{"name":"p3767-0004","spec":"3767--0004--1--jetson-orin-nano-devkit-","compat":"3767--0004--1--jetson-orin-nano-devkit-",` +
		`"chip":"T234","resolves":false,"missing":[{"name":"MB1_BCT","reason":"the package has 1 image for other boards: ` + nano0005 + `"},` +
		`{"name":"MEM_BCT","reason":"the package has 1 image for other boards: ` + nano0005 + `"}],"chosen":20}],` +
		`"floor":"after this update no firmware older than 36.4.0 installs"}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
	path = write(t, payload{format: bup.V2, chip: chip.T194, ver: []byte("NV3\n"), gap: 3}.build(t))
	r, _, err = firmware.Inspect(path, parse(t, "2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1"))
	if err != nil {
		t.Fatal(err)
	}
	r.Size = 0
	got, _ = json.Marshal(r)
	want = `{"file":"` + path + `","kind":"bup","format":"V2","size":0,"signed":false,"firmware_version":null,` +
		`"lowest_supported_version":null,"image_type":null,"package_version":null,"chip":null,"boards":[` +
		`{"name":"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1",` +
		`"spec":"2888-400-0004-M.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1","compat":null,` +
		`"chip":"T194","resolves":true,"missing":[],"chosen":19}],"floor":""}`
	if d := cmp.Diff(want, string(got)); d != "" || r.Version() != nil {
		t.Error(d, r.Version())
	}
}

// A compressed file is the same package; one whose name looks like stdin is a file.
func TestInspectReadsCompressed(t *testing.T) {
	plain := wrap{}.around(t, payload{})
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chdir(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Chdir(here); err != nil {
			t.Fatal(err)
		}
	}()
	if err := os.WriteFile("-", w.EncodeAll(plain, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _, err := firmware.Inspect("-", parse(t, "p3767-0005"))
	if err != nil || r.Size != int64(len(plain)) || r.PackageVersion == nil || !r.Boards[0].Resolves || r.File != "-" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestInspectRefuses(t *testing.T) {
	sound, bare := wrap{}.around(t, payload{}), payload{}.build(t)
	changed := append([]byte{}, sound...)
	changed[len(changed)-1] ^= 1 // of VER, after all was signed
	for _, tt := range []struct {
		about, want string
		data        []byte
	}{
		{"empty", "it is empty", []byte{}},
		{"text", "this is neither a UEFI capsule (.Cap) nor a BUP", []byte("#!/bin/sh\necho this is no firmware at all\n")},
		{"short", "neither", []byte("short")},
		{"capsule cut in its header", "cannot read capsule", sound[:40]},
		{"capsule cut in its images", "the file ends here", sound[:len(sound)-1]},
		{"capsule with more behind", "goes on behind", append(append([]byte{}, sound...), 0)},
		{"capsule changed after signing", "digest", changed},
		{"BUP cut in its table", "entry table", bare[:100]},
		{"BUP cut in its images", "the file ends here", bare[:len(bare)-1]},
		{"BUP with more behind", "goes on behind", append(append([]byte{}, bare...), 0)},
		{"zstd cut", "cannot decompress", []byte("\x28\xb5\x2f\xfd\x04\x00\x00")},
	} {
		path := write(t, tt.data)
		r, list, err := firmware.Inspect(path, parse(t, "p3767-0005"))
		if r != nil || list != nil || fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), tt.want) ||
			!strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v (%v)", tt.about, err, fail.CodeOf(err))
		}
	}
	for _, path := range []string{t.TempDir() + "/missing", "", t.TempDir()} {
		if _, _, err := firmware.Inspect(path, nil); fail.CodeOf(err) != fail.IO {
			t.Errorf("%q: %v (%v)", path, err, fail.CodeOf(err))
		}
	}
}
