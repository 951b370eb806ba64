package release_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func write(t *testing.T, path string, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// entry is a component of a manifest for a file of the given content, which is written; extra is more JSON.
func entry(t *testing.T, dir, name, content, kind, extra string) string {
	t.Helper()
	write(t, filepath.Join(dir, name), content)
	return fmt.Sprintf(`{"name": "n", "filename": %q, "sha256": "%x", "size": %d, "type": %q%s}`, name, sha256.Sum256([]byte(content)),
		len(content), kind, extra)
}

// unsigned imports a manifest with more JSON around one rootfs.
func unsigned(t *testing.T, more string) (*release.Release, problem.List, error) {
	t.Helper()
	dir := t.TempDir()
	c := entry(t, dir, "r.ext4", "root", "raw-image", `, "target_partition": "APP"`)
	m := write(t, filepath.Join(dir, "m.json"), `{"version": "1", "components": [`+c+`]`+more+`}`)
	return release.Import(release.ImportOptions{Manifest: m, Unsigned: true, Dir: dir})
}

// The example, with the files it speaks of, becomes a release that Load takes.
func TestImportExample(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"bl_update_payload", "rootfs.ext4", "kernel_dtb.dtb"} {
		write(t, filepath.Join(dir, name), "example of "+name+"\n")
	}
	got, problems, err := release.Import(release.ImportOptions{Manifest: "../../examples/release/manifest.json", Unsigned: true, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := &release.Release{
		Version: "2024.03.15-r1", Name: "release", MinimumVersion: "2024.01.01", Base: dir,
		Hardware: release.Hardware{Boards: []string{"p3767-0005"}, Compatible: "jetson-orin-nano-devkit"},
		Running:  release.Running{File: "/etc/os-release", Key: "VERSION_ID"},
		Components: []release.Component{
			{Type: release.Firmware, File: "bl_update_payload", Compression: "none", Stream: is(false)},
			{Type: release.Rootfs, File: "rootfs.ext4", Partition: "APP", Compression: "none", Stream: is(true)},
			{Type: release.KernelDTB, File: "kernel_dtb.dtb", Partition: "kernel-dtb", Compression: "none", Stream: is(false)},
		},
		Preconditions: release.Preconditions{
			FreeSpace: []release.FreeSpace{{Path: "/tmp", Bytes: 1 << 30}}, BatteryPercent: 50, Services: []string{"NetworkManager.service"},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	wantProblems := []string{
		"warning (import): ../../examples/release/manifest.json: the manifest asks for 1G of free space and does not say where; " +
			"/tmp is taken; set path of free_space to the folder that needs it",
		`warning (import): ../../examples/release/manifest.json: hardware_compatibility names "jetson-orin-nano-devkit", which is no board; ` +
			"it became compatible, for RAUC and Mender; name the modules in boards, so that the firmware is checked against them; known are " +
			strings.Join(firmware.Modules(), ", "),
	}
	if d := cmp.Diff(wantProblems, texts(problems)); d != "" {
		t.Error(d)
	}
	back, err := release.Load(write(t, filepath.Join(dir, "release.toml"), printed(t, got)))
	if d := cmp.Diff(want, back); d != "" || err != nil {
		t.Error(d, err)
	}
}

func texts(l problem.List) []string {
	var out []string
	for _, p := range l {
		out = append(out, p.String())
	}
	return out
}

// The manifest as a public guide prints it, with its boards, version with a suffix, and "zstd" for compressed.
func TestImportGuide(t *testing.T) {
	dir := t.TempDir()
	zstd := exec.Command("zstd", "-q", "-c")
	zstd.Stdin = strings.NewReader("root")
	packed, err := zstd.Output()
	if err != nil {
		t.Fatal(err)
	}
	m := write(t, filepath.Join(dir, "m.json"), `{"version": "2024.03.15-r1", "minimum_version": "2024.01.01-r1",
		"hardware_compatibility": ["3767-0005-TS4", "3768-0000-TS1"],
		"components": [`+
		entry(t, dir, "rootfs.ext4.zst", string(packed), "raw-image", `, "target_partition": "APP_b", "compressed": "zstd"`)+`, `+
		entry(t, dir, "kernel_Image", "kernel", "raw-image", `, "target_partition": "A_kernel"`)+`],
		"pre_checks": {"min_battery_pct": 50, "required_services": ["networkmanager"]}}`)
	got, problems, err := release.Import(release.ImportOptions{Manifest: m, Unsigned: true, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := &release.Release{
		Version: "2024.03.15-r1", Name: "release", MinimumVersion: "2024.01.01", Base: dir,
		Hardware: release.Hardware{Boards: []string{"p3767-0005"}},
		Running:  release.Running{File: "/etc/os-release", Key: "VERSION_ID"},
		Components: []release.Component{
			{Type: release.Rootfs, File: "rootfs.ext4.zst", Partition: "APP", Compression: "zstd", Stream: is(true)},
			{Type: release.Kernel, File: "kernel_Image", Partition: "kernel", Compression: "none", Stream: is(false)},
		},
		Preconditions: release.Preconditions{BatteryPercent: 50, Services: []string{"networkmanager.service"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	wantReasons := []string{
		`service "networkmanager" is taken as networkmanager.service`,
		`minimum_version "2024.01.01-r1" is compared by its numbers, as 2024.01.01`,
		`hardware_compatibility names "3767-0005-TS4"; every fab of p3767-0005 is taken`,
		`hardware_compatibility names "3768-0000-TS1", a carrier board: nothing on a device compares that; left out`,
		`component rootfs.ext4.zst: the manifest names partition "APP_b"; the device chooses the slot, and writes its APP`,
		`component kernel_Image: the manifest names partition "A_kernel"; the device chooses the slot, and writes its kernel`,
	}
	if d := cmp.Diff(wantReasons, reasons(problems)); d != "" || problems.Errors() != 0 {
		t.Error(d)
	}
}

func TestImportMinimum(t *testing.T) {
	for _, tt := range []struct {
		version, want string
		warned        bool
	}{
		{"", "", false}, {"2024.01.01", "2024.01.01", false}, {"v2024.01.01", "2024.01.01", true}, {"2024.01.01-r1", "2024.01.01", true},
		{"v2024.01.01-r1", "2024.01.01", true}, {"1.2~rc1", "1.2", true}, {"v1+b.2", "1", true},
	} {
		r, problems, err := unsigned(t, fmt.Sprintf(`, "minimum_version": %q`, tt.version))
		if err != nil {
			t.Errorf("%q: %v", tt.version, err)
			continue
		}
		var want []string
		if tt.warned {
			want = []string{fmt.Sprintf("minimum_version %q is compared by its numbers, as %s", tt.version, tt.want)}
		}
		if d := cmp.Diff(want, reasons(problems)); d != "" || r.MinimumVersion != tt.want {
			t.Errorf("%q becomes %q: %s", tt.version, r.MinimumVersion, d)
		}
	}
	for _, version := range []string{"v", "vv1", "v1.", "v1.x", "v1 2", "1.2rc1", "v1.2\n"} {
		if _, _, err := unsigned(t, fmt.Sprintf(`, "minimum_version": %q`, version)); fail.CodeOf(err) != fail.Data ||
			!strings.Contains(err.Error(), "must be numbers with dots between them") {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func reasons(l problem.List) []string {
	var out []string
	for _, p := range l {
		out = append(out, p.Reason)
	}
	return out
}

func TestImportChecks(t *testing.T) {
	for _, tt := range []struct {
		checks string
		want   release.Preconditions
	}{
		{`{}`, release.Preconditions{}},
		{`[]`, release.Preconditions{}},
		{`{"min_battery": 30, "ac_power": true}`, release.Preconditions{BatteryPercent: 30, ACPower: true}},
		{`[{"battery_percent": 30}, {"require_ac_power": false}]`, release.Preconditions{BatteryPercent: 30}},
		{`[{"name": "min_battery_percent", "value": 100}, {"type": "services", "value": ["a.service", "a.service"]}]`,
			release.Preconditions{BatteryPercent: 100, Services: []string{"a.service"}}},
		{`[{"free_space_mb": 1}, {"min_free_space_bytes": 5000000}]`,
			release.Preconditions{FreeSpace: []release.FreeSpace{{Path: "/tmp", Bytes: 5000000}}}},
	} {
		r, _, err := unsigned(t, `, "pre_checks": `+tt.checks)
		if err != nil {
			t.Errorf("%s: %v", tt.checks, err)
		} else if d := cmp.Diff(tt.want, r.Preconditions); d != "" {
			t.Errorf("%s: %s", tt.checks, d)
		}
	}
}
