package check_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

func TestSoftware(t *testing.T) {
	images := "images: ( " + entry("a", `type = "archive"; path = "/";`) + " );"
	re := func(s string) string {
		return `software = { version = "1"; hardware-compatibility = [ "` + s + `" ]; ` + images + ` }`
	}
	for _, r := range []rule{
		{name: "good", src: software(images)},
		{name: "no version", src: `software = { hardware-compatibility = [ "1" ]; ` + images + ` }`, want: []string{"error version"},
			says: "software has no version"},
		{name: "version by a link",
			src: `software = { version: { ref = "#./common"; }; common = "1"; hardware-compatibility = [ "1" ]; ` + images + ` }`},
		{name: "version of a selection only", src: `software = { hardware-compatibility = [ "1" ]; a: { b: { version = "1"; ` + images +
			` }; c: { ` + images + ` }; }; }`,
			want: []string{"error version"}, says: "software.a.c has no version"},
		{name: "no hardware-compatibility", src: `software = { version = "1"; ` + images + ` }`,
			want: []string{"error hardware-compatibility"}},
		{name: "hardware-compatibility of a board", src: `software = { version = "1"; orin: { hardware-compatibility = [ "1" ]; ` +
			images + ` }; }`},
		{name: "hardware-compatibility of a board, images for all",
			src: `software = { version = "1"; orin: { hardware-compatibility = [ "1" ]; }; ` +
				images + ` }`},
		{name: "hardware-compatibility of a board, images in a selection",
			src: `software = { version = "1"; orin: { hardware-compatibility = [ "1" ]; }; s: { m: { ` + images + ` }; }; }`},
		{name: "hardware-compatibility in a selection beside a board",
			src: `software = { version = "1"; orin: { version = "2"; }; s: { m: { hardware-compatibility = [ "1" ]; ` + images +
				` }; }; }`},
		{name: "a board without hardware-compatibility", src: `software = { version = "1"; orin: { ` + images + ` }; xavier: { ` +
			`hardware-compatibility = [ "1" ]; }; }`, want: []string{"error hardware-compatibility"}, says: "software.orin has no"},
		{name: "a set with a version", src: `software = { s: { version = "1"; m: { hardware-compatibility = [ "1" ]; ` + images +
			` }; }; }`,
			want: []string{"error version"}},
		{name: "empty hardware-compatibility", src: `software = { version = "1"; hardware-compatibility = [ ]; ` + images + ` }`,
			want: []string{"error hardware-compatibility"}, says: "no device takes"},
		{name: "anchored", src: re(`#RE:^1\\.[0-9]+$`)},
		{name: "anchored alternatives in parentheses", src: re(`#RE:^(1|2[|)])$`)},
		{name: "GNU extensions", src: re(`#RE:^\\w+$`)},
		{name: "not anchored", src: re(`#RE:1\\.[0-9]`), want: []string{"warning hardware-compatibility"}, says: `"#RE:^(1\.[0-9])$"`},
		{name: "anchored at the start", src: re(`#RE:^1`), want: []string{"warning hardware-compatibility"}},
		{name: "a literal dollar", src: re(`#RE:^1\\$`), want: []string{"warning hardware-compatibility"}},
		{name: "half anchored alternatives", src: re(`#RE:^1|2$`), want: []string{"warning hardware-compatibility"}},
		{name: "no expression", src: re(`#RE:^(1$`), want: []string{"error hardware-compatibility"}, says: "missing closing )"},
		{name: "Perl's digits", src: re(`#RE:^\\d$`), want: []string{"error hardware-compatibility"}},
		{name: "nothing", src: software(``), want: []string{"error nothing-to-install"}},
		{name: "empty lists", src: software(`images: ( ); scripts: ( );`), want: []string{"error nothing-to-install"}},
		{name: "too deep", src: software(`a: { b: { c: { d: { ` + images + ` }; }; }; };`), want: []string{"error nothing-to-install"}},
		{name: "as deep as SWUpdate looks", src: software(`a: { b: { c: { ` + images + ` }; }; };`)},
		{name: "bootenv alone", src: software(`bootenv: ( { name = "a"; value = "b"; } );`)},
		{name: "uboot by a link", src: software(`uboot: { ref = "#./env"; }; env: ( { name = "a"; value = "b"; } );`)},
	} {
		r.run(t)
	}
}

// What Parse finds comes with the file's name.
func TestParseProblems(t *testing.T) {
	list, err := check.Description("my.cfg", []byte("software = {\n version = \"1\"; hardware-compatibility = [ \"1\" ];\n images: ( "+
		entry("a", `type = "archive"; compresed = "zstd";`)+" );\n}"), signed)
	if err != nil || len(list) != 1 || list[0].Check != "unknown-attribute" || !strings.HasPrefix(list[0].Where, "my.cfg:3:") {
		t.Fatalf("err %v, problems %s", err, lines(list))
	}
	list, err = check.Description("my.cfg",
		[]byte("software = {\n version = \"1\";\n\n images: ( "+entry("a", `type = "rawfle";`)+" );\n}"), signed)
	if err != nil || len(list) != 2 || list[0].Where != "my.cfg:1:1" || !strings.HasPrefix(list[1].Where, "my.cfg:4:") {
		t.Fatalf("err %v, problems %s", err, lines(list))
	}
}

