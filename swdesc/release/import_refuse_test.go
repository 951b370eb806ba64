package release_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func TestImportRefuses(t *testing.T) {
	dir := t.TempDir()
	gzip := "\x1f\x8b rest"
	c := func(kind, extra string) string {
		return `{"version": "1", "components": [` + entry(t, dir, "f", "content", kind, extra) + `]}`
	}
	packed := func(name, content, compressed string) string {
		const before = `, "target_partition": "APP", "compressed": `
		return `{"version": "1", "components": [` + entry(t, dir, name, content, "raw-image", before+compressed) + `]}`
	}
	const app = `, "target_partition": "APP"`
	good := c("raw-image", app)
	more := func(s string) string { return strings.TrimSuffix(good, "}") + s + "}" }
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", `{"version" "1"}`, `cannot read manifest M:1:12: `},
		{"a key twice", `{"version": "1", "version": "2"}`, `cannot read manifest M:1:18: `},
		{"nothing", `{}`, `cannot use manifest M: version is missing or empty; M: components is missing: a manifest needs at least one`},
		{"unknown keys", "{\"versions\": 1,\n\"components\": [{\"filename\": \"f\", \"sha\": 1}]}",
			`cannot read manifest M:1:2: unknown key "versions", did you mean "version"?; M:2:34: component 1 (f): unknown key "sha"`},
		{"capital letters", `{"Version": "1"}`, `unknown key "Version", did you mean "version"?`},
		{"wrong types", `{"version": 1, "components": {}}`,
			`M:1:2: version must be a string in quotes; M:1:16: components must be a list in brackets`},
		{"a broken number", `{"components": [{"size": 1.5}]}`, `component 1: size must be a whole number`},
		{"no file", strings.Replace(good, `"f"`, `""`, 1), `component 1: filename is missing or empty`},
		{"a folder", strings.Replace(good, `"f"`, `"a/f"`, 1), `component 1 (a/f): filename "a/f" must be a file's name without folders`},
		{"the folder above", strings.Replace(good, `"f"`, `".."`, 1), `filename ".." must be a file's name without folders`},
		{"no digest", strings.Replace(good, `"sha256": "`, `"sha256": "0`, 1), `" must be 64 hexadecimal digits`},
		{"no size", strings.Replace(good, `"size": 7`, `"size": 0`, 1), `component 1 (f): size = 0 must be the file's size in bytes`},
		{"another type", c("deb", app), `component 1 (f): type "deb" must be tegra-bup or raw-image`},
		{"no partition", c("raw-image", ""), `component 1 (f): target_partition "" must be APP, kernel or kernel-dtb`},
		{"another partition", c("raw-image", `, "target_partition": "esp"`),
			`component 1 (f): target_partition "esp" must be APP, kernel or kernel-dtb`},
		{"a partition for firmware", c("tegra-bup", app), `component 1 (f): target_partition "APP" does nothing for type tegra-bup`},
		{"other compression", packed("g", gzip, `"gzip"`),
			`component 1 (g): compressed "gzip" must be true, false, "zstd" or "none": devices decompress nothing else`},
		{"compressed otherwise", packed("g", gzip, `true`),
			`cannot import component g: it is gzip, and the manifest says that it is compressed; compress it with zstd`},
		{"not compressed", packed("p", "ab", `true`), `cannot import component p: it is not compressed, and`},
		{"two root file systems", `{"version": "1", "components": [` + entry(t, dir, "f", "content", "raw-image", app) + "," +
			entry(t, dir, "h", "h", "raw-image", `, "target_partition": "APP_b"`) + `]}`,
			`cannot make a release of manifest M: component 2 (h): type "rootfs" is the type of component 1 too`},
		{"a version for a shell", strings.Replace(good, `"1"`, `"$(reboot)"`, 1),
			`cannot make a release of manifest M: version "$(reboot)" must be`},
		{"a minimum that is none", more(`, "minimum_version": "latest"`), `minimum_version "latest" must be numbers`},
		{"an unknown check", more(`, "pre_checks": {"min_batery": 3}`), `unknown check "min_batery" in pre_checks, did you mean "min_battery"?`},
		{"an unknown check in a list", more(`, "pre_checks": [{"name": "temperature", "value": 3}]`),
			`unknown check "temperature" in pre_checks; known are ac_power, battery_percent, `},
		{"an odd list", more(`, "pre_checks": [1]`), `pre_checks[0] must be an object`},
		{"an odd battery", more(`, "pre_checks": {"min_battery": 101}`), `pre_checks.min_battery must be a percentage from 0 to 100`},
		{"odd room", more(`, "pre_checks": {"min_free_space_mb": 9223372036854775807}`),
			`pre_checks.min_free_space_mb must be a number of MiB above 0`},
		{"odd bytes", more(`, "pre_checks": {"min_free_space_bytes": "1"}`), `pre_checks.min_free_space_bytes must be a number of bytes above 0`},
		{"odd services", more(`, "pre_checks": {"services": ["a b"]}`),
			`pre_checks.services must be a list of systemd units, such as docker.service`},
		{"odd power", more(`, "pre_checks": {"ac_power": 1}`), `pre_checks.ac_power must be true or false`},
		{"pre_checks as text", more(`, "pre_checks": "all"`), `pre_checks must be an object or a list of objects`},
		{"a missing file", strings.Replace(good, `"f"`, `"missing"`, 1), `cannot read component missing: stat`},
		{"another size", strings.Replace(good, `"size": 7`, `"size": 8`, 1),
			`cannot import component f: it has 7 bytes, and the manifest says 8`},
		{"another digest", regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(good, strings.Repeat("0", 64)),
			`cannot import component f: its SHA-256 is `},
	} {
		m := write(t, filepath.Join(dir, "m.json"), tt.text)
		_, _, err := release.Import(release.ImportOptions{Manifest: m, Unsigned: true, Dir: dir})
		want := strings.ReplaceAll(tt.want, "M:", m+":")
		if err == nil || fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant data: ...%s...", tt.name, err, want)
		}
	}
}

