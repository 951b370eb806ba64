package syntax_test

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

var jsonGood = []string{
	`{}`, ` { } `,
	"{\n\t\"software\": {\r\n\"version\": \"1.0\", \"images\": [{\"filename\": \"a\", " +
		"\"installed-directly\": true}]}}\n",
	`{"":""}`, `{"a":[]}`, `{"a":[[],{},1,"x",true,false]}`,
	`{"a b.c/d":"\"\\\/\b\f\n\r\t"}`, `{"a":"\u0000\u0041\u00e9\u20AC\ud83d\ude00é😀"}`,
	`{"a":[0,-0,1,-1,9223372036854775807,-9223372036854775808,9223372036854775808,1.0,-1.5e3,1E+2,2e-3,0.1,1e-999,123456789012345678901234]}`,
	"{\"a\":\"\u2028\u007f\ufffd\"}", `{"a":"\ufffd"}`,
}

var jsonBad = []mistake{
	{text: "", problem: `1:1: not JSON: the '{' of the object that is the whole text was expected, not the end of the text`},
	{text: "[]", problem: `1:1: not JSON: the '{' of the object that is the whole text was expected, not '['`},
	{text: "\xef\xbb\xbf{}", problem: `1:1: not JSON: the text begins with a byte order mark; save it as plain UTF-8`},
	{text: "{} x", problem: `1:4: not JSON: the end of the text was expected, not 'x'`},
	{text: "{\n\"a\":null}", problem: `2:5: not JSON: null has no meaning in sw-description; leave the setting out`},
	{text: "{\"a\":1,\n \"\\u0061\":2}", problem: `2:2: not JSON: the name "a" was used before in this group, at 1:2`},
	{text: `{"a":1,}`, problem: `1:8: not JSON: the name of a setting, in double quotes, was expected, not '}'`},
	{text: `{"a":[1,]}`, problem: `1:9: not JSON: a value was expected, not ']'`},
	{text: `{"a":[1 2]}`, problem: `1:9: not JSON: ',' or the ']' of the array that begins at 1:6 was expected, not '2'`},
	{text: `{"a":1 "b":2}`, problem: `1:8: not JSON: ',' or the '}' of the object that begins at 1:1 was expected, not '"'`},
	{text: `{"a" 1}`, problem: `1:6: not JSON: ':' after the name "a" was expected, not '1'`},
	{text: `{"a":`, problem: `1:6: not JSON: a value was expected, not the end of the text`},
	{text: `{"a":[`, problem: `1:7: not JSON: a value was expected, not the end of the text`},
	{text: `{a:1}`, problem: `1:2: not JSON: the name of a setting, in double quotes, was expected, not 'a'`},
	{text: `{"a":True}`, problem: `1:6: not JSON: a value was expected, not 'T'`},
	{text: `{"a":truex}`, problem: `1:6: not JSON: a value was expected, not 't'`},
	{text: `{"a":NaN}`, problem: `1:6: not JSON: a value was expected, not 'N'`},
	{text: `{"a":01}`, problem: `1:6: not JSON: a number begins with one digit at least, and with 0 only before a point`},
	{text: `{"a":-}`, problem: `1:6: not JSON: a number begins with one digit at least, and with 0 only before a point`},
	{text: `{"a":1.}`, problem: `1:6: not JSON: the number has no digit behind its point`},
	{text: `{"a":1e+}`, problem: `1:6: not JSON: the number has an exponent without digits`},
	{text: `{"a":1e999}`, problem: `1:6: not JSON: the number 1e999 is too large`},
	{text: `{"a":+1}`, problem: `1:6: not JSON: a value was expected, not '+'`},
	{text: `{/**/}`, problem: `1:2: not JSON: the name of a setting, in double quotes, was expected, not '/'`},
	{text: "{\"a\":\"x\ny\"}", problem: `1:8: not JSON: a string cannot hold the bare control character 0x0a; write \u000a`},
	{text: "{\"a\":\"é\xff\"}", problem: `1:9: not JSON: byte 0xff is not UTF-8`},
	{text: `{"a":"x`, problem: `1:6: not JSON: the string has no end`},
	{text: `{"a":"x\`, problem: `1:8: not JSON: the text ends with a backslash`},
	{text: `{"a":"\q"}`, problem: `1:7: not JSON: a backslash before 'q' has no meaning; a backslash itself is written \\`},
	{text: `{"a":"\u12G4"}`, problem: `1:7: not JSON: \u needs four hexadecimal digits`},
	{text: `{"a":"\ud83d"}`, problem: `1:7: not JSON: \ud83d is half of a character; its other half has to follow`},
	{text: `{"a":"\ud83d\u0041"}`, problem: `1:7: not JSON: \ud83d is half of a character; its other half has to follow`},
	{text: `{"a":"\ude00\ud83d"}`, problem: `1:7: not JSON: \ude00 is half of a character; its other half has to follow`},
}

func jsonSeeds() []string {
	seeds := append([]string(nil), jsonGood...)
	for _, c := range jsonBad {
		seeds = append(seeds, c.text)
	}
	return seeds
}

func TestJSONRefuses(t *testing.T) {
	for _, c := range jsonBad {
		v, err := syntax.ParseJSON([]byte(c.text))
		if err == nil || err.Error() != c.problem || fail.CodeOf(err) != fail.Data {
			t.Errorf("ParseJSON(%q):\n got %v\nwant %s", c.text, err, c.problem)
		}
		if diff := cmp.Diff(syntax.Value{}, v); diff != "" {
			t.Errorf("ParseJSON(%q) failed and returned something: %s", c.text, diff)
		}
	}
}

// Where we refuse on purpose what encoding/json accepts.
var stricterJSON = []string{
	"the object that is the whole text", "null has no meaning", "was used before", "not UTF-8", "half of a character",
	"levels deep", "is too large",
}

// flattenAny lists what encoding/json read, sorted because its objects have no order.
func flattenAny(list []string, v any, path string) []string {
	switch v := v.(type) {
	case map[string]any:
		list = append(list, path+" 0 group")
		for name, e := range v {
			list = flattenAny(list, e, path+"/"+name)
		}
	case []any:
		list = append(list, path+" 0 list")
		for i, e := range v {
			list = flattenAny(list, e, fmt.Sprintf("%s/%d", path, i))
		}
	case string:
		list = flattenAt(list, syntax.Value{Kind: syntax.String, String: v}, path, 0)
	case bool:
		list = flattenAt(list, syntax.Value{Kind: syntax.Bool, Bool: v}, path, 0)
	case json.Number:
		e := syntax.Value{Kind: syntax.Int}
		var err error
		if e.Int, err = strconv.ParseInt(v.String(), 10, 64); err != nil {
			e.Kind = syntax.Float
			e.Float, _ = v.Float64()
		}
		list = flattenAt(list, e, path, 0)
	}
	return list
}

// compareJSON is the rule for every text: encoding/json and ParseJSON both refuse it, or both read the same.
func compareJSON(t fataler, text []byte) bool {
	t.Helper()
	var judged any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	valid := json.Valid(text) && decoder.Decode(&judged) == nil
	v, err := syntax.ParseJSON(text)
	if valid && err != nil {
		for _, reason := range stricterJSON {
			if strings.Contains(err.Error(), reason) {
				return false
			}
		}
	}
	if valid != (err == nil) {
		t.Fatalf("valid for encoding/json: %t; error of ParseJSON on %q: %v", valid, text, err)
	}
	if err != nil {
		return false
	}
	want, got := flattenAny(nil, judged, ""), flattenLineless(nil, v, "")
	sort.Strings(want)
	sort.Strings(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("encoding/json (-) and ParseJSON (+) read %q in different ways:\n%s", text, diff)
	}
	return true
}

func flattenLineless(list []string, v syntax.Value, path string) []string {
	inner := v
	inner.Settings, inner.Elements = nil, nil
	list = flattenAt(list, inner, path, 0)
	for _, s := range v.Settings {
		list = flattenLineless(list, s.Value, path+"/"+s.Name)
	}
	for i, e := range v.Elements {
		list = flattenLineless(list, e, fmt.Sprintf("%s/%d", path, i))
	}
	return list
}

func TestJSONAgrees(t *testing.T) {
	for _, text := range jsonGood {
		if !compareJSON(t, []byte(text)) {
			t.Errorf("%q is not read by both", text)
		}
	}
	for _, text := range append(jsonSeeds(), libconfigSeeds()...) {
		compareJSON(t, []byte(text))
	}
}

// encoding/json reads what is printed, and what is nearly JSON is judged alike.
func TestJSONAgreesOnPrinted(t *testing.T) {
	words := strings.Fields(`{ } [ ] , : " \ 1 -0 01 1. .5 1e5 1e+ true false null nul "a" "\u00e9" "\ud800" "\q" // x`)
	rapid.Check(t, func(t *rapid.T) {
		text := string(printJSON(t, jsonGrammar.group(t, 3)))
		if !compareJSON(t, []byte(text)) {
			t.Fatalf("not read by both:\n%s", text)
		}
		from := rapid.IntRange(0, len(text)).Draw(t, "from")
		to := min(from+rapid.IntRange(0, 3).Draw(t, "taken out"), len(text))
		compareJSON(t, []byte(text[:from]+rapid.SampledFrom(append(words, "", "\n", "\x00", "\xff")).Draw(t, "word")+text[to:]))
		compareJSON(t, []byte(`{"a":[`+strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 0, 4).Draw(t, "words"), "")+"]}"))
	})
}
