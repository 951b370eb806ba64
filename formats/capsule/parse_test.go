package capsule_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

var ignoreSignature = cmpopts.IgnoreUnexported(capsule.Capsule{})

// What is built is read again as it was, whichever way it is read.
func TestRoundTrip(t *testing.T) {
	signer := issue(t, "signer", nil, false, 0)
	rapid.Check(t, func(t *rapid.T) {
		o := capsule.BuildOptions{
			ImageIndex:      rapid.Uint8Min(1).Draw(t, "index"),
			HeaderVersion:   rapid.IntRange(1, 3).Draw(t, "header version"),
			Flags:           rapid.Uint32Min(1).Draw(t, "flags"),
			FirmwareVersion: capsule.Version(rapid.Uint32().Draw(t, "version")),
			LowestSupported: capsule.Version(rapid.Uint32().Draw(t, "lowest")),
			Unsigned:        rapid.Bool().Draw(t, "unsigned"),
		}
		copy(o.ImageType[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "type"))
		if o.HeaderVersion > 1 {
			o.HardwareInstance = rapid.Uint64().Draw(t, "instance")
		}
		if !o.Unsigned {
			o.MonotonicCount = rapid.Uint64().Draw(t, "count")
			o.Certificate, o.Key = signer.cert, signer.key
		}
		var err error
		o.BUP, err = bup.BuildBytes(bup.BuildOptions{
			HeaderSize: rapid.SampledFrom([]uint32{40, 48}).Draw(t, "BUP header size"),
			Images: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bup.Image {
				return bup.Image{Name: rapid.StringMatching(`[!-~]{1,39}`).Draw(t, "name"), Data: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data")}
			}), 1, 5).Draw(t, "images"),
		})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := capsule.Build(&b, o); err != nil {
			t.Fatal(err)
		}
		raw := b.Bytes()
		want := wantCapsule(t, o, raw)
		for name, read := range map[string]func() (*capsule.Capsule, error){
			"ParseAt":              func() (*capsule.Capsule, error) { return capsule.ParseAt(bytes.NewReader(raw), int64(len(raw))) },
			"Parse":                func() (*capsule.Capsule, error) { return capsule.Parse(bytes.NewReader(raw)) },
			"Parse, one byte":      func() (*capsule.Capsule, error) { return capsule.Parse(iotest.OneByteReader(bytes.NewReader(raw))) },
			"Parse, EOF with data": func() (*capsule.Capsule, error) { return capsule.Parse(iotest.DataErrReader(bytes.NewReader(raw))) },
		} {
			got, err := read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got, ignoreSignature); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if err := got.VerifySigner(signer.cert); (err == nil) == o.Unsigned {
				t.Errorf("%s: VerifySigner: %v", name, err)
			}
		}
	})
}

func wantCapsule(t *rapid.T, o capsule.BuildOptions, raw []byte) *capsule.Capsule {
	imageAt := []int{0, 80, 88, 96}[o.HeaderVersion]
	payloadAt := len(raw) - len(o.BUP) - 16
	p, err := bup.Parse(bytes.NewReader(o.BUP))
	if err != nil {
		t.Fatal(err)
	}
	want := &capsule.Capsule{
		Size: int64(len(raw)), Flags: o.Flags, HeaderVersion: o.HeaderVersion, ImageType: o.ImageType, ImageIndex: o.ImageIndex,
		UpdateImageSize: uint32(len(raw) - imageAt), HardwareInstance: o.HardwareInstance, MonotonicCount: o.MonotonicCount,
		Signed: !o.Unsigned, FirmwareVersion: o.FirmwareVersion, LowestSupportedVersion: o.LowestSupported,
		PayloadOffset: int64(payloadAt), BUPOffset: int64(payloadAt + 16), BUP: p,
		ContentDigest: sha256.Sum256(content(raw[payloadAt:], o.MonotonicCount)),
	}
	if want.Signed {
		want.MessageDigest = want.ContentDigest[:]
		want.SignatureOffset = int64(imageAt + 32)
		want.SignatureLength = int64(payloadAt - imageAt - 32)
	}
	if o.HeaderVersion == 3 && want.Signed {
		want.ImageCapsuleSupport = capsule.SupportAuthentication
	}
	return want
}

// What Build writes is, byte for byte, what assemble has written down by hand.
func TestLayout(t *testing.T) {
	version, err := capsule.ParseVersion("36.4.3")
	if err != nil {
		t.Fatal(err)
	}
	lowest, err := capsule.ParseVersion("36.4")
	if err != nil {
		t.Fatal(err)
	}
	raw := build(t, capsule.BuildOptions{FirmwareVersion: version, LowestSupported: lowest, MonotonicCount: 5})
	c, err := capsule.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	der := raw[c.SignatureOffset:][:c.SignatureLength]
	byHand := assemble(t, der, 5, append(payloadHeader(), payload(t)...))
	if diff := cmp.Diff(byHand, raw); diff != "" {
		t.Errorf("(-by hand +Build):\n%s", diff)
	}
	if c.SignatureOffset != 120 {
		t.Errorf("signature at %d, want 120", c.SignatureOffset)
	}
}

