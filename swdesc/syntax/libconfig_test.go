package syntax_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// example has what real files have.
const example = `software =
{
	version = "1.0.1"; // of the product
	hardware-compatibility: ["1.0", "#RE:^2\\.[0-9]$"];
	# one slot set per root file system
	stable : {
		slot-a : {
			images: (
				{
					filename = "rootfs.ext4.zst";
					device = "/dev/disk/by-partlabel/APP";
					type = "raw"; compressed = "zstd";
					installed-directly = true;
					offset = 0x100000L;
					sha256 = "0123" "4567"
						"89ab";
				}
			);
			scripts: ();
		}
	}
	/* run before
	   anything */
	embedded-script = "function f(x)
	return \"yes\"
end";
}
`

// Texts that libconfig 1.5 reads.
var libconfigGood = []string{
	example, "", " \n\t", "# c\n", "//\n", "/**/", "/* * / // */",
	"a=1", "a:1,b=2 c=3;d=4", "*=1;**-_9=2", "truely=1;t-rue=2", "a={}", "a={b={c={}}}", "a=(),b=[]", "a=((),[],{},1,\"x\",true)",
	"a=[1,2]", "a=[1L,2147483648L]", "a=[0x1,2]", "a=[1.,.5]", "a=[true,FALSE]", "a=[\"x\" \"y\",\"z\"]", "a=TRUE;b=fAlSe",
	"a=0;b=-1;c=+1;d=007;e=2147483647;f=2147483648L;g=-9223372036854775808L;h=1L;i=1LL;j=9223372036854775807LL",
	"a=0x0;b=0X7fffffff;c=0xffffffffL;d=0x7FFFFFFFFFFFFFFFLL", "a=1.5;b=-.5;c=+1.;d=1e3;e=1.e+3;f=.5E-3;g=1e-999",
	"a=10b=20", "a=1Lb=2", "a=1.e5", "a=1eb=2", `a="\n\r\t\f\\\"\x41\XfF\q\x4\xZZ\"";`, "a=\"x\ny\r\n\ty\"", `a="x"/* c */"y" # c` + "\n\"z\"",
	"a=\"\xff\x80é\"", "a=\"\"", "a=\"# no // comment /* here */\"", "a\r=\f1", "a=/* x */1",
}

func libconfigSeeds() []string {
	seeds := append([]string(nil), libconfigGood...)
	for _, c := range append(libconfigBad, libconfigCaveats...) {
		seeds = append(seeds, c.text)
	}
	return seeds
}

type mistake struct {
	text    string
	problem string // the whole error
	refused bool   // by libconfig (of a caveat by 1.5) although the problem does not look so
}

