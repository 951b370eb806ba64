package release_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func is(b bool) *bool { return &b }

// The example that users copy has every key, and loads.
func TestLoadExample(t *testing.T) {
	got, err := release.Load("../../examples/release/release.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := &release.Release{
		Version: "1.5.0", Description: "Camera firmware 3, kernel fixes", Name: "release", MinimumVersion: "1.2.0", Allow: []string{},
		Hardware: release.Hardware{
			Boards:     []string{"p3767-0005/jetson-orin-nano-devkit", "3767-300-0001-M.3-1-0-jetson-orin-nano-devkit-"},
			Compatible: "jetson-orin-nano-devkit", Revisions: []string{"1.0", `#RE:^1\.[0-9]+$`}, SWUpdateBoard: "camera",
		},
		Running: release.Running{File: "/etc/os-release", Key: "VERSION_ID"},
		Components: []release.Component{
			{
				Type: release.Rootfs, File: "rootfs.ext4", Name: "rootfs.ext4.zst", Partition: "APP", Compression: release.Zstd,
				Stream: is(true),
			},
			{Type: release.Kernel, File: "boot.img", Partition: "kernel", Compression: release.Plain, Stream: is(false)},
			{Type: release.KernelDTB, File: "tegra234-p3767.dtb", Partition: "kernel-dtb", Compression: release.Plain, Stream: is(false)},
			{Type: release.Firmware, File: "TEGRA_BL.Cap", Compression: release.Plain, Stream: is(false), InstallIfDifferent: true},
			{
				Type: release.File, File: "detector.engine", Destination: "/data/models/detector.engine", Compression: release.Plain,
				Stream: is(false), InstallIfDifferent: true, ComponentVersion: "3.1",
			},
			{Type: release.Script, File: "settings.sh", Script: "postinstall", Compression: release.Plain, Stream: is(false)},
		},
		Preconditions: release.Preconditions{
			FreeSpace:      []release.FreeSpace{{Path: "/data", Bytes: 100 << 20}},
			BatteryPercent: 30, ACPower: true, Services: []string{"docker.service"},
		},
		Base: "../../examples/release",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseDefaults(t *testing.T) {
	const text = "version = \"1\"\ncomponent = [{ type = 'rootfs', file = 'r.img' }, {type='script',file='/s'}]\n"
	got, err := release.Parse("/releases/x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := &release.Release{
		Version: "1", Name: "release", Running: release.Running{File: "/etc/os-release", Key: "VERSION_ID"}, Base: "/releases",
		Components: []release.Component{
			{Type: "rootfs", File: "r.img", Partition: "APP", Compression: "none", Stream: is(true)},
			{Type: "script", File: "/s", Script: "shellscript", Compression: "none", Stream: is(false)},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if name := got.ArtifactName(); name != "release-1" {
		t.Error(name)
	}
}

func TestMemberNameAndPath(t *testing.T) {
	for _, tt := range []struct {
		c          release.Component
		name, path string
	}{
		{release.Component{File: "a/r.ext4"}, "r.ext4", "/base/a/r.ext4"},
		{release.Component{File: "../r.ext4", Compression: "none"}, "r.ext4", "/r.ext4"},
		{release.Component{File: "/x/r.ext4", Compression: "zstd"}, "r.ext4.zst", "/x/r.ext4"},
		{release.Component{File: "r.ext4.zst", Compression: "zstd"}, "r.ext4.zst", "/base/r.ext4.zst"},
		{release.Component{File: "r.ext4.zst", Compression: "none"}, "r.ext4", "/base/r.ext4.zst"},
		{release.Component{File: "r.ext4", Compression: "zstd", Name: "n"}, "n", "/base/r.ext4"},
	} {
		if name, path := tt.c.MemberName(), tt.c.Path("/base"); name != tt.name || path != tt.path {
			t.Errorf("%+v: %s, %s; want %s, %s", tt.c, name, path, tt.name, tt.path)
		}
	}
}

func TestStreamed(t *testing.T) {
	for _, kind := range []string{"rootfs", "kernel", "kernel-dtb", "firmware", "file", "script"} {
		if got := (release.Component{Type: kind}).Streamed(); got != (kind == "rootfs") {
			t.Errorf("%s by default: %v", kind, got)
		}
		for _, b := range []bool{true, false} {
			if got := (release.Component{Type: kind, Stream: is(b)}).Streamed(); got != b {
				t.Errorf("%s with %v: %v", kind, b, got)
			}
		}
	}
}

func TestSize(t *testing.T) {
	for _, tt := range []struct {
		text, back string
		want       release.Size
	}{
		{"1", "1", 1}, {"1023", "1023", 1023}, {"1024", "1K", 1024}, {"1K", "1K", 1024}, {"1536K", "1536K", 1536 << 10},
		{"100M", "100M", 100 << 20}, {"2048M", "2G", 2 << 30}, {"8589934591G", "8589934591G", 8589934591 << 30},
		{"9223372036854775807", "9223372036854775807", 1<<63 - 1},
	} {
		var s release.Size
		if err := s.UnmarshalText([]byte(tt.text)); err != nil || s != tt.want || s.String() != tt.back {
			t.Errorf("%s: %d, %s, %v", tt.text, s, s, err)
		}
	}
	for _, text := range []string{
		"", "0", "0K", "K", "-1", "+1", "1.5G", "1k", "1 M", "1T", "1MB", "0x10", "1_000",
		"9223372036854775808", "8589934592G", "99999999999999999999",
	} {
		var s release.Size
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 0 {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
}

const component = "[[component]]\ntype = \"rootfs\"\nfile = \"r.ext4\"\n"

// Keys and types: what strict decoding has to say, all of it and with its place.
func TestParseSchema(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown key", "version = \"1\"\n  verion = \"1\"\n" + component,
			`cannot read release r.toml:2:3: unknown key "verion", did you mean "version"?`},
		{"unknown keys, all of them", "x = 1\nversion = \"1\"\n[hardware]\nbord = []\n[other]\ny = 1\n" + component + "pth = \"/x\"\n",
			`cannot read release r.toml:1:1: unknown key "x"; r.toml:4:1: unknown key "hardware.bord", did you mean "boards"?; ` +
				`r.toml:5:2: unknown key "other"; r.toml:10:1: component 1 (r.ext4): unknown key "pth", did you mean "path"?`},
		{"capital letters", "Version = \"1\"\n" + component, `r.toml:1:1: unknown key "Version", did you mean "version"?`},
		{"a hyphen", "minimum-version = \"1\"\n" + component, `r.toml:1:1: unknown key "minimum-version", did you mean "minimum_version"?`},
		{"a misspelt table", "version = \"1\"\n[[components]]\ntype = \"rootfs\"\n",
			`r.toml:2:3: unknown key "components", did you mean "component"?`},
		{"a dotted key", "hardware.board = []\n", `r.toml:1:10: unknown key "hardware.board", did you mean "boards"?`},
		{"an inline table", "version = \"1\"\npreconditions = { free_space = [\n  { path = \"/\", byte = \"1M\" } ] }\n",
			`r.toml:3:17: unknown key "preconditions.free_space[0].byte", did you mean "bytes"?`},
		{"a quoted key", "\"ver sion\" = 1\n", `r.toml:1:1: unknown key "ver sion", did you mean "version"?`},
		{"Base is no key", "Base = \"/\"\n", `r.toml:1:1: unknown key "Base"`},
		{"a table in a component", component + "[component.extra]\n", `r.toml:4:12: component 1 (r.ext4): unknown key "extra"`},
		{"a number for a string", "version = 1.5\n" + component, `r.toml:1:1: version must be a string in quotes`},
		{"a date for a string", "version = 2024-01-01\n" + component, `version must be a string in quotes`},
		{"wrong types, all of them", "version = 1\nallow = \"x\"\n" + component + "stream = \"yes\"\nencrypt = 1\n",
			`cannot read release r.toml:1:1: version must be a string in quotes; r.toml:2:1: allow must be a list in brackets; ` +
				`r.toml:6:1: component 1 (r.ext4): stream must be true or false; r.toml:7:1: component 1 (r.ext4): encrypt must be true or false`},
		{"a wrong element", "[hardware]\nboards = [\"p3767-0005\",\n 3767]\n", `r.toml:3:2: hardware.boards[1] must be a string in quotes`},
		{"a value for a table", "hardware = \"x\"\n", `r.toml:1:1: hardware must be a table`},
		{"a table for a value", "[version]\n", `r.toml:1:2: version must be a string in quotes`},
		{"one component as a table", "[component]\ntype = \"rootfs\"\n", `r.toml:1:2: component must be a list in brackets`},
		{"a word for a number", "[preconditions]\nbattery_percent = \"30\"\n",
			`r.toml:2:1: preconditions.battery_percent must be a whole number`},
		{"a size without quotes", "[preconditions]\nfree_space = [{ path = \"/\", bytes = 5 }]\n",
			`r.toml:2:29: preconditions.free_space[0].bytes must be a string in quotes, such as "100M"`},
		{"a size that is none", "[preconditions]\nfree_space = [{ path = \"/\", bytes = \"5MB\" }]\n",
			`r.toml:2:29: preconditions.free_space[0].bytes "5MB" must be a number of bytes above 0, or one with K, M or G behind it`},
		{"no syntax", "version = \n", `cannot read release r.toml:1:`},
		{"a key twice", "version = \"1\"\nversion = \"2\"\n", `cannot read release r.toml:2:1: `},
		{"a table twice", "[hardware]\n[hardware]\n", `cannot read release r.toml:2:2: `},
		{"a table over a value", "version = \"1\"\n[version.x]\n", `cannot read release r.toml:2:`},
		{"a header over an inline list", "component = []\n[[component]]\n", `cannot read release r.toml:2:`},
		{"a number out of range", "[preconditions]\nbattery_percent = 99999999999999999999\n", `cannot read release r.toml:2:19: `},
		{"no UTF-8", "version = \"\xff\"\n", `cannot read release r.toml:1:12: `},
		{"too much", strings.Repeat("#", release.MaxFile+1), `cannot read release r.toml: it has more than 262144 bytes`},
		{"too many findings", strings.Repeat("[[component]]\nx=1\n", 25), `; and 5 more`},
	} {
		_, err := release.Parse("r.toml", []byte(tt.text))
		if err == nil || fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v\nwant data: ...%s...", tt.name, err, tt.want)
		}
	}
}

// Depth and width cost neither the stack nor minutes.
func TestParseHostile(t *testing.T) {
	var wide strings.Builder
	for i := 0; wide.Len() < release.MaxFile-20; i++ {
		fmt.Fprintf(&wide, "[a%d]\n", i)
	}
	for _, text := range []string{
		"version = " + strings.Repeat("[", release.MaxFile-20), "a = " + strings.Repeat("{a=", 80000),
		strings.Repeat("a.", 100000) + "b = 1", strings.Repeat("[[component]]\n", 18000), wide.String(),
	} {
		if _, err := release.Parse("r.toml", []byte(text)); fail.CodeOf(err) != fail.Data || len(err.Error()) > 400<<10 {
			t.Errorf("%.20s: %.200v", text, err)
		}
	}
}

func TestLoadFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big.toml"), make([]byte, release.MaxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		code       fail.Code
	}{
		{"none.toml", "none.toml: stat", fail.IO},
		{"", "it is no regular file", fail.IO},
		{"big.toml", "it has more than 262144 bytes", fail.Data},
	} {
		_, err := release.Load(filepath.Join(dir, tt.name))
		if fail.CodeOf(err) != tt.code || !strings.HasPrefix(err.Error(), "cannot read release "+dir) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
