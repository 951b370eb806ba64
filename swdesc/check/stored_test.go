package check_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

func TestStored(t *testing.T) {
	with := func(attributes string) string {
		return software("images: ( " + entry("a", `type = "archive"; path = "/"; `+attributes) + " );")
	}
	one := func(section, attributes string) string { return software(section + ": ( { " + attributes + " } );") }
	unsigned := &check.Options{}
	zeros := strings.Repeat("0", 64)
	for _, r := range []rule{
		{name: "no sha256", src: one("files", `filename = "a"; path = "/a";`), want: []string{"error sha256-missing"},
			says: "the entry for a has no sha256"},
		{name: "no sha256 and no signature", src: one("files", `filename = "a"; path = "/a";`), o: unsigned},
		{name: "no sha256 of a handler that nobody knows", src: one("files", `filename = "a"; type = "ours";`),
			o: &check.Options{Signed: true, Handlers: []string{"ours"}}, want: []string{"warning sha256-missing"}},
		{name: "no sha256 of a script", src: one("scripts", `filename = "a"; type = "shellscript";`),
			want: []string{"error sha256-missing"}},
		{name: "no sha256 and no data", src: one("scripts", `type = "ubiswap";`)},
		{name: "no sha256 of a script without a file", src: one("scripts", `type = "tegra-activate";`),
			want: []string{"error sha256-missing"}},
		{name: "short sha256", src: one("files", `filename = "a"; path = "/a"; sha256 = "0123";`), want: []string{"error sha256-missing"},
			says: "not 64"},
		{name: "short sha256 and no signature", src: one("files", `filename = "a"; path = "/a"; sha256 = "0123";`), o: unsigned,
			want: []string{"error sha256-missing"}},
		{name: "no digits", src: one("files", `filename = "a"; path = "/a"; sha256 = "`+strings.Repeat("x", 64)+`";`),
			want: []string{"error sha256-missing"}},
		{name: "zeros", src: one("files", `filename = "a"; path = "/a"; sha256 = "`+zeros+`";`), want: []string{"error sha256-missing"}},
		{name: "large digits", src: one("files", `filename = "a"; path = "/a"; sha256 = "`+strings.ToUpper(hash)+`";`)},

		{name: "zstd", src: with(`compressed = "zstd";`)},
		{name: "xz", src: with(`compressed = "xz";`), want: []string{"warning compressed"}, says: "2025.12"},
		{name: "lz4", src: with(`compressed = "lz4";`), want: []string{"warning compressed"}, says: "2026.05"},
		{name: "gzip", src: with(`compressed = "gzip";`), want: []string{"error compressed"}},
		{name: "encrypted", src: with(`encrypted = true; ivt = "` + hash[:32] + `";`)},
		{name: "no ivt", src: with(`encrypted = true;`), want: []string{"warning encrypted"}},
		{name: "short ivt", src: with(`encrypted = true; ivt = "0123";`), want: []string{"error encrypted"}, says: "ivt is"},
		{name: "ivt of no digits", src: with(`encrypted = true; ivt = "` + strings.Repeat("x", 32) + `";`),
			want: []string{"error encrypted"}},
		{name: "newer cipher", src: with(`encrypted = "aes-cbc-256"; ivt = "` + hash[:32] + `";`),
			want: []string{"warning attribute-type"}},
		{name: "no cipher", src: with(`encrypted = "aes"; ivt = "` + hash[:32] + `";`),
			want: []string{"error encrypted", "warning attribute-type"}},
		{name: "key", src: with(`encrypted = true; ivt = "` + hash[:32] + `"; aes-key = "` + hash + `";`),
			want: []string{"warning encrypted"},
			says: "everybody"},
		{name: "short key", src: with(`aes-key = "12";`), want: []string{"error encrypted", "warning encrypted"}},

		{name: "size", src: with(`size = 4294967295L;`)},
		{name: "size beyond a member", src: with(`size = 4294967296L;`), want: []string{"error member-size"}},
		{name: "size of a partition", src: one("partitions", `type = "ubipartition"; name = "data"; device = "mtd0"; size = 4294967296L;`)},

		{name: "no filename", src: one("files", `path = "/a"; sha256 = "`+hash+`";`), want: []string{"error filename"}, says: "skips it"},
		{name: "a folder", src: software(`files: ( ` + entry("dir/a", `path = "/a";`) + ` );`), want: []string{"error filename"},
			says: "has a /"},
		{name: "longest filename", src: software(`files: ( ` + entry(strings.Repeat("a", 250), `path = "/a";`) + ` );`)},
		{name: "long filename", src: software(`files: ( ` + entry(strings.Repeat("a", 251), `path = "/a";`) + ` );`),
			want: []string{"error filename"}},
		{name: "longer filename", src: software(`files: ( ` + entry(strings.Repeat("a", 256), `path = "/a";`) + ` );`),
			want: []string{"error filename", "error too-long"}},

		{name: "install-if-different", src: with(`install-if-different = true; name = "a"; version = "1";`)},
		{name: "install-if-different of no version", src: with(`install-if-different = true; name = "a";`),
			want: []string{"error install-if"}},
		{name: "install-if-higher of no name", src: with(`install-if-higher = true; version = "1";`), want: []string{"error install-if"}},
		{name: "streamed", src: with(`installed-directly = true;`)},
		{name: "streamed script", src: software(`scripts: ( ` + entry("a", `type = "shellscript"; installed-directly = true;`) + ` );`),
			want: []string{"error installed-directly"}},
	} {
		r.run(t)
	}
}

