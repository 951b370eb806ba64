package syntax_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text   string
		format syntax.Format
		err    string
	}{
		{"software = {}", syntax.Libconfig, ""},
		{`{"software": {}}`, syntax.JSON, ""},
		{"", syntax.Libconfig, ""},
		{"# nothing\n", syntax.Libconfig, ""},
		{"software = {", syntax.Libconfig, `1:13: not libconfig: the name of a setting, or the '}' of the group that begins at 1:12, ` +
			`was expected, not the end of the text`},
		{" \r\n\t{\"software\": 1,}", syntax.JSON, `2:17: not JSON: the name of a setting, in double quotes, was expected, not '}'`},
		{"\xef\xbb\xbf{}", syntax.JSON, `1:1: not JSON: the text begins with a byte order mark; save it as plain UTF-8`},
		{"[]", syntax.JSON, `1:1: not JSON: the '{' of the object that is the whole text was expected, not '['`},
		{"@include \"x\"", syntax.Libconfig, `1:1: not libconfig: @include is not accepted: a signed sw-description must hold ` +
			`everything itself, because the signature does not cover other files`},
	}
	for _, test := range tests {
		v, format, err := syntax.Parse([]byte(test.text))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if format != test.format || got != test.err || (err == nil) != (v.Kind == syntax.Group) {
			t.Errorf("Parse(%q) = kind %d, %s, %v; want %s, %s", test.text, v.Kind, format, err, test.format, test.err)
		}
	}
}

// The same description in both syntaxes is the same tree.
func TestBothSyntaxes(t *testing.T) {
	fromLibconfig, _, err := syntax.Parse([]byte(printedLibconfig))
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, _, err := syntax.Parse([]byte(printedJSON))
	if diff := cmp.Diff(lists(fromLibconfig), fromJSON, sameTree...); err != nil || diff != "" {
		t.Error(err, diff)
	}
	script, _ := fromJSON.Get("software")
	if script, found := script.Get("embedded-script"); !found || script.String != "function f(x)\n\treturn \"yes\"\nend" {
		t.Errorf("embedded-script is %q", script.String)
	}
}

func FuzzLibconfig(f *testing.F) {
	for _, seed := range append(libconfigSeeds(), jsonSeeds()...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := syntax.ParseLibconfig(text)
		if err != nil {
			return
		}
		printed := printLibconfig(t, v)
		again, err := syntax.ParseLibconfig(printed)
		if diff := cmp.Diff(v, again, sameTree...); err != nil || diff != "" {
			t.Fatalf("error %v, difference %s\n%s", err, diff, printed)
		}
		if twice := printLibconfig(t, again); !bytes.Equal(printed, twice) {
			t.Fatalf("printed once\n%s\nand again\n%s", printed, twice)
		}
	})
}

func FuzzJSON(f *testing.F) {
	for _, seed := range append(jsonSeeds(), libconfigSeeds()...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		compareJSON(t, text)
		v, err := syntax.ParseJSON(text)
		if err != nil {
			return
		}
		printed := printJSON(t, v)
		again, err := syntax.ParseJSON(printed)
		if diff := cmp.Diff(v, again, sameTree...); err != nil || diff != "" {
			t.Fatalf("error %v, difference %s\n%s", err, diff, printed)
		}
	})
}