func patched(raw []byte, at int, b ...byte) []byte {
	raw = bytes.Clone(raw)
	copy(raw[at:], b)
	return raw
}

func TestMalformed(t *testing.T) {
	raw := build(t, capsule.BuildOptions{})
	c, err := capsule.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	unsigned := build(t, capsule.BuildOptions{Unsigned: true})
	pay, image := int(c.PayloadOffset), int(c.BUPOffset)
	der := raw[120:][:c.SignatureLength]
	v2, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V2, Images: []bup.Image{{Name: "mb1"}}})
	if err != nil {
		t.Fatal(err)
	}
	bmp, err := bup.BuildBytes(bup.BuildOptions{Type: bup.TypeBMP, Images: []bup.Image{{Name: "BMP"}}})
	if err != nil {
		t.Fatal(err)
	}
	short := patched(unsigned[:88], 24, 88, 0, 0, 0)
	for _, tt := range []struct {
		name, format, field string
		raw                 []byte
		offset              int
	}{
		{"nothing", "capsule", "capsule header", nil, 0},
		{"CapsuleGuid", "capsule", "CapsuleGuid", patched(raw, 15, 0), 0},
		{"HeaderSize too small", "capsule", "HeaderSize", patched(raw, 16, 27), 16},
		{"HeaderSize too large", "capsule", "HeaderSize", patched(raw, 16, 0xff, 0xff, 0xff, 0xff), 16},
		{"HeaderSize without padding", "capsule", "Version", patched(raw, 16, 28), 28},
		{"CapsuleImageSize too small", "capsule", "CapsuleImageSize", patched(raw, 24, byte(len(raw)-1)), 24},
		{"CapsuleImageSize too large", "capsule", "CapsuleImageSize", patched(raw, 24, byte(len(raw)+1)), 24},
		{"FMP version", "capsule", "Version", patched(raw, 32, 2), 32},
		{"embedded driver", "capsule", "EmbeddedDriverCount", patched(raw, 36, 1), 36},
		{"no payload", "capsule", "PayloadItemCount", patched(raw, 38, 0), 38},
		{"two payloads", "capsule", "PayloadItemCount", patched(raw, 38, 2), 38},
		{"item offset", "capsule", "ItemOffset", patched(raw, 40, 24), 40},
		{"image header version 0", "capsule", "Version", patched(raw, 48, 0), 48},
		{"image header version 4", "capsule", "Version", patched(raw, 48, 4), 48},
		{"image header of another version", "capsule", "UpdateImageSize", patched(raw, 48, 3), 72},
		{"UpdateImageSize", "capsule", "UpdateImageSize", patched(raw, 72, raw[72]+1), 72},
		{"vendor code", "capsule", "UpdateVendorCodeSize", patched(raw, 76, 1), 76},
		{"dwLength without a signature", "capsule", "dwLength", patched(raw, 96, 24, 0, 0, 0), 96},
		{"dwLength 0", "capsule", "dwLength", patched(raw, 96, 0, 0, 0, 0), 96},
		{"dwLength maximal", "capsule", "dwLength", patched(raw, 96, 0xff, 0xff, 0xff, 0xff), 96},
		{"dwLength to the end", "capsule", "dwLength", patched(raw, 96, binary.LittleEndian.AppendUint32(nil, uint32(len(raw)-96))...), 96},
		{"dwLength one less", "capsule", "PKCS#7 signature", patched(raw, 96, binary.LittleEndian.AppendUint32(nil, uint32(23+len(der)))...), 120},
		{"dwLength one more", "capsule", "PKCS#7 signature", patched(raw, 96, binary.LittleEndian.AppendUint32(nil, uint32(25+len(der)))...), 120},
		{"wRevision", "capsule", "wRevision", patched(raw, 100, 1), 100},
		{"wCertificateType", "capsule", "wCertificateType", patched(raw, 102, 2), 102},
		{"CertType", "capsule", "CertType", patched(raw, 104, 0), 104},
		{"PKCS#7", "capsule", "PKCS#7 signature", patched(raw, 120, 0x31), 120},
		{"payload header", "capsule", "payload header", patched(raw, pay, 'X'), pay},
		{"payload header size", "capsule", "payload HeaderSize", patched(raw, pay+4, 32), pay + 4},
		{"version changed", "capsule", "messageDigest", patched(raw, pay+8, 1), 120},
		{"image changed", "capsule", "messageDigest", patched(raw, len(raw)-1, 1), 120},
		{"monotonic count changed", "capsule", "messageDigest", patched(raw, 88, 1), 120},
		{"BUP magic", "BUP", "magic", patched(raw, image, 'X'), 0},
		{"BUP size", "BUP", "blob_size", patched(raw, image+20, 0), 20},
		{"V2 BUP", "capsule", "BUP magic", assemble(t, der, 0, append(payloadHeader(), v2...)), pay + 16},
		{"BMP", "capsule", "BUP type", assemble(t, der, 0, append(payloadHeader(), bmp...)), pay + 48},
		{"payload header behind the end", "capsule", "payload header", patched(short, 72, 0, 0, 0, 0), 88},
		{"unsigned, too short for a payload header", "capsule", "payload header", patched(patched(unsigned[:98], 24, 98, 0, 0, 0), 72, 10, 0, 0, 0), 98},
		{"CapsuleImageSize before the BUP", "capsule", "payload header", patched(patched(unsigned, 24, 98, 0, 0, 0), 72, 10, 0, 0, 0), 88},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := capsule.Parse(bytes.NewReader(tt.raw))
			var fe *capsule.FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if strings.HasPrefix(tt.name, "CapsuleImageSize too") {
				// A stream tells only by its end, and the image size is wrong before that.
				_, err = capsule.ParseAt(bytes.NewReader(tt.raw), int64(len(tt.raw)))
				errors.As(err, &fe)
			}
			if fe.Format != tt.format || fe.Field != tt.field || fe.Offset != int64(tt.offset) || !fe.MalformedData() {
				t.Errorf("error %+v, want %s, offset %d and field %s", fe, tt.format, tt.offset, tt.field)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("message %q", err)
			}
			if _, err := capsule.ParseAt(bytes.NewReader(tt.raw), int64(len(tt.raw))); !errors.As(err, &fe) {
				t.Errorf("ParseAt: error %v, want a FormatError", err)
			}
		})
	}
}

