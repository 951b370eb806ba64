package virtual_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// wrap signs a package of any content: what firmware says to packages that the builder would not make.
func wrap(t *testing.T, pkg []byte) []byte {
	t.Helper()
	version, err := capsule.ParseVersion("36.4.3")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = capsule.Build(&out, capsule.BuildOptions{
		ImageType: guid.MustParse("bf0d4599-20d4-414e-b2c5-3595b1cda402"), FirmwareVersion: version, LowestSupported: version, BUP: pkg,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// patch changes bytes of the package inside a capsule. The signature no longer fits then, which is why it is only for
// malformations that come before that check, or that stand in its way.
func patch(t *testing.T, raw []byte, at int, value ...byte) []byte {
	t.Helper()
	start := bytes.Index(raw, []byte("NVIDIA__BLOB__V3"))
	if start < 0 {
		t.Fatal("no package in the capsule")
	}
	out := append([]byte{}, raw...)
	copy(out[start+at:], value)
	return out
}

// Every status that the model knows, with what it leaves behind.
func TestCapsuleStatus(t *testing.T) {
	good := capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"})
	single, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{{Name: "mb2", Data: []byte("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	of := func(opts virtual.CapsuleOptions) []byte {
		if opts.L4T == "" {
			opts.L4T = "36.4.3"
		}
		return capsuleOf(t, opts)
	}
	for _, c := range []struct {
		name    string
		capsule []byte
		given   func(t *testing.T, o *virtual.Orin)
		status  uint32
		version string
		where   string
		fw      string // BootChainFwNext and BootChainFwStatus afterwards
	}{
		{"success", good, nil, 0, "2360323", "running BB", "- -"},
		{"the same version again", of(virtual.CapsuleOptions{L4T: "36.4.0"}), nil, 0, "2360320", "running BB", "- -"},
		{"only the compat spec fits", of(virtual.CapsuleOptions{Specs: []string{"3767-000-0005--1-0-jetson-orin-nano-devkit-"}}), nil, 0, "2360323", "running BB", "- -"},
		{"without a partition table", of(virtual.CapsuleOptions{Omit: []string{"secondary_gpt"}}), nil, 0, "2360323", "running BB", "- -"},
		{"payload header", bytes.Replace(good, []byte("MSS1"), []byte("MSS2"), 1), nil, 4, "0", "running AA", "- -"},
		{"below the floor", of(virtual.CapsuleOptions{L4T: "36.3.0"}), nil, 4112, "2360064", "running AA", "- -"},
		{"below the floor comes before the conflict", of(virtual.CapsuleOptions{L4T: "36.3.0"}), func(t *testing.T, o *virtual.Orin) { set32(t, o, fwStatus, 0) }, 4112, "2360064", "running AA", "- 0"},
		{"unsigned", of(virtual.CapsuleOptions{Unsigned: true}), nil, 4114, "2360323", "running AA", "- -"},
		{"damaged", patch(t, good, 12000, 0xde, 0xad), nil, 4114, "2360323", "running AA", "- -"},
		{"package magic", patch(t, good, 0, []byte("NVIDIA__BLOB__V9")...), nil, 6145, "2360323", "running AA", "- -"},
		{"package header size", patch(t, good, 24, 44), nil, 6145, "2360323", "running AA", "- -"},
		{"splash package", patch(t, good, 32, 1), nil, 6146, "2360323", "running AA", "- -"},
		{"image name without end", patch(t, good, 40, bytes.Repeat([]byte("x"), 40)...), nil, 6147, "2360323", "running AA", "- -"},
		{"package of V2", patch(t, good, 0, []byte("NVIDIA__BLOB__V2")...), nil, 6145, "2360323", "running AA", "- -"},
		{"op mode", patch(t, good, 40+52, 3), nil, 6147, "2360323", "running AA", "- -"},
		{"image too big", of(virtual.CapsuleOptions{ImageSize: 130 << 10}), nil, 6148, "2360323", "running AA", "- -"},
		{"package longer than the capsule", patch(t, good, 20, 0xff, 0xff, 0xff), nil, 6149, "2360323", "running AA", "- -"},
		{"image missing", of(virtual.CapsuleOptions{Omit: []string{"mb2"}}), nil, 6151, "2360323", "running AA", "- -"},
		{"one image", wrap(t, single), nil, 6153, "2360323", "running AA", "- -"},
		{"partition missing in the flash", good, func(t *testing.T, o *virtual.Orin) {
			if err := os.Remove(o.PartitionPath(virtual.B, "pva-fw")); err != nil {
				t.Fatal(err)
			}
		}, 6155, "2360323", "running AA", "- -"},
		{"version of the running firmware unknown", good, func(t *testing.T, o *virtual.Orin) {
			if err := os.Remove(o.PartitionPath(virtual.A, "VER")); err != nil {
				t.Fatal(err)
			}
		}, 6162, "2360323", "running AA", "- -"},
		{"next exists", good, func(t *testing.T, o *virtual.Orin) { set32(t, o, next, 1) }, 6163, "2360323", "running AA", "- 3"},
		{"status exists", good, func(t *testing.T, o *virtual.Orin) { set32(t, o, fwStatus, 0) }, 6163, "2360323", "running AA", "- 3"},
		{"another module", of(virtual.CapsuleOptions{Specs: []string{"3701-300-0000--1-1-jetson-agx-orin-devkit-"}}), nil, 6164, "2360323", "running AA", "- -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := create(t, small())
			if c.given != nil {
				c.given(t, o)
			}
			arm(t, o, c.capsule)
			before := snapshot(t, filepath.Join(o.Dir(), "qspi", "B"))
			r := boot(t, o, virtual.BootOptions{})
			if where(r) != c.where || !r.Capsule.Processed || r.Capsule.Status != c.status {
				t.Errorf("%s, capsule %+v, want %s with %d\n%s", where(r), r.Capsule, c.where, c.status, strings.Join(r.Timeline, "\n"))
			}
			if got, want := esrt(t, o, "last_attempt_version")+" "+esrt(t, o, "last_attempt_status"), c.version+" "+text(c.status); got != want {
				t.Errorf("ESRT has %s, want %s", got, want)
			}
			if got := words(t, o, next, fwStatus); got != c.fw {
				t.Errorf("Next and Status are %s, want %s", got, c.fw)
			}
			if got := read(t, o, "sys/firmware/efi/efivars/OsIndications-"+global); got != "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" {
				t.Errorf("OsIndications = %q", got)
			}
			if left, err := os.ReadDir(filepath.Join(o.Dir(), "boot/efi/EFI/UpdateCapsule")); err != nil || len(left) > 0 {
				t.Errorf("UpdateCapsule holds %v, %v", left, err)
			}
			if diff := cmp.Diff(before, snapshot(t, filepath.Join(o.Dir(), "qspi", "B"))); (diff != "") != (c.status == 0) {
				t.Errorf("status %d and the flash changed: %v", c.status, diff != "")
			}
		})
	}
}

func text(v uint32) string { return strings.TrimSpace(string(appendUint(nil, v))) }

func appendUint(b []byte, v uint32) []byte {
	if v >= 10 {
		b = appendUint(b, v/10)
	}
	return append(b, byte('0'+v%10))
}

// What no driver claims is no attempt: the file goes, ESRT stays.
func TestNoAttempt(t *testing.T) {
	good := capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"})
	for name, raw := range map[string][]byte{
		"another device": capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3", ImageType: "be3f5d68-7654-4ed2-838c-2a2faf901a78"}),
		"cut off":        good[:len(good)-1],
		"a few bytes":    good[:30],
		"empty":          nil,
		"a text":         []byte(strings.Repeat("no capsule ", 20)),
	} {
		o := create(t, small())
		arm(t, o, raw)
		r := boot(t, o, virtual.BootOptions{})
		if where(r) != "running AA" || r.Capsule.Processed || esrt(t, o, "last_attempt_version") != "0" {
			t.Errorf("%s: %s, %+v, last attempt %s", name, where(r), r.Capsule, esrt(t, o, "last_attempt_version"))
		}
		if left, err := os.ReadDir(filepath.Join(o.Dir(), "boot/efi/EFI/UpdateCapsule")); err != nil || len(left) > 0 {
			t.Errorf("%s: UpdateCapsule holds %v, %v", name, left, err)
		}
	}

	o := create(t, small())
	put(t, o, "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap", string(good))
	set(t, o, "OsIndications", global, 0x40, 0, 0, 0, 0, 0, 0, 0)
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" || r.FirmwareWrites != 0 {
		t.Errorf("without bit 2: %s, %d writes", where(r), r.FirmwareWrites)
	}
	if got := read(t, o, "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"); got != string(good) {
		t.Error("without bit 2 the capsule was touched")
	}
	set(t, o, "OsIndications", global, 0x44, 0, 0, 0, 0, 0, 0, 0)
	boot(t, o, virtual.BootOptions{})
	if got := read(t, o, "sys/firmware/efi/efivars/OsIndications-"+global)[4]; got != 0x40 {
		t.Errorf("the low byte of OsIndications is 0x%x, want the other bits kept", got)
	}
}

// A success raises ESRT's floor, changes the running version, and leaves the other chain with its old firmware.
func TestCapsuleSuccess(t *testing.T) {
	o := create(t, small())
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	r := boot(t, o, virtual.BootOptions{})
	if r.Resets != 1 {
		t.Errorf("%d resets, want 1", r.Resets)
	}
	for field, want := range map[string]string{"fw_version": "2360323", "lowest_supported_fw_version": "2360323", "last_attempt_version": "2360323", "last_attempt_status": "0"} {
		if got := esrt(t, o, field); got != want {
			t.Errorf("%s = %s, want %s", field, got, want)
		}
	}
	versions := []byte(read(t, o, "sys/firmware/efi/efivars/SystemFwVersions-"+public))[4:]
	if a, b := binary.LittleEndian.Uint32(versions), binary.LittleEndian.Uint32(versions[4:]); a != 0x240400 || b != 0x240403 {
		t.Errorf("SystemFwVersions = %x %x", a, b)
	}
	for s, want := range map[virtual.Slot]string{virtual.A: "36.4.0", virtual.B: "36.4.3"} {
		if c, err := o.Chain(s); err != nil || !c.Whole || c.VersionText != want {
			t.Errorf("Chain(%s) = %+v, %v, want %s", s, c, err, want)
		}
	}
	// The floor now lies above chain A: an older capsule is refused although a switch back works.
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.0"}))
	set32(t, o, next, 0)
	if r := boot(t, o, virtual.BootOptions{}); r.Capsule.Status != 4112 || where(r) != "running AA" {
		t.Errorf("after the success an older capsule: %+v, %s", r.Capsule, where(r))
	}
	if got := esrt(t, o, "fw_version") + " " + esrt(t, o, "lowest_supported_fw_version"); got != "2360320 2360323" {
		t.Errorf("version and floor after the switch back: %s", got)
	}
}

// The order of writes is what makes a cut safe: mb1 first invalid, last written; BR-BCT after everything was verified.
func TestWriteOrder(t *testing.T) {
	o := create(t, small())
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	r := boot(t, o, virtual.BootOptions{})
	var got []string
	for _, p := range r.Phases {
		if strings.HasPrefix(p, "capsule-image:") {
			p = "capsule-image"
		}
		if len(got) == 0 || got[len(got)-1] != p {
			got = append(got, p)
		}
	}
	want := []string{
		"variable:OsIndications", "capsule-gpt-invalidate", "capsule-mb1-invalidate", "capsule-image", "capsule-mb1", "capsule-gpt",
		"capsule-verify", "capsule-bct-backup", "bct-switch", "esrt", "capsule-remove",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

// Of several capsules each is tried, in name order, before one reset; letter case does not matter on FAT.
func TestSeveralCapsules(t *testing.T) {
	o := create(t, small())
	put(t, o, "boot/efi/efi/updatecapsule/a.cap", string(capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.4"})))
	put(t, o, "boot/efi/efi/updatecapsule/b.cap", string(capsuleOf(t, virtual.CapsuleOptions{L4T: "36.3.0"})))
	if err := os.Rename(filepath.Join(o.Dir(), "boot/efi/EFI/BOOT"), filepath.Join(o.Dir(), "boot/efi/efi/BOOT")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir(), "boot/efi/EFI")); err != nil {
		t.Fatal(err)
	}
	set(t, o, "OsIndications", global, 4, 0, 0, 0, 0, 0, 0, 0)
	r := boot(t, o, virtual.BootOptions{})
	if c, err := o.Chain(virtual.B); where(r) != "running BB" || r.Resets != 1 || r.Capsule.Status != 4112 || err != nil || c.VersionText != "36.4.4" {
		t.Errorf("%s, %d resets, %+v, chain B %+v, %v", where(r), r.Resets, r.Capsule, c, err)
	}
}

// The firmware that a capsule brought does not come up: the old chain runs while ESRT says success.
func TestNewFirmwareFails(t *testing.T) {
	o := create(t, small())
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	r := boot(t, o, virtual.BootOptions{Fail: virtual.FailFirmware})
	if where(r) != "running AA" || esrt(t, o, "last_attempt_status") != "0" || esrt(t, o, "fw_version") != "2360320" {
		t.Errorf("%s, status %s, version %s\n%s", where(r), esrt(t, o, "last_attempt_status"), esrt(t, o, "fw_version"), strings.Join(r.Timeline, "\n"))
	}
	if got := strings.TrimSpace(read(t, o, pmc+"boot_chain_status_b")); got != "0x1" {
		t.Errorf("boot_chain_status_b = %s", got)
	}
	for _, cold := range []bool{false, true} {
		if r := boot(t, o, virtual.BootOptions{Cold: cold}); where(r) != "running AA" {
			t.Errorf("the boot after it (cold %v): %s", cold, where(r))
		}
	}
}

func TestBuildCapsule(t *testing.T) {
	raw := capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"})
	c, err := capsule.ParseAt(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if c.FirmwareVersion.String() != "36.4.3" || c.LowestSupportedVersion != c.FirmwareVersion || !c.Signed {
		t.Errorf("capsule %v, lowest %v, signed %v", c.FirmwareVersion, c.LowestSupportedVersion, c.Signed)
	}
	s := c.BUP.Match("3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-", "3767--0005--1--jetson-orin-nano-devkit-", bup.RequiredT234)
	if len(s.Missing) > 0 {
		t.Errorf("the package lacks %v", s.Missing)
	}
	for name, opts := range map[string]virtual.CapsuleOptions{
		"version": {L4T: "x"}, "lowest": {L4T: "36.4.3", Lowest: "x"}, "type": {L4T: "36.4.3", ImageType: "x"},
		"omit": {L4T: "36.4.3", Omit: []string{"uefi"}}, "size": {L4T: "36.4.3", ImageSize: -1},
	} {
		if _, err := virtual.BuildCapsule(opts); err == nil {
			t.Errorf("BuildCapsule with a bad %s succeeded", name)
		}
	}
}
