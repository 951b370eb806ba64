package description_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// inImage wraps attributes into an image of a libconfig description.
func inImage(attributes string) string { return `software: { images: ( {` + attributes + `} ); };` }

// inJSON is inImage for JSON.
func inJSON(attributes string) string { return `{"software": {"images": [{` + attributes + `}]}}` }

// inNode wraps settings into "software".
func inNode(settings string) string { return `software: {` + settings + `};` }

// Each problem is found, in the words that the user sees, and nothing else.
func TestProblems(t *testing.T) {
	const ignores = " and ignores this"
	for _, c := range []struct{ text, want string }{
		{inImage(`filename = "a"; type = "raw";`), ``},
		{inImage(`instaled-directly = true;`),
			`error (unknown-attribute): 1:24: "instaled-directly" is unknown and SWUpdate ignores it; did you mean "installed-directly"?`},
		{inImage(`Filename = "a";`), `error (unknown-attribute): 1:24: "Filename" is unknown and SWUpdate ignores it; did you mean "filename"?`},
		{inImage(`install_if_different = true;`),
			`error (unknown-attribute): 1:24: "install_if_different" is unknown and SWUpdate ignores it; did you mean "install-if-different"?`},
		{inImage(`sha265 = "";`), `error (unknown-attribute): 1:24: "sha265" is unknown and SWUpdate ignores it; did you mean "sha256"?`},
		{inImage(`ubipartition = "x";`), `error (unknown-attribute): 1:24: "ubipartition" is unknown and SWUpdate ignores it`},
		{inImage(`filename = 5;`),
			`error (attribute-type): 1:24: "filename" is the number 5; SWUpdate reads only a string` + ignores + `; put the value in quotes`},
		{inImage(`installed-directly = "true";`), `error (attribute-type): 1:24: "installed-directly" is the string "true"; ` +
			`SWUpdate reads only true or false` + ignores + `; write true or false without quotes`},
		{inJSON(`"installed-directly": "false"`), `error (attribute-type): 1:27: "installed-directly" is the string "false"; ` +
			`SWUpdate reads only true or false` + ignores + ` (before 2024.05 it means true, whatever it says); write true or false without quotes`},
		{inImage(`preserve-attributes = 1;`), `error (attribute-type): 1:24: "preserve-attributes" is the number 1; ` +
			`SWUpdate reads only true or false` + ignores + ` (before 2024.05 it means true, whatever it says); write true or false without quotes`},
		{inImage(`preserve-attributes = 0;`), `error (attribute-type): 1:24: "preserve-attributes" is the number 0; ` +
			`SWUpdate reads only true or false` + ignores + `; write true or false without quotes`},
		{inImage(`size = "5";`), `error (attribute-type): 1:24: "size" is the string "5"; SWUpdate reads only a whole number` + ignores +
			`; write the number of bytes without quotes`},
		{inImage(`size = 3000000000L; offset = 3000000000L;`), ``},
		{inJSON(`"size": 3000000000`), `error (attribute-type): 1:27: "size" is 3000000000, which SWUpdate's JSON reader cuts to 2147483647; ` +
			`leave size out or write libconfig`},
		{inJSON(`"offset": 3000000000`),
			`error (attribute-type): 1:27: "offset" is 3000000000, which SWUpdate's JSON reader cuts to 2147483647; ` +
				`write libconfig`},
		{inImage(`offset = "4K";`), ``},
		{inJSON(`"offset": "4K"`), `warning (attribute-type): 1:27: "offset" is a string, whose letters SWUpdate before 2023.12 takes for ` +
			`the number in JSON; write a plain number of bytes, or libconfig`},
		{inImage(`offset = 1.5;`), `error (attribute-type): 1:24: "offset" is a number with a fraction; SWUpdate reads only a whole number or ` +
			`a string such as "4K"` + ignores},
		{inImage(`compressed = false; encrypted = false;`), ``},
		{inImage(`compressed = true;`), `warning (deprecated): 1:24: compressed = true is deprecated; write compressed = "zlib"`},
		{inImage(`compressed = "";`), `error (attribute-type): 1:24: "compressed" is empty; SWUpdate reads only a string such as "zstd"; ` +
			`write compressed = "zstd", or what it is compressed with`},
		{inImage(`encrypted = "aes-cbc";`),
			`warning (attribute-type): 1:24: "encrypted" is the string "aes-cbc"; SWUpdate before 2025.12 reads ` +
				`only true or false` + ignores + `; write encrypted = true, which every version reads as aes-cbc`},
		{inImage(`encrypted = "aes-ctr-256";`), `warning (attribute-type): 1:24: "encrypted" is the string "aes-ctr-256"; SWUpdate before ` +
			`2025.12 reads only true or false` + ignores},
		{inJSON(`"encrypted": "aes-ctr-256"`), `warning (attribute-type): 1:27: "encrypted" is the string "aes-ctr-256"; SWUpdate before ` +
			`2025.12 reads only true or false`},
		{inImage(`encrypted = 1;`),
			`error (attribute-type): 1:24: "encrypted" is the number 1; SWUpdate reads only true, false or the name of a cipher` + ignores},
		{inImage(`properties: { size = 123; };`),
			`error (property-type): 1:38: property "size" is the number 123; SWUpdate reads only strings and ` +
				`lists of strings and drops the rest; write size = "123"`},
		{inImage(`properties: { a = ( "b", false ); };`),
			`error (property-type): 1:38: property "a" is a list with false; SWUpdate reads only strings ` +
				`and lists of strings and drops the rest; put the value in quotes`},
		{inImage(`properties: { a = true; };`),
			`error (property-type): 1:38: property "a" is true; SWUpdate reads only strings and lists of strings ` +
				`and drops the rest; write a = "true"`},
		{inImage(`properties = ( "a" );`),
			`error (attribute-type): 1:24: "properties" is a list; SWUpdate reads only a group; write properties: { NAME = "VALUE"; }`},
		{inNode(`images: { filename = "a"; };`),
			`error (attribute-type): 1:12: "images" is a group; SWUpdate reads only a list of groups` + ignores +
				`; write images: ( { ... } ); in JSON [ { ... } ]`},
		{inNode(`vars = "a";`), `error (attribute-type): 1:12: "vars" is the string "a"; SWUpdate reads only a list of groups` + ignores +
			`; write vars: ( { ... } ); in JSON [ { ... } ]`},
		{inNode(`scripts: ( { }, "run.sh" );`),
			`error (attribute-type): 1:28: entry 2 of "scripts" is the string "run.sh"; SWUpdate reads only groups`},
		{inNode(`scripts: ( { installed-directly = true; aes-key = "k"; volume = "v"; } ); partitions: ( { filename = "f"; } );`), ``},
		{inNode(`reboot = "disabled";`),
			`warning (attribute-type): 1:12: "reboot" is a string, which SWUpdate before 2025.12 ignores; write reboot = true or reboot = false`},
		{inNode(`reboot = "no";`),
			`error (attribute-type): 1:12: "reboot" is the string "no"; SWUpdate reads only true, false, "enabled" or "disabled"` + ignores},
		{inNode(`hardware-compatibility = [ 1.0 ];`),
			`error (attribute-type): 1:12: "hardware-compatibility" is a list with a number with a fraction; ` +
				`SWUpdate reads only a list of strings` + ignores + `; write it as [ "1.0" ]`},
		{inNode(`hardware-compatibility = "1.0";`), `error (attribute-type): 1:12: "hardware-compatibility" is the string "1.0"; ` +
			`SWUpdate reads only a list of strings` + ignores + `; write it as [ "1.0" ]`},
		{inNode(`board: { image = ( ); };`),
			`error (unknown-attribute): 1:21: "image" is unknown and SWUpdate ignores it; did you mean "images"?`},
		{inNode(`uboot: ( { name = "a"; } ); bootenv: ( );`),
			`error (unknown-attribute): 1:12: "uboot" is the old name of "bootenv", and SWUpdate ignores it beside "bootenv"`},
		{inNode(`bootenv: ( { name = "a"; val = "b"; } );`), `error (unknown-attribute): 1:37: "val" is unknown and SWUpdate ignores it`},
		{`list: ( ); software: { images: ( { ref = "#../list"; } ); };`, ``},
		{inNode(`a: { ref = "#./b"; v = "1"; }; b: { version: { ref = "#../a/v"; }; };`), ``},
		{`other = 1; software: { };`, `error (unknown-attribute): 1:1: "other" is unknown and SWUpdate ignores it`},
	} {
		_, _, problems, err := description.Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if diff := cmp.Diff(c.want, lines(problems)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.text, diff)
		}
	}
}