// Any single bit that is flipped, in a header that matters, the signature or the payload, is found, but for the fields
// that nothing protects.
func TestFlippedBits(t *testing.T) {
	raw := build(t, capsule.BuildOptions{MonotonicCount: 3})
	c, err := capsule.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	cert := c.SignatureOffset
	unprotected := func(at int) bool {
		return at >= 20 && at < 24 || at >= 28 && at < 32 || at >= 52 && at < 72 || at >= 80 && at < 88
	}
	for at := range raw {
		flipped := patched(raw, at, raw[at]^0x10)
		got, err := capsule.Parse(bytes.NewReader(flipped))
		inBlob := int64(at) >= cert && int64(at) < cert+c.SignatureLength
		if err == nil && !unprotected(at) && !inBlob {
			t.Errorf("byte %d: parsed", at)
		}
		if err == nil && inBlob && got.ContentDigest != c.ContentDigest {
			t.Errorf("byte %d: another digest", at)
		}
	}
}

// Every prefix of a capsule, and one with anything behind it, is an error on every way of reading.
func TestTruncatedAndTrailing(t *testing.T) {
	for _, o := range []capsule.BuildOptions{{HeaderVersion: 3}, {HeaderVersion: 1, Unsigned: true}} {
		whole := build(t, o)
		cases := [][]byte{append(bytes.Clone(whole), 0)}
		for n := range whole {
			cases = append(cases, whole[:n])
		}
		for _, raw := range cases {
			var fe *capsule.FormatError
			if _, err := capsule.Parse(bytes.NewReader(raw)); !errors.As(err, &fe) {
				t.Errorf("%d bytes: Parse: %v", len(raw), err)
			}
			for _, size := range []int{len(raw), len(whole)} {
				if _, err := capsule.ParseAt(bytes.NewReader(raw), int64(size)); size != len(whole) && !errors.As(err, &fe) {
					t.Errorf("%d bytes: ParseAt: %v", len(raw), err)
				}
			}
		}
	}
}

func TestScanner(t *testing.T) {
	raw := build(t, capsule.BuildOptions{FirmwareVersion: 0x00240403})
	r := bytes.NewReader(raw)
	s, err := capsule.NewScanner(r)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.Capsule(); c.FirmwareVersion.String() != "36.4.3" || c.ImageType != t234 || len(c.BUP.Entries) != 2 || c.ContentDigest != [32]byte{} {
		t.Errorf("capsule %+v", c)
	}
	if r.Len() != len("first")+len("NV4\n") {
		t.Errorf("%d bytes are left, want the images", r.Len())
	}
	if err := s.Finish(); err == nil {
		t.Error("Finish before the first byte succeeded")
	}
	if err := s.Capsule().VerifySigner(); err == nil || errors.As(err, new(*capsule.SignerError)) {
		t.Errorf("VerifySigner before the end: %v", err)
	}
	got, err := io.ReadAll(io.LimitReader(s, int64(len(raw))))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("Read replayed %d bytes, %v; want %d", len(got), err, len(raw))
	}
	for range 2 {
		if err := s.Finish(); err != nil {
			t.Error(err)
		}
	}
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("Read behind the end: %d, %v", n, err)
	}
}

