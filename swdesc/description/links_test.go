package description_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
)

// A path leads where SWUpdate's own joining of names leads.
func TestPaths(t *testing.T) {
	const refused = `is no link that SWUpdate follows; write #./NAME for a neighbour, #../NAME for one above, #software/NAME from the root`
	for ref, want := range map[string]string{
		"#./a": "", "#software/a": "", "#../software/a": "", "#.//a/": "", "#./none/../a": "", "#./none/none/../../b/../a": "",
		"#./c": "leads nowhere", "#ab": "leads nowhere", "#./a/x": "leads nowhere", "#./a/../x": "leads nowhere", "#./b/..": "leads nowhere",
		"#./none/a": "leads nowhere", "#./images": "leads in a circle",
		"#a": refused, "#": refused, "./a": refused, "#../../software/a": refused,
	} {
		text := fmt.Sprintf(`images: ( { ref = %q; } ); a: ( { filename = "x"; } ); b: { };`, ref)
		_, _, problems, err := description.Parse([]byte(inNode(text)))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		// Where the link does not lead to the list "a", that is an unknown setting.
		got := lines(problems)
		if reached := !strings.Contains(got, `"a" is unknown`); reached != (want == "") || reached && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: no %q in %s", ref, want, got)
		}
	}
}

// What a link leads to is no unknown setting, and is read as what the link stands for.
func TestLinks(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`images: ( { ref = "#./a"; } ); a: ( { tpye = "raw"; } ); b: { a: ( { name = "x"; } ); };`,
			"error (unknown-attribute): 1:50: \"tpye\" is unknown and SWUpdate ignores it; did you mean \"type\"?\n" +
				"error (unknown-attribute): 1:74: \"a\" is unknown and SWUpdate ignores it"},
		{`version: { ref = "#./v"; }; v = "1"; w = "1";`, `error (unknown-attribute): 1:49: "w" is unknown and SWUpdate ignores it`},
		{`vars: ( { ref = "#./v"; } ); v: ( { name = "a"; } );`,
			`error (link): 1:20: a link in an entry of "vars" sets variables of the bootloader instead; write vars: { ref = "#./v"; }`},
		{`vars: { ref = "#./w"; }; w: { ref = "#./v"; }; v: ( { name = "a"; sha256 = "a"; } );`,
			`error (unknown-attribute): 1:78: "sha256" is unknown and SWUpdate ignores it`},
		{`images: { ref = "#./v"; }; v = "text";`,
			`error (attribute-type): 1:39: "v" is the string "text"; SWUpdate reads only a list of groups ` +
				`and ignores this; write v: ( { ... } ); in JSON [ { ... } ]`},
		{`images: ( { ref = "#./v"; device = "d"; } ); v: ( );`,
			`error (link): 1:38: "device" stands beside "ref", and SWUpdate ignores it; move it to where the link leads`},
		{`a: { ref = "#./b"; version = "1"; c: { }; }; b: { };`,
			`error (link): 1:31: "version" stands beside "ref", and SWUpdate ignores it; move it to where the link leads`},
		{`images: ( { ref = 5; } );`,
			`error (attribute-type): 1:24: "ref" is the number 5; SWUpdate reads only a path of the form #./PATH and ignores this`},
		{`a: { ref = "#./b"; }; b: { ref = "#./a"; }; c: { ref = "#./a"; };`,
			"error (link): 1:17: \"#./b\" leads in a circle, in which SWUpdate finds nothing or crashes\n" +
				"error (link): 1:39: \"#./a\" leads in a circle, in which SWUpdate finds nothing or crashes\n" +
				"error (link): 1:61: \"#./a\" leads in a circle, in which SWUpdate finds nothing or crashes"},
	} {
		_, _, problems, err := description.Parse([]byte(inNode(c.text)))
		if diff := cmp.Diff(c.want, lines(problems)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", c.text, err, diff)
		}
	}
}

// Links cost no more than the text is long: a hostile file has many, to one group with many names.
func TestManyLinks(t *testing.T) {
	const many = 12_000
	var text strings.Builder
	for i := 0; i < many; i++ {
		fmt.Fprintf(&text, "g%d: { ref = \"#./g%d\"; };\n", i, (i+1)%many)
	}
	text.WriteString("images: (\n")
	for i := 0; i < many; i++ {
		fmt.Fprintf(&text, "{ ref = \"#./none%d\"; }%s\n", i, strings.Repeat(",", min(1, many-1-i)))
	}
	text.WriteString(");")
	start := time.Now()
	_, _, problems, err := description.Parse([]byte(inNode(text.String())))
	if err != nil || len(problems) != 2*many {
		t.Errorf("%d problems, %v", len(problems), err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