// What several selections share is reported once.
func TestOnce(t *testing.T) {
	list, err := check.Description("f",
		[]byte(software(`s: { a: { images: { ref = "#../../x"; }; }; b: { images: { ref = "#../../x"; }; }; }; x: ( `+
			entry("a", `type = "archive"; path = "/"; hook = "f";`)+` );`)), signed)
	if err != nil || len(list) != 1 {
		t.Errorf("error %v, problems%s", err, lines(list))
	}
}

func TestUnreadable(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"syntax":   {"software = {", "cannot check f: 1:13: not libconfig"},
		"no group": {"hardware = { }; ", `cannot check f: cannot read the description: it has no group "software"`},
		"large":    {strings.Repeat(" ", check.MaxDescription+1), "sw-description has more than 1048576 bytes"},
	} {
		_, err := check.Description("f", []byte(c.src), signed)
		var malformed interface{ MalformedData() bool }
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != 65 {
			t.Errorf("%s: error %v (%T), exit %d", name, err, malformed, exitCode(err))
		}
	}
}

func TestLinks(t *testing.T) {
	common := "common: ( " + entry("a", `type = "archive"; path = "/";`) + " );"
	bad := "common: ( " + entry("a", `type = "rawfle"; path = "/";`) + " );"
	for _, r := range []rule{
		{name: "list", src: software(`images: { ref = "#./common"; }; ` + common)},
		{name: "entry", src: software(`images: ( { ref = "#./common"; } ); ` + common)},
		{name: "what a link leads to is checked", src: software(`images: ( { ref = "#./common"; } ); ` + bad),
			want: []string{"error handler"}},
		{name: "and so behind a selection", src: software(`a: { b: { images: { ref = "#../../common"; }; }; }; ` + bad),
			want: []string{"error handler"}},
		{name: "and from the root", src: software(`a: { b: { images: { ref = "#software/common"; }; }; }; ` + bad),
			want: []string{"error handler"}},
		{name: "and outside of software", src: software(`images: ( { ref = "#common"; } );`) + "; " + bad, want: []string{"error handler"}},
		{name: "and its attributes", src: software(`images: ( { ref = "#common"; } );`) + `; common: ( ` +
			entry("a", `type = "archive"; path = "/"; compresed = "zstd"; properties: { n = 1; };`) + ` );`,
			want: []string{"error property-type", "error unknown-attribute"}, says: "sw-description:1:"},
		{name: "and behind a node", src: software(`a: { b: { ref = "#./c"; }; c: { images: ( ` + entry("a", `type = "rawfle";`) +
			` ); }; };`), want: []string{"error handler"}},
		{name: "and a section", src: software(`images: { ref = "#./files"; }; files: ( ` + entry("a", `type = "tegra-activate";`) + ` );`),
			want: []string{"error handler", "warning duplicate"}, says: "not for images"},
		{name: "nowhere", src: software(`images: ( { ref = "#./no"; } ); files: ( ` + entry("a", `path = "/a";`) + ` );`),
			want: []string{"error link"}},
		{name: "a circle of lists", src: software(`images: ( { ref = "#./x"; } ); x: ( { ref = "#./images"; }, ` +
			entry("a", `type = "archive";`) + ` );`),
			want: []string{"error link"}, says: "until it crashes"},
		{name: "a circle of one", src: software(`images: ( { ref = "#./images"; }, ` + entry("a", `type = "archive";`) + ` );`),
			want: []string{"error link"}},
		{name: "two links to one list are no circle",
			src: software(`images: ( { ref = "#./x"; }, { ref = "#./y"; } ); y: ( { ref = "#./x"; } ); x: ( ` +
				entry("a", `type = "archive";`) + ` );`)},
		{name: "a circle of nodes", src: software(`a: { b: { ref = "#./c"; }; c: { ref = "#./b"; }; }; files: ( ` +
			entry("a", `path = "/a";`) + ` );`),
			want: []string{"error link"}, says: "links lead in a circle"},
	} {
		r.run(t)
	}
}

// What libconfig's releases do not read alike is said, with its place; JSON has no such places.
func TestCaveats(t *testing.T) {
	const text = "software = { version = \"1\"; hardware-compatibility = [ \"1.0\" ];\n" +
		"scripts: ( { filename = \"a\"; type = \"lua\"; sha256 = \"%s\"; }, ); }\n"
	src := fmt.Sprintf(text, strings.Repeat("a", 64))
	for _, tt := range []struct {
		src  string
		want string // "" for nothing
	}{
		{src, "warning (libconfig): sw-description:2:"},
		{strings.Replace(src, "}, )", "} )", 1), ""},
	} {
		found, err := check.Description("sw-description", []byte(tt.src), check.Options{Signed: true})
		if err != nil {
			t.Fatal(err)
		}
		if (len(found) == 0) != (tt.want == "") || len(found) > 0 && !strings.HasPrefix(found[0].String(), tt.want) {
			t.Errorf("%v, want %q", found, tt.want)
		}
	}
}
