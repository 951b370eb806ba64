package syntax_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

func text(s string) syntax.Value { return syntax.Value{Kind: syntax.String, String: s} }

const printedLibconfig = `software: {
	version = "1.0.1";
	hardware-compatibility: ["1.0", "#RE:^2\\.[0-9]$"];
	stable: {
		slot-a: {
			images: (
				{
					filename = "rootfs.ext4.zst";
					device = "/dev/disk/by-partlabel/APP";
					type = "raw";
					compressed = "zstd";
					installed-directly = true;
					offset = 1048576;
					sha256 = "0123456789ab";
				}
			);
			scripts: ();
		};
	};
	embedded-script =
		"function f(x)\n"
		"\treturn \"yes\"\n"
		"end";
};
`

const printedJSON = `{
	"software": {
		"version": "1.0.1",
		"hardware-compatibility": ["1.0", "#RE:^2\\.[0-9]$"],
		"stable": {
			"slot-a": {
				"images": [
					{
						"filename": "rootfs.ext4.zst",
						"device": "/dev/disk/by-partlabel/APP",
						"type": "raw",
						"compressed": "zstd",
						"installed-directly": true,
						"offset": 1048576,
						"sha256": "0123456789ab"
					}
				],
				"scripts": []
			}
		},
		"embedded-script": "function f(x)\n\treturn \"yes\"\nend"
	}
}
`

func TestPrint(t *testing.T) {
	v, err := syntax.ParseLibconfig([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(printedLibconfig, string(printLibconfig(t, v))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(printedJSON, string(printJSON(t, v))); diff != "" {
		t.Error(diff)
	}
}

func TestPrintScalars(t *testing.T) {
	tests := []struct {
		value           syntax.Value
		libconfig, json string
	}{
		{syntax.Value{Kind: syntax.Int, Int: math.MaxInt32}, "2147483647", "2147483647"},
		{syntax.Value{Kind: syntax.Int, Int: math.MinInt64}, "-9223372036854775808L", "-9223372036854775808"},
		{syntax.Value{Kind: syntax.Float, Float: 3}, "3.0", "3.0"},
		{syntax.Value{Kind: syntax.Float, Float: 1e300}, "1e+300", "1e+300"},
		{syntax.Value{Kind: syntax.Array, Elements: []syntax.Value{{Kind: syntax.Int, Int: 1}, {Kind: syntax.Int, Int: 1 << 40}}},
			"[1L, 1099511627776L]", "[1, 1099511627776]"},
		{syntax.Value{Kind: syntax.List, Elements: []syntax.Value{{Kind: syntax.Int, Int: 1}, {Kind: syntax.Int, Int: 1 << 40}}},
			"(1, 1099511627776L)", "[1, 1099511627776]"},
		{syntax.Value{Kind: syntax.List, Elements: []syntax.Value{text("a\nb"), text("c")}},
			"(\n\t\"a\\n\"\n\t\"b\",\n\t\"c\"\n)", `["a\nb", "c"]`},
		{text("é\u202e\x7f\U000e0001\n"), `"é\xe2\x80\xae\x7f\xf3\xa0\x80\x81\n"`, `"é\u202e\u007f\udb40\udc01\n"`},
		{text(""), `""`, `""`},
		{syntax.Value{Kind: syntax.Group}, "{\n}", "{}"},
	}
	for _, test := range tests {
		v := syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: "a", Value: test.value}}}
		sign := " ="
		if test.value.Kind >= syntax.Group {
			sign = ":"
		}
		if diff := cmp.Diff("a"+sign+" "+test.libconfig+";\n", string(printLibconfig(t, v))); diff != "" {
			t.Error(diff)
		}
		if got := strings.ReplaceAll(string(printJSON(t, v)), "{\n\t\"a\": ", ""); got != test.json+"\n}\n" {
			t.Errorf("PrintJSON: %s, want %s", got, test.json)
		}
	}
}

func TestPrintRefuses(t *testing.T) {
	const (
		name  = "a name of libconfig begins with a letter or *, and has letters, digits, - _ and * only"
		array = "an array of libconfig holds booleans, numbers or strings, all of one type; this must be a list"
	)
	in := func(name string, v syntax.Value) syntax.Value {
		return syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: name, Value: v}}}
	}
	tests := []struct {
		value           syntax.Value
		libconfig, json string // what the error says behind "cannot print "; "" where there is none
	}{
		{syntax.Value{}, "the description as libconfig: the whole must be a group", "the description as JSON: the whole must be a group"},
		{in("a", syntax.Value{}), "a as libconfig: there is no kind 0 of value", "a as JSON: there is no kind 0 of value"},
		{in("a", in("1", text(""))), "a.1 as libconfig: " + name, ""},
		{in("", text("")), " as libconfig: " + name, ""},
		{in("é", text("")), "é as libconfig: " + name, ""},
		{in("a\n", text("")), `"a\n" as libconfig: ` + name, ""},
		{in("True", text("")), "True as libconfig: libconfig reads this name as a boolean", ""},
		{in("a", text("x\x00")), "a as libconfig: a string of libconfig cannot hold a NUL byte", ""},
		{in("a", text("\xff")), "", "a as JSON: it is not UTF-8"},
		{in("a\xff", text("")), `"a\xff" as libconfig: ` + name, `"a\xff" as JSON: it is not UTF-8`},
		{in("a", syntax.Value{Kind: syntax.Array, Elements: []syntax.Value{{Kind: syntax.Bool}, text("")}}), "a as libconfig: " + array, ""},
		{in("a", syntax.Value{Kind: syntax.Array, Elements: []syntax.Value{in("a", text(""))}}), "a as libconfig: " + array, ""},
		{in("a", syntax.Value{Kind: syntax.List, Elements: []syntax.Value{{Kind: syntax.Bool}, {Kind: syntax.Float, Float: math.NaN()}}}),
			"a[1] as libconfig: NaN cannot be written as a number", "a[1] as JSON: NaN cannot be written as a number"},
		{in("a", syntax.Value{Kind: syntax.Float, Float: math.Inf(1)}),
			"a as libconfig: +Inf cannot be written as a number", "a as JSON: +Inf cannot be written as a number"},
		{syntax.Value{Kind: syntax.Group, Settings: []syntax.Setting{{Name: "a", Value: text("")}, {Name: "a", Value: text("")}}},
			"a as libconfig: the name is used twice in its group", "a as JSON: the name is used twice in its group"},
	}
	check := func(v syntax.Value, err error, written int, want string) {
		switch {
		case want == "" && err != nil:
			t.Errorf("%+v: %v", v, err)
		case want != "" && (err == nil || err.Error() != "cannot print "+want || fail.CodeOf(err) != fail.Data || written > 0):
			t.Errorf("%+v: %d bytes were written\n got %v\nwant cannot print %s", v, written, err, want)
		}
	}
	for _, test := range tests {
		var out bytes.Buffer
		err := syntax.PrintLibconfig(&out, test.value)
		check(test.value, err, out.Len(), test.libconfig)
		out.Reset()
		err = syntax.PrintJSON(&out, test.value)
		check(test.value, err, out.Len(), test.json)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPrintReportsWriter(t *testing.T) {
	full := errors.New("the disk is full")
	for _, err := range []error{
		syntax.PrintLibconfig(brokenWriter{full}, syntax.Value{Kind: syntax.Group}),
		syntax.PrintJSON(brokenWriter{full}, syntax.Value{Kind: syntax.Group}),
	} {
		if !errors.Is(err, full) {
			t.Errorf("error %v, want %v", err, full)
		}
	}
}
