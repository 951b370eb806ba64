package syntax_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// nested returns texts whose deepest value is on that level.
func nested(level int) (libconfig, json string) {
	n := level - 2
	return "a=" + strings.Repeat("(", n) + "1" + strings.Repeat(")", n), `{"a":` + strings.Repeat("[", n) + "1" + strings.Repeat("]", n) + "}"
}

// many returns texts with that many values.
func many(n int) (libconfig, json string) {
	elements := strings.TrimSuffix(strings.Repeat("1,", n-2), ",")
	return "a=(" + elements + ")", `{"a":[` + elements + "]}"
}

// longTexts are valid texts at and beyond our limits.
func longTexts() []string {
	var list []string
	for _, level := range []int{syntax.MaxDepth, syntax.MaxDepth + 1} {
		deep, _ := nested(level)
		list = append(list, deep)
	}
	return append(list, `a="`+strings.Repeat("x", 100_000)+`"`, strings.Repeat("a", 10_000)+"=1")
}

func TestLimits(t *testing.T) {
	tests := []struct {
		name         string
		texts        func(int) (string, string)
		atLibconfig  int // accepted; one more is refused
		atJSON       int
		wantContains string
	}{
		{"depth", nested, syntax.MaxDepth, syntax.MaxDepthJSON, "values are nested more than"},
		{"values", many, syntax.MaxValues, syntax.MaxValues, "the text has more than 65536 values"},
		{"size", func(n int) (string, string) {
			return "a=1" + strings.Repeat(" ", n-3), "{}" + strings.Repeat(" ", n-2)
		}, syntax.MaxSize, syntax.MaxSize, "the text has 4194305 bytes, more than 4194304"},
	}
	for _, test := range tests {
		good, _ := test.texts(test.atLibconfig)
		bad, _ := test.texts(test.atLibconfig + 1)
		v, err := syntax.ParseLibconfig([]byte(good))
		if err != nil {
			t.Errorf("%s of libconfig: %v", test.name, err)
		}
		printLibconfig(t, v)
		if _, err := syntax.ParseLibconfig([]byte(bad)); err == nil || !strings.Contains(err.Error(), test.wantContains) {
			t.Errorf("%s of libconfig: error %v, want %s", test.name, err, test.wantContains)
		}
		_, good = test.texts(test.atJSON)
		_, bad = test.texts(test.atJSON + 1)
		if v, err = syntax.ParseJSON([]byte(good)); err != nil {
			t.Errorf("%s of JSON: %v", test.name, err)
		}
		printJSON(t, v)
		if _, err := syntax.ParseJSON([]byte(bad)); err == nil || !strings.Contains(err.Error(), test.wantContains) {
			t.Errorf("%s of JSON: error %v, want %s", test.name, err, test.wantContains)
		}
	}
}

// What is too much to be read is not printed.
func TestPrintLimits(t *testing.T) {
	deep := func(levels int) syntax.Value {
		v := syntax.Value{Kind: syntax.Group}
		for ; levels > 1; levels-- {
			v = syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: "a", Value: v}}}
		}
		return v
	}
	wide := syntax.Value{Kind: syntax.List, Elements: make([]syntax.Value, syntax.MaxValues)}
	for i := range wide.Elements {
		wide.Elements[i].Kind = syntax.Bool
	}
	group := func(v syntax.Value) syntax.Value {
		return syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: "a", Value: v}}}
	}
	long := group(text(strings.Repeat("\x01", syntax.MaxSize/4)))
	tests := []struct {
		name      string
		libconfig syntax.Value
		json      syntax.Value
		want      string
	}{
		{"depth", deep(syntax.MaxDepth + 1), deep(syntax.MaxDepthJSON + 1), "values are nested more than"},
		{"values", group(wide), group(wide), "there are more than 65536 values"},
		{"size", long, long, "bytes, more than 4194304"},
	}
	for _, test := range tests {
		var out bytes.Buffer
		for _, err := range []error{syntax.PrintLibconfig(&out, test.libconfig), syntax.PrintJSON(&out, test.json)} {
			if err == nil || !strings.Contains(err.Error(), test.want) || fail.CodeOf(err) != fail.Data {
				t.Errorf("%s: error %v, want %s", test.name, err, test.want)
			}
		}
		if out.Len() != 0 {
			t.Errorf("%s: %d bytes were written", test.name, out.Len())
		}
	}
	printLibconfig(t, deep(syntax.MaxDepth))
	printJSON(t, deep(syntax.MaxDepthJSON))
}
