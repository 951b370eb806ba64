package check_test

import (
	"strings"
	"testing"
)

func TestTegra(t *testing.T) {
	all := func(image string) string {
		return software("images: ( " + image + ", " + capsuleEntry + " ); scripts: ( " + activateEntry + " );")
	}
	image := func(old, replacement string) string {
		changed := strings.Replace(rootfs(""), old, replacement, 1)
		if changed == rootfs("") {
			t.Fatalf("%q is not in the entry", old)
		}
		return all(changed)
	}
	script := "scripts: ( " + activateEntry + " );"
	noID := func(s string) string { return strings.ReplaceAll(s, `update = "1";`, "") }
	for _, r := range []rule{
		{name: "good", src: all(rootfs(""))},
		{name: "streamed", src: all(rootfs("installed-directly = true;"))},
		{name: "streamed capsule", src: software("images: ( " +
			strings.Replace(capsuleEntry, "type", "installed-directly = true; type", 1) + " ); " + script)},
		{name: "without any ID", src: noID(all(rootfs("")))},
		{name: "the script before the images", src: software(script + "images: ( " + rootfs("") + " );")},
		{name: "no partition", src: image(`partition = "APP";`, ""), want: []string{"error tegra-properties"},
			says: `needs the property "partition"`},
		{name: "no size", src: image(`size = "4096";`, ""), want: []string{"error tegra-properties"}, says: `needs the property "size"`},
		{name: "no sha256 of the image", src: image(`4096"; sha256 = "`+hash+`";`, `4096";`), want: []string{"error tegra-properties"},
			says: `"sha256"`},
		{name: "empty", src: image(`"4096"`, `""`), want: []string{"error tegra-properties"}},
		{name: "a slot", src: image(`"APP"`, `"APP_b"`), want: []string{"error tegra-properties"}, says: "the device chooses the slot"},
		{name: "kernel", src: image(`"APP"`, `"kernel"`)},
		{name: "size in hexadecimal", src: image(`"4096"`, `"0x1000"`), want: []string{"error tegra-properties"}},
		{name: "size of nothing", src: image(`"4096"`, `"0"`), want: []string{"error tegra-properties"}},
		{name: "size in words", src: image(`"4096"`, `"4 KiB"`), want: []string{"error tegra-properties"}},
		{name: "size to be filled in", src: image(`"4096"`, `"@SIZE@"`), want: []string{"error placeholder"}},
		{name: "no digest", src: image(`4096"; sha256 = "`, `4096"; sha256 = "x`), want: []string{"error tegra-properties"}},
		{name: "unknown property", src: image(`update = "1";`, `update = "1"; sha512 = "12";`), want: []string{"error tegra-properties"},
			says: "known are partition, size, sha256, update"},
		{name: "a list", src: image(`"APP"`, `[ "APP" ]`), want: []string{"error tegra-properties"}, says: "not a list"},
		{name: "unknown property of a capsule", src: software("images: ( " +
			strings.Replace(capsuleEntry, "update", `mode = "x"; update`, 1) + " ); " + script),
			want: []string{"error tegra-properties"}},
		{name: "no activate", src: software("images: ( " + rootfs("") + " );"), want: []string{"error activate-missing"},
			says: "nothing would be switched"},
		{name: "no activate, in one selection", src: software("a: { b: { images: ( " + rootfs("") + " ); " + script +
			" }; c: { images: ( " + rootfs("") + " ); }; };"),
			want: []string{"error activate-missing"}, says: "software.a.c has"},
		{name: "activate for all selections", src: software("a: { b: { images: ( " + rootfs("") + " ); }; c: { images: ( " + rootfs("") +
			" ); }; }; " + script)},
		{name: "activate of a board", src: software("orin: { " + script + " }; a: { b: { images: ( " + rootfs("") + " ); }; };"),
			want: []string{"error activate-missing"}, says: "software.a.b"},
		{name: "activate of the only board", src: `software = { version = "1"; orin: { hardware-compatibility = [ "1" ]; ` + script +
			` }; a: { b: { images: ( ` + rootfs("") + ` ); }; }; }`},
		{name: "activate among the images", src: software("images: ( " + rootfs("") + ", " + activateEntry + " );"),
			want: []string{"error activate-missing", "error handler"}},
		{name: "activate alone", src: software(script)},
		{name: "one ID missing", src: software("images: ( " + rootfs("") + ", " + noID(capsuleEntry) + " ); " + script),
			want: []string{"error update-id"},
			says: "the entry for TEGRA_BL.Cap has no property"},
		{name: "the first ID missing", src: software("images: ( " + noID(rootfs("")) + ", " + capsuleEntry + " ); " + script),
			want: []string{"error update-id"},
			says: "the entry for rootfs.img has no property"},
		{name: "another ID of activate", src: software("images: ( " + rootfs("") + " ); " +
			strings.Replace(script, `update = "1"`, `update = "2"`, 1)),
			want: []string{"error update-id"}, says: `is "2" here and "1" before`},
		{name: "install-if-different", src: all(rootfs(`install-if-different = true; name = "r"; version = "1";`)),
			want: []string{"error install-if"},
			says: "the slot that runs"},
		{name: "install-if-higher without a version", src: all(rootfs(`install-if-higher = true;`)), want: []string{"error install-if"},
			not: "compares nothing"},
		{name: "device", src: all(rootfs(`device = "/dev/nvme0n1p1";`)), want: []string{"warning ignored"},
			says: "does not look at device"},
		{name: "bootenv", src: software("images: ( " + rootfs("") + " ); bootenv: ( { name = \"a\"; value = \"b\"; } ); " + script),
			want: []string{"warning bootenv"}},
		{name: "bootenv of another selection", src: software("a: { b: { images: ( " + rootfs("") + " ); " + script +
			" }; c: { bootenv: ( { name = \"a\"; value = \"b\"; } ); }; };")},
		{name: "twice the same partition", src: software("images: ( " + rootfs("") + ", " +
			strings.Replace(rootfs(""), "rootfs.img", "other.img", 1) + " ); " + script),
			want: []string{"warning duplicate"}, says: "replaces the first"},
	} {
		r.run(t)
	}
}
