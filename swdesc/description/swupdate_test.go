package description_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// shape is a description that SWUpdate has to accept, and what its log then says and does not say.
type shape struct {
	name      string
	software  description.Node
	members   []string
	args      []string
	says, not []string
}

func shapes() []shape {
	image := func(file, device string) description.Artifact {
		return description.Artifact{Filename: file, Type: "raw", Device: device, SHA256: hash()}
	}
	streamed := image("rootfs", "/dev/null")
	streamed.InstalledDirectly, streamed.Name, streamed.Version, streamed.Offset = true, "root", "7", "4096"
	streamed.Properties = []description.Property{{Name: "partition", Values: []string{"APP"}},
		{Name: "urls", Values: []string{"a", "b"}, List: true}}
	script := description.Artifact{Filename: "done.sh", Type: "shellscript", SHA256: hash()}
	hooked := image("kernel", "/dev/wrong")
	hooked.Hook = "pick"
	base := func(n description.Node) description.Node {
		n.Version, n.HardwareCompatibility = "2.1", []string{"9.9", `#RE:^1\.[0-9]$`}
		return n
	}
	slots := base(description.Node{Children: []description.Child{
		{Name: "stable", Node: description.Node{Children: []description.Child{
			{Name: "slot_a", Node: description.Node{Images: []description.Artifact{image("rootfs", "/dev/slot-a")}}},
			{Name: "slot_b", Node: description.Node{Images: []description.Artifact{image("rootfs", "/dev/slot-b")}}},
			{Name: "slot_c", Node: description.Node{Ref: "#./slot_b"}},
		}}}}})
	selected := func(mode string) []string { return []string{"-e", "stable," + mode} }
	return []shape{
		{"images and scripts", base(description.Node{Images: []description.Artifact{image("kernel", "/dev/null"), streamed},
			Scripts: []description.Artifact{script}, BootEnv: []description.Variable{{Name: "slot", Value: "b"}}}),
			[]string{"kernel", "rootfs", "done.sh"}, nil,
			[]string{"Version 2.1", "Found Image: kernel in device : /dev/null for handler raw\n",
				"Found Image root 7: rootfs in device : /dev/null for handler raw (installed from stream)", "Property partition: APP",
				"Property urls: a", "Property urls: b", "Found Script: done.sh", "Bootloader var: slot = b"}, nil},
		{"selection", slots, []string{"rootfs"}, selected("slot_b"), []string{"device : /dev/slot-b"}, []string{"/dev/slot-a"}},
		{"link", slots, []string{"rootfs"}, selected("slot_c"), []string{"device : /dev/slot-b"}, []string{"/dev/slot-a"}},
		{"board", base(description.Node{Images: []description.Artifact{image("kernel", "/dev/null")}, Children: []description.Child{
			{Name: "board", Node: description.Node{Images: []description.Artifact{image("rootfs", "/dev/null")}}}}}),
			[]string{"rootfs"}, nil, []string{"Found Image: rootfs"}, []string{"kernel"}},
		{"links of entries and settings", base(description.Node{Images: []description.Artifact{{Ref: "#./more"}},
			Links: []description.Link{{Name: "scripts", Ref: "#./again"}},
			Lists: []description.List{{Name: "more", Artifacts: []description.Artifact{image("rootfs", "/dev/null")}},
				{Name: "again", Artifacts: []description.Artifact{script}}}}),
			[]string{"rootfs", "done.sh"}, nil, []string{"Found Image: rootfs", "Found Script: done.sh"}, nil},
		{"links of a strange path", base(description.Node{Images: []description.Artifact{{Ref: "#./no/such/../../more"}, {Ref: "#software/more"}},
			Lists: []description.List{{Name: "more", Artifacts: []description.Artifact{image("rootfs", "/dev/null")}}}}),
			[]string{"rootfs"}, nil, []string{"Found Image: rootfs"}, nil},
		{"hook", base(description.Node{Images: []description.Artifact{hooked},
			EmbeddedScript: "require(\"swupdate\")\nfunction pick(image)\n\timage.device = \"/dev/picked\"\n\treturn true, image\nend\n"}),
			[]string{"kernel"}, nil, []string{"device : /dev/picked"}, nil},
	}
}

// The real SWUpdate accepts what both printers write, and finds in it what the model says.
func TestSWUpdateAccepts(t *testing.T) {
	cert, key := signer(t)
	for _, s := range shapes() {
		for _, p := range printers {
			s, p := s, p
			t.Run(s.name+"/"+string(p.format), func(t *testing.T) {
				t.Parallel()
				d := &description.Description{Software: s.software}
				var text bytes.Buffer
				if err := p.print(d, &text); err != nil {
					t.Fatal(err)
				}
				_, problems, err := description.Read(d.Tree())
				if err != nil || len(problems) > 0 {
					t.Errorf("we find %v %v", err, problems)
				}
				code, log := check(t, cert, key, text.Bytes(), s.members, s.args...)
				if code != 0 {
					t.Errorf("exit code %d", code)
				}
				expect(t, log, s.says, s.not)
				if t.Failed() {
					t.Logf("%s\n%s", text.Bytes(), log)
				}
			})
		}
	}
}

func expect(t *testing.T, log string, says, not []string) {
	t.Helper()
	for _, want := range says {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q", want)
		}
	}
	for _, never := range not {
		if strings.Contains(log, never) {
			t.Errorf("the log has %q", never)
		}
	}
}

