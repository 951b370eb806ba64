package payload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Bare or wrapped, what is kept is the BUP, byte for byte, and its images come back.
func TestKeepsTheBUP(t *testing.T) {
	v2, v3 := buildBUP(t, bup.V2, nv4("32.7.5")), buildBUP(t, bup.V3, nv4("36.4.0"))
	for _, tt := range []struct {
		name    string
		raw     []byte
		bup     []byte
		version string
	}{
		{"V2", v2, v2, "32.7.5"},
		{"V3", v3, v3, "36.4.0"},
		{"capsule", buildCapsule(t, v3, nil), v3, "36.4.3"},
		{"unsigned capsule", buildCapsule(t, v3, func(o *capsule.BuildOptions) { o.Unsigned = true }), v3, "36.4.3"},
	} {
		root := t.TempDir()
		m := device.New(root)
		p, err := keep(m, tt.raw)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		kept, err := m.ReadFile(p.File)
		must(t, err)
		if !bytes.Equal(kept, tt.bup) || p.Size != int64(len(tt.bup)) || p.SHA256 != fmt.Sprintf("%x", sha256.Sum256(tt.bup)) {
			t.Errorf("%s: %d bytes kept, want %d", tt.name, len(kept), len(tt.bup))
		}
		if got := p.Version().String(); got != tt.version {
			t.Errorf("%s: version %s, want %s", tt.name, got, tt.version)
		}
		for i, e := range p.Package.Entries {
			image, err := io.ReadAll(p.Image(i))
			if err != nil || sha256.Sum256(image) != e.SHA256 {
				t.Errorf("%s: image %s differs: %v", tt.name, e.Name, err)
			}
		}
		must(t, p.Remove())
		must(t, p.Remove())
		if names := left(t, root); names != nil {
			t.Errorf("%s: left over %v", tt.name, names)
		}
	}
}

// What is no payload is refused at its head; what turns out to be short, long or changed leaves nothing behind.
func TestMalformedIsRefused(t *testing.T) {
	raw := buildBUP(t, bup.V2, "")
	wrapped := buildCapsule(t, buildBUP(t, bup.V3, ""), nil)
	changed := bytes.Clone(wrapped)
	changed[len(changed)-10] ^= 1
	splash, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V2, Type: bup.TypeBMP, Images: []bup.Image{{Name: "BMP"}}})
	must(t, err)
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"text", []byte("hello, this is no firmware"), "neither a BUP nor a UEFI capsule"},
		{"a few bytes", []byte("NVIDIA"), "neither a BUP"},
		{"half a table", raw[:100], "the file ends here"},
		{"splash screens", splash, "its type is 1"},
		{"truncated", raw[:len(raw)-1], "1 bytes early"},
		{"longer", append(bytes.Clone(raw), 0), "the file goes on"},
		{"truncated capsule", wrapped[:len(wrapped)-3], "early"},
		{"longer capsule", append(bytes.Clone(wrapped), 0), "the file goes on"},
		{"changed capsule", changed, "was signed"},
	} {
		root := t.TempDir()
		_, err := keep(device.New(root), tt.raw)
		wantFailure(t, err, fail.Data, tt.want)
		if names := left(t, root); names != nil {
			t.Errorf("%s: left over %v", tt.name, names)
		}
		if h, err := payload.Open(bytes.NewReader(tt.raw)); err == nil {
			wantFailure(t, h.Drain(), fail.Data, tt.want)
		}
	}
}

// An input that fails is not the file's fault, and a context ends the reading.
func TestInputErrorsArePassedOn(t *testing.T) {
	raw, broken := buildBUP(t, bup.V2, ""), errors.New("broken pipe")
	for _, n := range []int{0, 8, 60, len(raw) - 3} {
		h, err := payload.Open(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(broken)))
		if err == nil {
			err = h.Drain()
		}
		if !errors.Is(err, broken) || fail.CodeOf(err) == fail.Data {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	h, err := payload.Open(bytes.NewReader(raw))
	must(t, err)
	if err := h.WithContext(ended).Drain(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Every change can be the last one before a power cut, with every loss; the same call afterwards does it.
func TestEveryCutIsRepeatable(t *testing.T) {
	raw := buildCapsule(t, buildBUP(t, bup.V3, nv4("36.4.0")), nil)
	count := 0
	for _, loss := range device.Losses {
		for cut := 1; ; cut++ {
			root := t.TempDir()
			fault := &device.Fault{CutAt: cut, Loss: loss}
			p, err := keep(device.New(root).WithFault(fault), raw)
			if !fault.WasCut() {
				must(t, err)
				must(t, p.Close())
				break
			}
			count++
			m := device.New(root)
			if p, err = keep(m, raw); err != nil {
				t.Fatalf("%s, cut at %d of %q: %v", loss, cut, fault.Changes(), err)
			}
			must(t, p.Close())
			must(t, payload.Clean(m, folder))
			if names := left(t, root); names != nil {
				t.Errorf("%s, cut at %d: left over %v", loss, cut, names)
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d cuts", count)
	}
}

// Every change may fail: nothing is taken for kept then.
func TestEveryFailureIsReported(t *testing.T) {
	raw := buildBUP(t, bup.V2, "")
	for n := 1; ; n++ {
		fault := &device.Fault{FailAt: n}
		_, err := keep(device.New(t.TempDir()).WithFault(fault), raw)
		if fault.Count() < n {
			must(t, err)
			return
		}
		if !errors.Is(err, device.ErrFault) {
			t.Errorf("change %d of %q failed, and Keep says %v", n, fault.Changes(), err)
		}
	}
}

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