// Texts that are refused. testdata/judge.c says whether libconfig refuses them too.
var libconfigBad = []mistake{
	{text: "a", problem: `1:2: not libconfig: '=' or ':' after the name "a" was expected, not the end of the text`},
	{text: "a=;", problem: `1:3: not libconfig: a value of the setting "a" was expected, not ';'`},
	{text: "a=1;\nb=2;;", problem: `2:5: not libconfig: the name of a setting was expected, not ';'`},
	{text: "a=b", problem: `1:3: not libconfig: a value of the setting "a" was expected, not the name "b"`},
	{text: "true=1", problem: `1:1: not libconfig: the name of a setting was expected, not the boolean true`},
	{text: "_a=1", problem: `1:1: not libconfig: '_' cannot stand here`},
	{text: "{a=1}", problem: `1:1: not libconfig: the name of a setting was expected, not '{'`},
	{text: "a=1}", problem: `1:4: not libconfig: the name of a setting was expected, not '}'`},
	{text: "a={\n b=1", problem: `2:5: not libconfig: the name of a setting, ` +
		`or the '}' of the group that begins at 1:3, was expected, not the end of the text`},
	{text: "a=(1 2)", problem: `1:6: not libconfig: ',' or the ')' of the list that begins at 1:3, was expected, not the number 2`},
	{text: "a=(1,,2)", problem: `1:6: not libconfig: an element or the ')' of the list that begins at 1:3 was expected, not ','`},
	{text: "a=(,)", problem: `1:4: not libconfig: an element or the ')' of the list that begins at 1:3 was expected, not ','`},
	{text: "a=[1", problem: `1:5: not libconfig: ',' or the ']' of the array that begins at 1:3, was expected, not the end of the text`},
	{text: "a=(b=1)", problem: `1:4: not libconfig: an element or the ')' of the list that begins at 1:3 was expected, not the name "b"`},
	{text: "a=[{}]", problem: `1:4: not libconfig: an array [...] cannot hold groups, lists or arrays; use a list (...)`},
	{text: "a=[1,[]]", problem: `1:6: not libconfig: an array [...] cannot hold groups, lists or arrays; use a list (...)`},
	{text: "a=[1,\"x\"]", problem: `1:6: not libconfig: the elements of an array must be of one type, ` +
		`but a string stands in an array that begins with the number 1`},
	{text: "a=[1,2.]", problem: `1:6: not libconfig: the elements of an array must be of one type, ` +
		`but the number 2. stands in an array that begins with the number 1`},
	{text: "a=[1,2L]", refused: true, problem: `1:6: not libconfig: the elements of an array must be of one type, ` +
		`but one of the integers 1 and 2L has 64 bits and the other 32; write L behind all of them`},
	{text: "a=1;\n\tb=2;a=3", problem: `2:6: not libconfig: the name "a" was used before in this group, at 1:1`},
	{text: "a=1 \"x\"", problem: `1:5: not libconfig: the name of a setting was expected, not a string`},
	{text: "a=-", problem: `1:3: not libconfig: '-' cannot stand here`},
	{text: "a=-0x1;", problem: `1:7: not libconfig: '=' or ':' after the name "x1" was expected, not ';'`},
	{text: "a=1;\v", problem: `1:5: not libconfig: byte 0x0b cannot stand here`},
	{text: "a=1;\x00", problem: `1:5: not libconfig: byte 0x00 cannot stand here`},
	{text: "é=1", problem: `1:1: not libconfig: byte 0xc3 cannot stand here`},
	{text: "a=1;\xef\xbb\xbf", problem: `1:5: not libconfig: byte 0xef cannot stand here`},
	{text: "\xef\xbb\xbfa=1", problem: `1:1: not libconfig: the text begins with a byte order mark; save it as plain UTF-8`},
	{text: "a=1/2", problem: `1:4: not libconfig: '/' cannot stand here`},
	{text: "a=1\n@include \"no such file\"\n", refused: true, problem: `2:1: not libconfig: @include is not accepted: a signed ` +
		`sw-description must hold everything itself, because the signature does not cover other files`},
	{text: "a=1\n@include \"/dev/null\"\n", problem: `2:1: not libconfig: @include is not accepted: a signed ` +
		`sw-description must hold everything itself, because the signature does not cover other files`},
	{text: "a=1; \"x", problem: `1:6: not libconfig: the string has no end`},
	{text: "a=\"x\\", refused: true, problem: `1:3: not libconfig: the string has no end`},
	{text: "a=1; /* x\n", problem: `1:6: not libconfig: the comment has no end`},
	{text: "a=\"x\n\x00y\"", problem: `2:1: not libconfig: a string cannot hold a NUL byte: libconfig would end it there`},
	{text: `a="x\x00y"`, problem: `1:5: not libconfig: a string cannot hold a NUL byte: libconfig would leave it out`},
	{text: "a=9223372036854775808", problem: `1:3: not libconfig: the number 9223372036854775808 does not fit in 64 bits`},
	{text: "a=-9223372036854775809L", problem: `1:3: not libconfig: the number -9223372036854775809L does not fit in 64 bits`},
	{text: "a=0xffffffffffffffffL", problem: `1:3: not libconfig: the number 0xffffffffffffffffL does not fit in 64 bits with a sign`},
	{text: "a=0xffffffff", problem: `1:3: not libconfig: libconfig would read 0xffffffff as -1: it keeps 32 bits; write 0xffffffffL`},
	{text: "a=0x100000000", problem: `1:3: not libconfig: libconfig would read 0x100000000 as 0: it keeps 32 bits; write 0x100000000L`},
	{text: "a=007;b=-010", problem: `1:9: not libconfig: the number -010 has a leading zero: libconfig 1.5 reads it as decimal, ` +
		`newer ones as octal or not at all`},
	{text: "a=09L", problem: `1:3: not libconfig: the number 09L has a leading zero: libconfig 1.5 reads it as decimal, ` +
		`newer ones as octal or not at all`},
	{text: "a=.", problem: `1:3: not libconfig: the number . has no digits beside its point`},
	{text: "a=-.E5", problem: `1:3: not libconfig: the number -.E5 has no digits beside its point`},
	{text: "a=1E999", problem: `1:3: not libconfig: the number 1E999 is too large`},
}

