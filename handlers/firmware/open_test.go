package firmware_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// What Open refuses it refuses before a byte is written.
func TestOpenRefuses(t *testing.T) {
	good := build(t, virtual.CapsuleOptions{})
	bare, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V3, Images: []bup.Image{{Name: "mb1", Data: []byte("x")}}})
	must(t, err)
	damaged := func(at int, b byte) []byte { c := bytes.Clone(good); c[at] ^= b; return c }
	for _, tt := range []struct {
		name  string
		orin  virtual.CreateOptions
		spoil func(o orin)
		raw   []byte
		code  fail.Code
		text  string
	}{
		{name: "nothing", raw: nil, code: fail.Data, text: "it is empty"},
		{name: "a bare BUP", raw: bare, code: fail.Data, text: "bare BUP on T234"},
		{name: "another magic", raw: damaged(0, 1), code: fail.Data, text: "offset 0"},
		{name: "half a header", raw: good[:60], code: fail.Data, text: "offset"},
		{name: "another size", raw: damaged(24, 1), code: fail.Data, text: "offset"},
		{name: "another image type", raw: build(t, virtual.CapsuleOptions{ImageType: "db21ea33-80c8-4906-971a-49c0b3f7d1d0"}), code: fail.Data, text: "image type db21ea33"},
		{name: "below ESRT's floor", raw: build(t, virtual.CapsuleOptions{L4T: "36.3.0"}), code: fail.Data, text: "36.3.0 is below the lowest supported version 36.4.0"},
		{
			name: "R36 on firmware older than 35.5.0", orin: virtual.CreateOptions{L4T: "35.4.1"}, raw: good,
			code: fail.Data, text: "firmware 35.4.1 cannot take 36.4.3",
		},
		{name: "another module", raw: build(t, virtual.CapsuleOptions{Specs: []string{"3701-300-0000--1-1-jetson-agx-orin-devkit-"}}), code: fail.Data, text: "for board 3767-300-0005"},
		{name: "an image too few", raw: build(t, virtual.CapsuleOptions{Omit: []string{"mb2", "sc7"}}), code: fail.Data, text: "it lacks mb2, sc7"},
		{
			name: "no update table", spoil: func(o orin) { must(o.t, os.RemoveAll(o.path("sys/firmware/efi/esrt"))) }, raw: good,
			code: fail.Unavailable, text: "cannot read the firmware's update table",
		},
		{
			name: "an update table that is none", spoil: func(o orin) { o.write(esrtFolder+"/fw_version", "many\n") }, raw: good,
			code: fail.Unavailable, text: "fw_version",
		},
		{
			name: "an ESP that is not mounted", raw: good, code: fail.Unavailable, text: "ESP",
			spoil: func(o orin) {
				b, err := os.ReadFile(o.path("proc/self/mountinfo"))
				must(o.t, err)
				var kept []string
				for _, line := range strings.Split(string(b), "\n") {
					if !strings.Contains(line, "/boot/efi") {
						kept = append(kept, line)
					}
				}
				o.write("proc/self/mountinfo", strings.Join(kept, "\n"))
			},
		},
		{
			name: "a full ESP", raw: good, code: fail.Unavailable, text: "KiB are needed",
			spoil: func(o orin) {
				must(o.t, unix.Mount("none", o.path("boot/efi"), "tmpfs", 0, "size=128k"))
				o.t.Cleanup(func() { _ = unix.Unmount(o.path("boot/efi"), unix.MNT_DETACH) })
			},
		},
		{
			name: "a request of another width", spoil: func(o orin) { o.set(efivarfs.OsIndicationsSupported, []byte{4}) }, raw: good,
			code: fail.Unavailable, text: "OsIndicationsSupported",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t, tt.orin)
			if tt.spoil != nil {
				tt.spoil(o)
			}
			_, err := o.stager(firmware.Options{}).Open(ctx, bytes.NewReader(tt.raw))
			wantFailure(t, err, tt.code, tt.text)
			if o.exists("boot/efi/EFI/tegra-ota") || o.exists("boot/efi/EFI/UpdateCapsule") {
				t.Error("something was written")
			}
		})
	}
}

func TestOpenWarns(t *testing.T) {
	for _, tt := range []struct {
		name    string
		orin    virtual.CreateOptions
		spoil   func(o orin)
		capsule virtual.CapsuleOptions
		want    string
	}{
		{name: "nothing to doubt"},
		{name: "an older version above the floor", orin: virtual.CreateOptions{L4T: "36.4.4", Lowest: "36.3.0"}, want: "36.4.3 is older than the running firmware 36.4.4"},
		{name: "not signed", capsule: virtual.CapsuleOptions{Unsigned: true}, want: "not signed"},
		{name: "bit 2 unsupported", spoil: func(o orin) { o.set(efivarfs.OsIndicationsSupported, u64(1)) }, want: "lacks bit 2"},
		{name: "support unknown", spoil: func(o orin) { o.delete(efivarfs.OsIndicationsSupported) }},
		{name: "no spec", spoil: func(o orin) { o.delete(efivarfs.TegraPlatformSpec) }, want: "TegraPlatformSpec is absent"},
		{name: "R36 on 35.5.0", orin: virtual.CreateOptions{L4T: "35.5.0"}},
		{name: "R35 does not need pva-fw", orin: virtual.CreateOptions{L4T: "35.5.0"}, capsule: virtual.CapsuleOptions{Omit: []string{"pva-fw"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t, tt.orin)
			if tt.spoil != nil {
				tt.spoil(o)
			}
			c, err := o.stager(firmware.Options{}).Open(ctx, bytes.NewReader(build(t, tt.capsule)))
			must(t, err)
			if c.Version().String() != "36.4.3" {
				t.Errorf("version %s", c.Version())
			}
			got := strings.Join(c.Warnings(), "; ")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
			must(t, c.Verify(ctx))
			if o.exists("boot/efi/EFI/tegra-ota") {
				t.Error("something was written")
			}
		})
	}
}

// Room that our own left-overs take is counted as free: they go first.
func TestOwnLeftOversAreRoom(t *testing.T) {
	raw := build(t, virtual.CapsuleOptions{})
	o := newOrin(t, virtual.CreateOptions{})
	must(t, unix.Mount("none", o.path("boot/efi"), "tmpfs", 0, "size=384k"))
	t.Cleanup(func() { _ = unix.Unmount(o.path("boot/efi"), unix.MNT_DETACH) })
	s := o.stager(firmware.Options{})
	_, err := s.Open(ctx, bytes.NewReader(raw))
	must(t, err)
	o.write("boot/efi/other", strings.Repeat("x", 200<<10))
	_, err = s.Open(ctx, bytes.NewReader(raw))
	wantFailure(t, err, fail.Unavailable, "KiB are needed")
	must(t, os.Remove(o.path("boot/efi/other")))
	o.write(stagedFile, strings.Repeat("x", 200<<10))
	_, err = s.Open(ctx, bytes.NewReader(raw))
	must(t, err)
}