func TestStrings(t *testing.T) {
	with := func(attributes string) string {
		return software("images: ( " + entry("a", `type = "archive"; path = "/"; `+attributes) + " );")
	}
	long := strings.Repeat("x", 256)
	for _, r := range []rule{
		{name: "sha256 of a file", src: software(`files: ( { filename = "a"; path = "/a"; sha256 = "@a"; } );`),
			want: []string{"error placeholder"}, says: "sha256"},
		{name: "function", src: software(`files: ( { filename = "a"; path = "/a"; sha256 = "$swupdate_get_sha256(a)"; } );`),
			want: []string{"error placeholder"}},
		{name: "variable of BitBake", src: software(`files: ( ` + entry("a-@@MACHINE@@.img", `path = "/a";`) + ` );`),
			want: []string{"error placeholder"}, says: "filename"},
		{name: "variable of a script", src: with(`version = "@VERSION@";`), want: []string{"error placeholder"}},
		{name: "variable of swugenerator", src: with(`data = "${DATA}";`), want: []string{"error placeholder"}},
		{name: "in a property", src: with(`properties: { url = [ "a", "${URL}" ]; };`), want: []string{"error placeholder"},
			says: "property url"},
		{name: "a property's size of a file", src: with(`properties: { size = "@a"; };`), want: []string{"error placeholder"}},
		{name: "in ivt", src: with(`encrypted = true; ivt = "@IVT@";`), want: []string{"error placeholder"}},
		{name: "in compressed", src: with(`compressed = "@@COMPRESSION@@";`), want: []string{"error placeholder"}},
		{name: "in the type", src: software(`images: ( ` + entry("a", `type = "@@TYPE@@";`) + ` );`), want: []string{"error placeholder"}},
		{name: "in the version of all", src: `software = { version = "@@DISTRO_VERSION@@"; hardware-compatibility = [ "1" ]; files: ( ` +
			entry("a", `path = "/a";`) + ` ); }`,
			want: []string{"error placeholder"}},
		{name: "in a selection", src: software(`a: { b: { output = "${FILE}"; files: ( ` + entry("a", `path = "/a";`) + ` ); }; };`),
			want: []string{"error placeholder"}},
		{name: "what U-Boot expands", src: software(`bootenv: ( { name = "bootargs"; value = "root=${root}"; } );`)},
		{name: "what U-Boot does not expand", src: software(`bootenv: ( { name = "a"; value = "@@ROOT@@"; } );`),
			want: []string{"error placeholder"}},
		{name: "an address", src: with(`name = "ann@example.com"; version = "1@2";`)},
		{name: "a device", src: with(`device = "fs@home"; filesystem = "ext4";`)},

		{name: "longest", src: with(`name = "` + long[1:] + `"; version = "1";`)},
		{name: "long", src: with(`name = "` + long + `"; version = "1";`), want: []string{"error too-long"}, says: "has 256 bytes"},
		{name: "long offset", src: with(`offset = "` + strings.Repeat("1", 32) + `";`), want: []string{"error too-long"}},
		{name: "long value", src: software(`bootenv: ( { name = "a"; value = "` + long + `"; } );`), want: []string{"error too-long"}},
		{name: "long description", src: software(`description = "` + long + long[1:] + `"; bootenv: ( { name = "a"; value = "b"; } );`)},
		{name: "longer description", src: software(`description = "` + long + long + `"; bootenv: ( { name = "a"; value = "b"; } );`),
			want: []string{"error too-long"}},
		{name: "long revision", src: `software = { version = "1"; hardware-compatibility = [ "` + long + `" ]; files: ( ` +
			entry("a", `path = "/a";`) + ` ); }`,
			want: []string{"error too-long"}},
		{name: "a long property", src: with(`properties: { url = "` + long + `"; };`)},
	} {
		r.run(t)
	}
}

