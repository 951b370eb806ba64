package syntax_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// Trees are compared without places, and an empty group is one without settings.
var sameTree = []cmp.Option{cmpopts.IgnoreTypes(syntax.Position{}), cmpopts.EquateEmpty()}

// flatten lists a tree as testdata/judge.c does.
func flatten(v syntax.Value) []string { return flattenAt(nil, v, "", 0) }

func flattenAt(list []string, v syntax.Value, path string, line int) []string {
	word := map[syntax.Kind]string{syntax.Group: "group", syntax.List: "list", syntax.Array: "array"}[v.Kind]
	switch v.Kind {
	case syntax.Bool:
		word = "bool 0"
		if v.Bool {
			word = "bool 1"
		}
	case syntax.Int:
		word = fmt.Sprintf("int %d", v.Int)
	case syntax.Float:
		word = fmt.Sprintf("float %016x", math.Float64bits(v.Float))
	case syntax.String:
		word = fmt.Sprintf("string %x", v.String)
	}
	list = append(list, fmt.Sprintf("%s %d %s", path, line, word))
	for _, s := range v.Settings {
		list = flattenAt(list, s.Value, path+"/"+s.Name, s.Position.Line)
	}
	for i, e := range v.Elements {
		list = flattenAt(list, e, fmt.Sprintf("%s/%d", path, i), 0)
	}
	return list
}

// grammar is what the trees of one syntax are made of.
type grammar struct{ name, text *rapid.Generator[string] }

var pieces = []string{
	"a", "x", "F0", "\n", "\r", "\t", "\f", "\b", "\a", "\v", "\\", "\"", "\\x41", "#", "//", "é", "\u202e", "\U0001f600", "\u2028",
}

var (
	libconfigGrammar = grammar{
		name: rapid.StringMatching(`[A-Za-z*][-A-Za-z0-9_*]{0,6}`).Filter(func(s string) bool {
			return !strings.EqualFold(s, "true") && !strings.EqualFold(s, "false")
		}),
		text: rapid.OneOf(sentence(append(pieces, "\x80", "\xff", "\xc3")), rapid.Map(rapid.SliceOf(rapid.ByteRange(1, 255)),
			func(b []byte) string { return string(b) })),
	}
	jsonGrammar = grammar{name: sentence(pieces), text: rapid.OneOf(sentence(append(pieces, "\x00")), rapid.String())}
)

func sentence(words []string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(rapid.SampledFrom(words), 0, 12), func(list []string) string { return strings.Join(list, "") })
}

// group draws a Group; depth is how many levels may follow.
func (g grammar) group(t *rapid.T, depth int) syntax.Value {
	v := syntax.Value{Kind: syntax.Group}
	for _, name := range rapid.SliceOfNDistinct(g.name, 0, 4, rapid.ID[string]).Draw(t, "names") {
		v.Settings = append(v.Settings, syntax.Setting{Name: name, Value: g.value(t, depth)})
	}
	return v
}

func (g grammar) value(t *rapid.T, depth int) syntax.Value {
	kinds := []syntax.Kind{syntax.Bool, syntax.Int, syntax.Float, syntax.String, syntax.Group, syntax.List, syntax.Array}
	if depth == 0 {
		kinds = kinds[:4]
	}
	v := syntax.Value{Kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
	switch v.Kind {
	case syntax.Group:
		return g.group(t, depth-1)
	case syntax.List:
		for i := rapid.IntRange(0, 3).Draw(t, "elements"); i > 0; i-- {
			v.Elements = append(v.Elements, g.value(t, depth-1))
		}
	case syntax.Array:
		kind := rapid.SampledFrom(kinds[:4]).Draw(t, "array of")
		for i := rapid.IntRange(0, 30).Draw(t, "elements"); i > 0; i-- {
			v.Elements = append(v.Elements, g.scalar(t, kind))
		}
	default:
		return g.scalar(t, v.Kind)
	}
	return v
}

func (g grammar) scalar(t *rapid.T, kind syntax.Kind) syntax.Value {
	v := syntax.Value{Kind: kind}
	switch kind {
	case syntax.Bool:
		v.Bool = rapid.Bool().Draw(t, "bool")
	case syntax.Int:
		v.Int = rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, math.MaxInt32, math.MinInt32, math.MaxInt32 + 1, math.MinInt64})).
			Draw(t, "int")
	case syntax.Float:
		v.Float = rapid.OneOf(rapid.Float64(), rapid.Map(rapid.Int(), func(i int) float64 { return float64(i) })).
			Filter(func(f float64) bool { return !math.IsInf(f, 0) && !math.IsNaN(f) }).Draw(t, "float")
	case syntax.String:
		v.String = g.text.Draw(t, "text")
	}
	return v
}

// lists is the tree as JSON has it, without Arrays.
func lists(v syntax.Value) syntax.Value {
	if v.Kind == syntax.Array {
		v.Kind = syntax.List
	}
	v.Elements = append([]syntax.Value(nil), v.Elements...)
	for i, e := range v.Elements {
		v.Elements[i] = lists(e)
	}
	v.Settings = append([]syntax.Setting(nil), v.Settings...)
	for i := range v.Settings {
		v.Settings[i].Value = lists(v.Settings[i].Value)
	}
	return v
}

// fataler is a test, a benchmark, or a check of rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func printLibconfig(t fataler, v syntax.Value) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := syntax.PrintLibconfig(&out, v); err != nil {
		t.Fatalf("PrintLibconfig: %v", err)
	}
	return out.Bytes()
}

func printJSON(t fataler, v syntax.Value) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := syntax.PrintJSON(&out, v); err != nil {
		t.Fatalf("PrintJSON: %v", err)
	}
	if !utf8.Valid(out.Bytes()) {
		t.Fatalf("PrintJSON wrote bytes that are not UTF-8: %q", out.Bytes())
	}
	return out.Bytes()
}

// What is printed is read as the same tree.
func TestRoundTrip(t *testing.T) {
	t.Run("libconfig", rapid.MakeCheck(func(t *rapid.T) {
		want := libconfigGrammar.group(t, 4)
		text := printLibconfig(t, want)
		got, err := syntax.ParseLibconfig(text)
		if diff := cmp.Diff(want, got, sameTree...); err != nil || diff != "" {
			t.Fatalf("error %v, difference %s\n%s", err, diff, text)
		}
		if caveats := syntax.Caveats(text); caveats != nil {
			t.Fatalf("not every libconfig reads it alike: %v\n%s", caveats, text)
		}
	}))
	t.Run("JSON", rapid.MakeCheck(func(t *rapid.T) {
		want := jsonGrammar.group(t, 4)
		text := printJSON(t, want)
		got, err := syntax.ParseJSON(text)
		if diff := cmp.Diff(lists(want), got, sameTree...); err != nil || diff != "" {
			t.Fatalf("error %v, difference %s\n%s", err, diff, text)
		}
	}))
}