// A compressed file whose manifest forgets to say so is only a warning.
func TestImportUndeclaredZstd(t *testing.T) {
	dir := t.TempDir()
	c := entry(t, dir, "r.zst", "\x28\xb5\x2f\xfd...", "raw-image", `, "target_partition": "APP"`)
	m := write(t, filepath.Join(dir, "m.json"), `{"version": "1", "components": [`+c+`]}`)
	_, problems, err := release.Import(release.ImportOptions{Manifest: m, Unsigned: true, Dir: dir})
	const want = "component r.zst is compressed with zstd, and the manifest does not say so; devices write what is in it"
	if err != nil || len(problems) != 1 || problems[0].Reason != want {
		t.Error(problems, err)
	}
}

func FuzzManifest(f *testing.F) {
	example, err := os.ReadFile("../../examples/release/manifest.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(`{"version":"1","components":[{"filename":"f","sha256":"` + strings.Repeat("0", 64) +
		`","size":1,"type":"tegra-bup"}],"pre_checks":[{"x":1}]}`))
	f.Add([]byte(`{"pre_checks":[{"name":"services","value":["a"]}],"hardware_compatibility":["3767-0005-TS4"]}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, src []byte) {
		m := filepath.Join(dir, fmt.Sprintf("%d.json", os.Getpid()))
		if err := os.WriteFile(m, src, 0o644); err != nil {
			t.Fatal(err)
		}
		r, _, err := release.Import(release.ImportOptions{Manifest: m, Unsigned: true, Dir: dir})
		if err != nil {
			if fail.CodeOf(err) != fail.Data || bytes.Contains([]byte(err.Error()), []byte("\n")) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(src) {
			t.Fatalf("%+v from what is no JSON", r)
		}
		printed(t, r)
	})
}