func TestDuplicates(t *testing.T) {
	two := func(one, two string) string {
		return software("files: ( " + entry("a", one) + ", " + entry("a", two) + " );")
	}
	for _, r := range []rule{
		{name: "to two places", src: two(`path = "/a";`, `path = "/b";`)},
		{name: "to one place", src: two(`path = "/a";`, `path = "/a";`), want: []string{"warning duplicate"}},
		{name: "one streamed", src: two(`path = "/a"; installed-directly = true;`, `path = "/b";`), want: []string{"error duplicate"}},
		{name: "in two selections", src: software(`a: { b: { files: ( ` + entry("a", `path = "/a";`) + ` ); }; c: { files: ( ` +
			entry("a", `path = "/a";`) + ` ); }; };`)},
		{name: "in images and scripts", src: software(`files: ( ` + entry("a", `path = "/a";`) + ` ); scripts: ( ` +
			entry("a", `type = "shellscript";`) + ` );`),
			want: []string{"error duplicate"}},
		{name: "no path", src: software(`files: ( ` + entry("a", ``) + ` );`), want: []string{"error incomplete"}, says: "needs path"},
		{name: "no device", src: software(`images: ( ` + entry("a", `type = "raw";`) + ` );`), want: []string{"error incomplete"},
			says: "needs device"},
		{name: "partition of no device", src: software(`partitions: ( { type = "diskformat"; } );`), want: []string{"error incomplete"}},
		{name: "volume of no name", src: software(`partitions: ( { device = "mtd0"; } );`), want: []string{"error incomplete"}},
		{name: "a device that is not mounted", src: software(`files: ( ` + entry("a", `path = "/a"; device = "/dev/nvme0n1p1";`) + ` );`),
			want: []string{"warning ignored"}},
	} {
		r.run(t)
	}
}

// Hostile descriptions end in time and in little memory.
func TestLarge(t *testing.T) {
	many := strings.Repeat(`{ filename = "a"; },`, 20000)
	var views, deep, wide strings.Builder
	for i := 0; i < 8000; i++ {
		fmt.Fprintf(&views, `m%d: { images: { ref = "#../../x"; }; };`, i)
		fmt.Fprintf(&deep, `l%d: ( { ref = "#./l%d"; }, { ref = "#./l%d"; } ); `, i, i+1, i+1)
		fmt.Fprintf(&wide, `m%d: { ref = "#./m%d"; };`, i, i+1)
	}
	for name, c := range map[string]struct{ src, says string }{
		"entries":    {software("images: ( " + strings.TrimSuffix(many, ",") + " );"), "more than 1000 problems"},
		"selections": {software("set: { " + views.String() + " }; x: ( " + many[:len(many)/2-1] + " );"), "too many entries"},
		"lists": {software("images: ( { ref = \"#./l0\"; } ); " + deep.String() + ` l8000: ( ` +
			entry("a", `type = "archive"; compressed = "no";`) + ` );`), "compressed is"},
		"nodes": {software("set: { " + wide.String() + " };"), "leads nowhere"},
		"hooks of a script": {software(`embedded-script = "` + strings.Repeat("function f() end ", 30000) + `"; images: ( ` +
			strings.Repeat(`{ filename = "a"; hook = "g"; },`, 10000) + `{ filename = "a"; hook = "f"; } );`), "more than 1000 problems"},
	} {
		list, err := check.Description("f", []byte(c.src), signed)
		if err != nil || !strings.Contains(lines(list), c.says) || len(list) > 1002 {
			t.Errorf("%s: %d problems, error %v", name, len(list), err)
		}
	}
}
