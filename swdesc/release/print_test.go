package release_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func printed(t interface{ Fatal(...any) }, r *release.Release) string {
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPrint(t *testing.T) {
	r, err := release.Load("../../examples/release/release.toml")
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Release description for swdesc.
version = "1.5.0"
description = "Camera firmware 3, kernel fixes"
minimum_version = "1.2.0" # older systems refuse

[hardware]
boards = ["p3767-0005/jetson-orin-nano-devkit", "3767-300-0001-M.3-1-0-jetson-orin-nano-devkit-"] # that the firmware must suit
compatible = "jetson-orin-nano-devkit" # RAUC's compatible, Mender's device type
revisions = ["1.0", "#RE:^1\\.[0-9]+$"] # SWUpdate's hardware-compatibility
swupdate_board = "camera" # first word of the devices' /etc/hwrevision

[[component]]
type = "rootfs"
file = "rootfs.ext4"
name = "rootfs.ext4.zst" # in the update
partition = "APP" # of the slot that does not run
compression = "zstd"

[[component]]
type = "kernel"
file = "boot.img"
partition = "kernel" # of the slot that does not run

[[component]]
type = "kernel-dtb"
file = "tegra234-p3767.dtb"
partition = "kernel-dtb" # of the slot that does not run

[[component]]
type = "firmware"
file = "TEGRA_BL.Cap"
install_if_different = true

[[component]]
type = "file"
file = "detector.engine"
path = "/data/models/detector.engine" # on the device
install_if_different = true
component_version = "3.1"

[[component]]
type = "script"
file = "settings.sh"
script = "postinstall"

# Checked on the device before the first byte is written.
[preconditions]
free_space = [
  { path = "/data", bytes = "100M" },
]
battery_percent = 30 # at least
ac_power = true
services = ["docker.service"] # that must be active
`
	if d := cmp.Diff(want, printed(t, r)); d != "" {
		t.Error(d)
	}
}

// What Load would refuse is not printed; what a caller left to the defaults is.
func TestPrintRules(t *testing.T) {
	r := &release.Release{Version: "1 0", Components: []release.Component{{Type: "rootfs", File: "a\nb"}}}
	err := r.Print(&bytes.Buffer{})
	if err == nil || fail.CodeOf(err) != fail.Data || !strings.HasPrefix(err.Error(), `cannot print release: version "1 0" must be`) ||
		!strings.Contains(err.Error(), `file "a\nb" must be UTF-8`) {
		t.Error(err)
	}
	r = &release.Release{Version: "1", Components: []release.Component{{Type: "rootfs", File: "r"}}}
	back, err := release.Parse("r.toml", []byte(printed(t, r)))
	if err != nil || back.Name != "release" || r.Name != "" || r.Components[0].Partition != "" {
		t.Errorf("%+v from %+v, %v", back, r, err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestPrintFails(t *testing.T) {
	r := &release.Release{Version: "1", Components: []release.Component{{Type: "rootfs", File: "r"}}}
	if err := r.Print(full{}); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

// some draws a list, nil if empty, as Parse leaves what is absent.
func some(t *rapid.T, label, pattern string) []string {
	list := rapid.SliceOfNDistinct(rapid.StringMatching(pattern), 0, 3, rapid.ID[string]).Draw(t, label)
	if len(list) == 0 {
		return nil
	}
	return list
}

func drawComponent(t *rapid.T, kind string) release.Component {
	c := release.Component{
		Type: kind, File: rapid.StringMatching(`[a-z./ "\\#é]{0,20}/[a-z]{8}[A-Za-z0-9._+~-]{0,20}`).Draw(t, "file"),
		Compression: rapid.SampledFrom([]string{"none", "zstd"}).Draw(t, "compression"), Encrypt: rapid.Bool().Draw(t, "encrypt"),
		Stream: is(rapid.Bool().Draw(t, "stream")), Name: rapid.StringMatching(`([A-Za-z0-9]{8}[A-Za-z0-9._+~-]{0,30})?`).Draw(t, "name"),
	}
	switch kind {
	case release.Rootfs:
		c.Partition = "APP"
	case release.Kernel, release.KernelDTB:
		c.Partition = kind
	case release.Firmware:
		c.InstallIfDifferent = rapid.Bool().Draw(t, "different")
	case release.File:
		c.Destination = rapid.StringMatching(`(/[a-z #%é;]{1,8}){1,3}/[a-z]{12}`).Draw(t, "path")
		if c.InstallIfDifferent = rapid.Bool().Draw(t, "different"); c.InstallIfDifferent {
			c.ComponentVersion = rapid.StringMatching(`[0-9][0-9a-z.]{0,10}`).Draw(t, "component version")
		}
	case release.Script:
		c.Stream = is(false)
		c.Script = rapid.SampledFrom([]string{"shellscript", "lua", "preinstall", "postinstall"}).Draw(t, "script")
	}
	return c
}

func drawRelease(t *rapid.T) *release.Release {
	r := &release.Release{
		Version: rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}`).Draw(t, "version"), Base: ".",
		Description:    rapid.StringMatching(`[ -~éλ’"\\#]{0,40}`).Draw(t, "description"),
		Name:           rapid.SampledFrom([]string{"release", "fleet-1"}).Draw(t, "name"),
		MinimumVersion: rapid.StringMatching(`([0-9]{1,9}(\.[0-9]{1,4}){0,3})?`).Draw(t, "minimum"),
		Hardware: release.Hardware{
			Boards:        some(t, "boards", `p(3767-000[01345]|3701-000[0458])(/m[a-z.]{0,3})?`),
			Revisions:     some(t, "revisions", `[0-9]\.[0-9]|#RE:\^[a-z]\\\.[0-9]\$`),
			Compatible:    rapid.StringMatching(`([a-z][a-z ,+-]{0,20})?`).Draw(t, "compatible"),
			SWUpdateBoard: rapid.StringMatching(`(b[a-z_-]{0,5}x)?`).Draw(t, "board"),
		},
		Running: release.Running{
			File: rapid.SampledFrom([]string{"/etc/os-release", "/etc/version"}).Draw(t, "file"),
			Key:  rapid.SampledFrom([]string{"VERSION_ID", "IMAGE_VERSION"}).Draw(t, "key"),
		},
		Preconditions: release.Preconditions{
			BatteryPercent: rapid.IntRange(0, 100).Draw(t, "battery"), ACPower: rapid.Bool().Draw(t, "power"),
			Services: some(t, "services", `[a-z@:_][a-z@:_-]{0,4}\.service`),
		},
	}
	for _, path := range some(t, "free space", `/[a-z]{1,5}`) {
		bytes := release.Size(rapid.Int64Range(1, 1<<63-1).Draw(t, "bytes"))
		r.Preconditions.FreeSpace = append(r.Preconditions.FreeSpace, release.FreeSpace{Path: path, Bytes: bytes})
	}
	if rapid.Bool().Draw(t, "allows") {
		r.Allow = []string{release.CheckExtlinuxRoot, release.CheckL4TRelease, release.CheckFirmwareSignature, release.CheckRootfs}
	}
	single := rapid.SampledFrom([]string{"rootfs", "kernel", "kernel-dtb", "firmware"})
	kinds := rapid.SliceOfNDistinct(single, 0, 4, rapid.ID[string]).Draw(t, "kinds")
	kinds = append(kinds, rapid.SliceOfN(rapid.SampledFrom([]string{"file", "script"}), 0, 3).Draw(t, "others")...)
	for _, kind := range append(kinds, "file") {
		r.Components = append(r.Components, drawComponent(t, kind))
	}
	return r
}

// Print, then Parse, is identity.
func TestPrintParses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawRelease(t)
		members := map[string]bool{}
		for _, c := range want.Components {
			if name := c.MemberName(); members[name] {
				t.Skip("two members of one name")
			}
			members[c.MemberName()] = true
		}
		text := printed(t, want)
		got, err := release.Parse("release.toml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%s\n%s", d, text)
		}
	})
}

// Whatever Parse takes, Print writes, and Parse reads the same from it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head))
	f.Add([]byte(file("path = \"/d/f\"\nstream = true\n") + "[preconditions]\nfree_space = [{ path = \"/\", bytes = \"1536\" }]\n"))
	f.Add([]byte("hardware.boards = ['p3767-0005']\nversion='''1'''\ncomponent=[{type=\"script\",file=\"\\u00e9/s\"}]"))
	f.Add([]byte("[[component]]\n[component.x]\n[component]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := release.Parse("x/r.toml", src)
		if err != nil {
			if fail.CodeOf(err) != fail.Data {
				t.Fatal(err)
			}
			return
		}
		text := printed(t, r)
		back, err := release.Parse("x/r.toml", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if d := cmp.Diff(r, back, cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("%s\n%s", d, text)
		}
	})
}