func lines(problems problem.List) string {
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

// The model of a description with everything in it that is easily lost.
func TestModel(t *testing.T) {
	d, format, problems, err := description.Parse([]byte(inNode(`
		reboot = true; bootloader_state_marker = false; hardware-compatibility = []; files: (); uboot: ( { name = "a"; } );
		images: ( { filename = "f"; offset = 16; size = 0x10; compressed = true; encrypted = true;
			properties: { a = "1"; b = [ "2", "3" ]; c = 4; }; x = 1; } );
		scripts: { ref = "#./s"; }; s: ( { filename = "t"; } ); board: { version = "2"; };`)))
	if err != nil || format != syntax.Libconfig || len(problems) != 3 {
		t.Fatal(format, problems, err)
	}
	number := func(n int64) syntax.Value { return syntax.Value{Kind: syntax.Int, Int: n} }
	want := &description.Description{Software: description.Node{
		Reboot: description.On, StateMarker: description.Off, HardwareCompatibility: []string{}, Files: []description.Artifact{},
		BootEnv: []description.Variable{{Name: "a"}}, UBoot: true,
		Images: []description.Artifact{{Filename: "f", Offset: "16", Size: 16, Compressed: "zlib", Encrypted: "aes-cbc",
			Properties:        []description.Property{{Name: "a", Values: []string{"1"}}, {Name: "b", Values: []string{"2", "3"}, List: true}},
			UnknownProperties: []syntax.Setting{{Name: "c", Value: number(4)}}, Unknown: []syntax.Setting{{Name: "x", Value: number(1)}}}},
		Links:    []description.Link{{Name: "scripts", Ref: "#./s"}},
		Lists:    []description.List{{Name: "s", Artifacts: []description.Artifact{{Filename: "t"}}}},
		Children: []description.Child{{Name: "board", Node: description.Node{Version: "2"}}},
	}}
	if diff := cmp.Diff(want, d, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if at := d.Software.Images[0].Position; at.Line != 3 || d.Software.Children[0].Node.Position.Line != 5 {
		t.Errorf("positions: %v %v", at, d.Software.Children[0].Node.Position)
	}
	if v, ok := d.Software.Images[0].Property("b"); v != "2" || !ok {
		t.Errorf("property b is %q, %t", v, ok)
	}
}

// Where there is nothing to read, the error says what to do.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{``, `cannot read the description: it has no group "software"; put everything into software = { ... }`},
		{`sofware = { };`, `cannot read the description: it has no group "software"; rename "sofware" at 1:1`},
		{`software = 1;`, `cannot read the description: 1:1: "software" is the number 1, not a group`},
		{`{"software": []}`, `cannot read the description: 1:2: "software" is an empty list, not a group`},
		{`software = {`, `libconfig`},
	} {
		d, _, _, err := description.Parse([]byte(c.text))
		if d != nil || fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

// A tree that a program made has no positions, and problems then no place.
func TestReadWithoutPositions(t *testing.T) {
	root := syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: "software", Value: syntax.Value{Kind: syntax.Group,
		Settings: []syntax.Setting{{Name: "x"}}}}}}
	_, problems, err := description.Read(root)
	if diff := cmp.Diff(`error (unknown-attribute): "x" is unknown and SWUpdate ignores it`, lines(problems)); diff != "" || err != nil {
		t.Error(err, diff)
	}
}
