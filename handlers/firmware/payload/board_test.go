package payload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A configured certificate refuses what has no signature at the head, and another signer's at the end.
func TestTrust(t *testing.T) {
	v3 := buildBUP(t, bup.V3, "")
	ours, key, text := certificate(t)
	other, _, _ := certificate(t)
	signed := buildCapsule(t, v3, func(o *capsule.BuildOptions) { o.Certificate, o.Key = ours, key })
	open := func(raw []byte) *payload.Head {
		h, err := payload.Open(bytes.NewReader(raw))
		must(t, err)
		return h
	}
	h := open(signed)
	must(t, h.Trust(ours))
	must(t, h.Drain())
	h = open(signed)
	must(t, h.Trust(other))
	wantFailure(t, h.Drain(), fail.Data, "cannot trust capsule's signer")
	wantFailure(t, open(v3).Trust(ours), fail.Data, "a bare BUP carries no signature")
	wantFailure(t, open(buildCapsule(t, v3, func(o *capsule.BuildOptions) { o.Unsigned = true })).Trust(ours), fail.Data, "the capsule is not signed")
	must(t, open(v3).Trust())

	root := t.TempDir()
	write(t, root, "etc/trust.pem", text)
	write(t, root, "etc/empty.pem", "nothing")
	certs, err := payload.Certificates(device.New(root), "/etc/trust.pem")
	if err != nil || len(certs) != 1 || !certs[0].Equal(ours) {
		t.Error(certs, err)
	}
	if certs, err := payload.Certificates(device.New(root), ""); certs != nil || err != nil {
		t.Error(certs, err)
	}
	for _, file := range []string{"/etc/empty.pem", "/etc/missing.pem"} {
		_, err := payload.Certificates(device.New(root), file)
		wantFailure(t, err, fail.Unavailable, "capsule_trust")
	}
}

// Variables first, then NVIDIA's file; a board that nothing names is the device's condition.
func TestBoard(t *testing.T) {
	const variable = "sys/firmware/efi/efivars/TegraPlatformSpec-781e084c-a330-417c-b678-38e696380cb9"
	root := t.TempDir()
	_, _, err := payload.Board(device.New(root))
	wantFailure(t, err, fail.Unavailable, "cannot name the board")
	write(t, root, "etc/nv_boot_control.conf", "TNSPEC 3668-100-0000-H.0-1-2-xavier-mmcblk0p1\nCOMPATIBLE_SPEC 3668-100---1--xavier-\n")
	spec, compat, err := payload.Board(device.New(root))
	if spec != "3668-100-0000-H.0-1-2-xavier-mmcblk0p1" || compat != "3668-100---1--xavier-" || err != nil {
		t.Error(spec, compat, err)
	}
	write(t, root, variable, "\x07\x00\x00\x003701-500-0000-M.0-1-1-agx-\x00")
	spec, compat, err = payload.Board(device.New(root))
	if spec != "3701-500-0000-M.0-1-1-agx-" || compat != "" || err != nil {
		t.Error(spec, compat, err)
	}
}

// A package of another format than the chip's is refused; the names that the chip needs are missing.
func TestSelect(t *testing.T) {
	parse := func(f bup.Format) *bup.Package {
		p, err := bup.Parse(bytes.NewReader(buildBUP(t, f, "")))
		must(t, err)
		return p
	}
	for _, tt := range []struct {
		format  bup.Format
		chip    chip.Chip
		refused string
		missing string // the first
	}{
		{bup.V2, chip.T186, "", "bpmp-fw"},
		{bup.V2, chip.T194, "", "bpmp-fw"},
		{bup.V2, chip.T234, "that is the format of L4T R32", ""},
		{bup.V3, chip.T186, "has V2", ""},
		{bup.V3, chip.T194, "", "bpmp-fw"},
		{bup.V3, chip.T234, "", "bpmp-fw"},
	} {
		s, err := payload.Select(parse(tt.format), tt.chip, "3668-100-0000-H.0-1-2-x-", "")
		if tt.refused != "" {
			wantFailure(t, err, fail.Data, tt.refused)
			continue
		}
		if err != nil || len(s.Missing) == 0 || s.Missing[0].Name != tt.missing || s.Chosen["mb1"] != 0 || s.Chosen["VER"] != 2 {
			t.Errorf("%v on %s: %+v %v", tt.format, tt.chip.Name, s, err)
		}
	}
}

func TestEntriesVersion(t *testing.T) {
	for _, tt := range []struct {
		words []uint32
		want  string
	}{
		{[]uint32{0x3920, 0x3920}, "39.2.0"},
		{[]uint32{3275}, "32.7.5"},
		{[]uint32{0x3275, 0, 2, 0x3275}, "32.7.5"},
		{[]uint32{0x3275, 0x3274}, "0.0.0"},
		{[]uint32{2, 0, 1}, "0.0.0"},
		{[]uint32{0x36412}, "0.0.0"},
		{[]uint32{0x3ABC, 1000, 9999999}, "0.0.0"},
	} {
		var p bup.Package
		for _, w := range tt.words {
			p.Entries = append(p.Entries, bup.Entry{Version: w})
		}
		if d := cmp.Diff(tt.want, payload.EntriesVersion(&p).String()); d != "" {
			t.Errorf("%x: %s", tt.words, d)
		}
	}
}