// Texts that releases of libconfig read in different ways.
var libconfigCaveats = []mistake{
	{text: "a=1 # x", problem: "1:5: libconfig 1.5 and 1.6 refuse a comment on a last line that has no line feed"},
	{text: "//", problem: "1:1: libconfig 1.5 and 1.6 refuse a comment on a last line that has no line feed"},
	{text: "a=(1,\n2, )", problem: "2:2: libconfig 1.5 and 1.6 refuse a comma before the end of a list"},
	{text: "a=[1,]", problem: "1:5: libconfig 1.5 and 1.6 refuse a comma before the end of an array"},
	{text: "a=2147483648", problem: "1:3: libconfig 1.5 reads 2147483648 as -2147483648, because it keeps 32 bits of a number without L; " +
		"write 2147483648L"},
	{text: "a=[1L,3000000000]", refused: true, problem: "1:7: libconfig 1.5 reads 3000000000 as -1294967296, because it keeps 32 bits " +
		"of a number without L; write 3000000000L"},
	{text: `a="\v"`, problem: `1:4: libconfig reads \v as two characters, since 1.8 as one; write \\v or \x0b`},
}

func TestLibconfigRefuses(t *testing.T) {
	for _, c := range libconfigBad {
		v, err := syntax.ParseLibconfig([]byte(c.text))
		var e *syntax.Error
		if !errors.As(err, &e) || err.Error() != c.problem || fail.CodeOf(err) != fail.Data {
			t.Errorf("ParseLibconfig(%q):\n got %v\nwant %s", c.text, err, c.problem)
		}
		if diff := cmp.Diff(syntax.Value{}, v); diff != "" || syntax.Caveats([]byte(c.text)) != nil {
			t.Errorf("ParseLibconfig(%q) failed and returned something: %s", c.text, diff)
		}
	}
}

func TestCaveats(t *testing.T) {
	for _, c := range libconfigCaveats {
		got := syntax.Caveats([]byte(c.text))
		if len(got) != 1 || fmt.Sprintf("%s: %s", got[0].Position, got[0].Problem) != c.problem {
			t.Errorf("Caveats(%q) = %v, want %s", c.text, got, c.problem)
		}
	}
	if got := syntax.Caveats([]byte("a=\"" + strings.Repeat(`\a`, 1000) + "\"")); len(got) != 100 {
		t.Errorf("%d caveats, want 100", len(got))
	}
}

func TestLibconfigPositions(t *testing.T) {
	v, err := syntax.ParseLibconfig([]byte("/* x\n*/ a: {\n\tb = \"x\ny\" \"z\"; c: (1, [2]);\n}"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line, column int) syntax.Position { return syntax.Position{Line: line, Column: column} }
	want := syntax.Value{Kind: syntax.Group, Position: at(1, 1), Settings: []syntax.Setting{{
		Name: "a", Position: at(2, 4), Value: syntax.Value{Kind: syntax.Group, Position: at(2, 7), Settings: []syntax.Setting{
			{Name: "b", Position: at(3, 2), Value: syntax.Value{Kind: syntax.String, String: "x\nyz", Position: at(3, 6)}},
			{Name: "c", Position: at(4, 9), Value: syntax.Value{Kind: syntax.List, Position: at(4, 12), Elements: []syntax.Value{
				{Kind: syntax.Int, Int: 1, Position: at(4, 13)},
				{Kind: syntax.Array, Position: at(4, 16), Elements: []syntax.Value{{Kind: syntax.Int, Int: 2, Position: at(4, 17)}}},
			}}},
		}},
	}}}
	if diff := cmp.Diff(want, v); diff != "" {
		t.Error(diff)
	}
}