func TestReadError(t *testing.T) {
	raw := build(t, capsule.BuildOptions{})
	boom := errors.New("boom")
	for n := 0; n <= len(raw); n++ {
		_, err := capsule.Parse(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(boom)))
		if !errors.Is(err, boom) || errors.As(err, new(*capsule.FormatError)) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for text, word := range map[string]uint32{
		"35.5.0": 2295040, "36.4.0": 2360320, "36.4.3": 0x00240403, "39.2.0": 2556416, "0.0.0": 0, "65535.255.255": 0xffffffff,
	} {
		if v, err := capsule.ParseVersion(text); err != nil || uint32(v) != word {
			t.Errorf("ParseVersion(%s) = 0x%08x, %v, want 0x%08x", text, uint32(v), err, word)
		}
		if got := capsule.Version(word).String(); got != text {
			t.Errorf("Version(0x%08x) = %s, want %s", word, got, text)
		}
	}
	for text, want := range map[string]string{"36.4": "36.4.0", "R36.4.3": "36.4.3", "R39.2": "39.2.0"} {
		if v, err := capsule.ParseVersion(text); err != nil || v.String() != want {
			t.Errorf("ParseVersion(%s) = %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "36", "36.4.3.1", "36.x", "36.256.0", "65536.0.0", "-1.0.0", "36..3", "r36.4", "RR36.4", "36.+4.3", " 36.4"} {
		if v, err := capsule.ParseVersion(text); err == nil {
			t.Errorf("ParseVersion(%q) = %v, want an error", text, v)
		}
	}
}

func TestIsCapsule(t *testing.T) {
	raw := build(t, capsule.BuildOptions{})
	if !capsule.IsCapsule(raw[:16]) || capsule.IsCapsule(raw[:15]) || capsule.IsCapsule(payload(t)) || bup.IsBUP(raw) {
		t.Error("IsCapsule is wrong")
	}
}

func TestBuildRefuses(t *testing.T) {
	id := issue(t, "signer", nil, false, 0)
	other := issue(t, "other", nil, true, 1)
	v2, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V2, Images: []bup.Image{{Name: "mb1"}}})
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]capsule.BuildOptions{
		"version 4":            {HeaderVersion: 4},
		"version -1":           {HeaderVersion: -1},
		"no hardware instance": {HeaderVersion: 1, HardwareInstance: 1},
		"need a signature":     {Unsigned: true, MonotonicCount: 1},
		"go together":          {Certificate: id.cert},
		"cannot read BUP":      {BUP: []byte("no BUP")},
		"format V2":            {BUP: v2},
		"cannot sign":          {Certificate: id.cert, Key: id.key, Intermediates: []*x509.Certificate{other.cert}},
	} {
		if o.BUP == nil {
			o.BUP = payload(t)
		}
		if err := capsule.Build(io.Discard, o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	errFull := errors.New("full")
	if err := capsule.Build(writerFunc(func([]byte) (int, error) { return 0, errFull }), capsule.BuildOptions{BUP: payload(t)}); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func FuzzParse(f *testing.F) {
	for v := 1; v <= 3; v++ {
		f.Add(build(f, capsule.BuildOptions{HeaderVersion: v, MonotonicCount: uint64(v)}))
		f.Add(build(f, capsule.BuildOptions{HeaderVersion: v, Unsigned: true, ImageType: guid.GUID{1}}))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := capsule.Parse(bytes.NewReader(raw))
		at, errAt := capsule.ParseAt(bytes.NewReader(raw), int64(len(raw)))
		if (err == nil) != (errAt == nil) {
			t.Fatalf("Parse: %v, ParseAt: %v", err, errAt)
		}
		if err != nil {
			if !errors.As(err, new(*capsule.FormatError)) || !errors.As(errAt, new(*capsule.FormatError)) {
				t.Fatalf("not FormatErrors: %v, %v", err, errAt)
			}
			return
		}
		if diff := cmp.Diff(c, at, ignoreSignature); diff != "" {
			t.Fatalf("Parse and ParseAt differ:\n%s", diff)
		}
		if c.Size != int64(len(raw)) || c.BUPOffset+int64(c.BUP.Header.Size) != c.Size {
			t.Fatalf("sizes: %+v of %d bytes", c, len(raw))
		}
		if err := c.VerifySigner(); err == nil {
			t.Fatal("a signer is trusted by nobody")
		}
		_ = fmt.Sprint(c.FirmwareVersion)
	})
}