// A circle of lists is worth an error: the real SWUpdate dies in it.
func TestSWUpdateDiesInACircle(t *testing.T) {
	t.Parallel()
	cert, key := signer(t)
	text := `software = { version = "1"; hardware-compatibility = [ "1.0" ]; ` +
		`images: ( { ref = "#./more"; } ); more: ( { ref = "#./images"; } ); };`
	_, _, problems, err := description.Parse([]byte(text))
	if err != nil || len(problems) != 2 || problems[0].Check != "link" || !strings.Contains(problems[0].Reason, "circle") {
		t.Errorf("we find %v %v", err, problems)
	}
	code, log := check(t, cert, key, []byte(text), nil)
	if code == 0 || strings.Contains(log, "ERROR") || strings.Count(log, "Link found, following") < 100 {
		t.Errorf("exit code %d\n%.4000s", code, log)
	}
}

// What we report, SWUpdate indeed does not see: it says nothing and goes on without it.
func TestSWUpdateIgnoresWhatWeReport(t *testing.T) {
	cert, key := signer(t)
	entry := func(more string) string {
		return `software = { version = "1"; hardware-compatibility = [ "1.0" ]; ` +
			`images: ( { filename = "rootfs"; type = "raw"; device = "/dev/null"; sha256 = "` + hash() + `"; ` + more + ` } ); };`
	}
	const found = "Found Image: rootfs in device : /dev/null for handler raw"
	for _, c := range []struct {
		name, text, check string
		says, not         []string
	}{
		{"known, as a control", entry(`installed-directly = true; properties: { size = "123"; };`), "",
			[]string{found + " (installed from stream)", "Property size: 123"}, nil},
		{"unknown attribute", entry(`instaled-directly = true;`), "unknown-attribute", []string{found},
			[]string{"installed from stream"}},
		{"flag as a string", entry(`installed-directly = "true";`), "attribute-type", []string{found}, []string{"installed from stream"}},
		{"flag as a number before 2024.05", entry(`installed-directly = 1;`), "attribute-type", []string{"installed from stream"}, nil},
		{"string as a number", entry(`name = 48151623; path = "/p";`), "attribute-type",
			[]string{"Found Image: rootfs in device : /p"}, []string{"48151623"}},
		{"property as a number", entry(`properties: { size = 123; other = "x"; };`), "property-type", []string{found, "Property other: x"},
			[]string{"Property size"}},
		{"cipher", entry(`encrypted = "aes-cbc";`), "attribute-type", []string{found}, []string{"ecrypt"}},
		{"revisions as numbers", strings.Replace(entry(""), `[ "1.0" ]`, `[ 1.0 ]`, 1), "attribute-type",
			[]string{"SW not compatible with hardware"}, []string{"Accepted Hw Revision"}},
		{"group as a list", strings.NewReplacer("images: (", "images:", " ); }", "; }").Replace(entry("")), "attribute-type",
			[]string{"Found nothing to install"}, []string{"Found Image"}},
		{"link that leads nowhere", strings.Replace(entry(""), "( {", `( { ref = "#./none"; }, {`, 1), "link", []string{found}, nil},
		{"JSON flag as a string", `{"software": {"version": "1", "hardware-compatibility": ["1.0"], ` +
			`"images": [{"filename": "rootfs", "type": "raw", "device": "/dev/null", "sha256": "` + hash() + `",` +
			`"installed-directly": "false"}]}}`, "attribute-type", []string{"installed from stream"}, nil},
	} {
		c := c
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, problems, err := description.Parse([]byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if c.check == "" && len(problems) > 0 || c.check != "" && (len(problems) == 0 || problems[0].Check != c.check) {
				t.Errorf("we find %v", problems)
			}
			_, log := check(t, cert, key, []byte(c.text), []string{"rootfs"})
			expect(t, log, c.says, c.not)
			if t.Failed() {
				t.Log(log)
			}
		})
	}
}

// In JSON a number is the only offset that every version takes for what it says: 2022.12 writes "4K" to the bytes' value, 0x4b34.
// Both printers write plain bytes as a number.
func TestSWUpdateWritesToTheOffset(t *testing.T) {
	cert, key := signer(t)
	for _, c := range []struct {
		offset string
		format int // of printers
		want   int64
	}{{"4096", 0, 4096}, {"4096", 1, 4096}, {"4K", 0, 4096}, {"4K", 1, 0x4b34}} {
		c := c
		t.Run(c.offset+"/"+string(printers[c.format].format), func(t *testing.T) {
			t.Parallel()
			disk := filepath.Join(t.TempDir(), "disk")
			write(t, disk, make([]byte, len(content)+0x10000))
			d := description.Description{Software: description.Node{Version: "1", HardwareCompatibility: []string{"1.0"},
				Images: []description.Artifact{{Filename: "a", Type: "raw", Device: disk, Offset: c.offset, SHA256: hash()}}}}
			var text bytes.Buffer
			if err := printers[c.format].print(&d, &text); err != nil {
				t.Fatal(err)
			}
			if code, log := swupdate(t, cert, key, text.Bytes(), []string{"a"}); code != 0 {
				t.Fatalf("exit code %d\n%s", code, log)
			}
			if at := bytes.Index(load(t, disk), content); int64(at) != c.want {
				t.Errorf("written at %d, want %d", at, c.want)
			}
			_, _, problems, err := description.Parse(text.Bytes())
			if warned := len(problems) == 1 && problems[0].Severity == problem.Warning; err != nil || warned != (c.want != 4096) {
				t.Errorf("we find %v %v", err, problems)
			}
		})
	}
}
