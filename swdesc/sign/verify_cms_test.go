package sign_test

import (
	"bytes"
	"encoding/asn1"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// replaced returns DER in which each element that is old is new instead, at any depth but not within the element keep.
func replaced(t testing.TB, der, old, new, keep []byte) (out []byte) {
	t.Helper()
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case bytes.Equal(v.FullBytes, old):
			out = append(out, new...)
		case v.IsCompound && !bytes.Equal(v.FullBytes, keep):
			v.Bytes, v.FullBytes = replaced(t, v.Bytes, old, new, keep), nil
			whole, err := asn1.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, whole...)
		default:
			out = append(out, v.FullBytes...)
		}
		der = rest
	}
	return out
}

// TestVerifyRefusesCMS lists what package cms reads and SWUpdate does not take, or nobody should write.
func TestVerifyRefusesCMS(t *testing.T) {
	certificate := certificates(t, "p256")[0].Raw
	der := signed(t, sign.CMS, "p256")
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	ecdsa := []byte("\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02")
	algorithm := func(oid string) []byte { return replaced(t, der, ecdsa, []byte(oid), certificate) }
	for _, tt := range []struct {
		text string
		sig  []byte
	}{
		{"there is no ContentInfo around its SignedData", info.Content.Bytes},
		{"its algorithm 1.2.840.10045.2.1 does not fit", algorithm("\x06\x07\x2a\x86\x48\xce\x3d\x02\x01")},
		{"its algorithm 1.2.840.10045.4.3.4 does not fit the digest and the ECDSA P-256 key",
			algorithm("\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04")},
		{"its attribute contentType is malformed: asn1: structure error: it must stand there once",
			bytes.Replace(der, []byte{0x0d, 1, 9, 3}, []byte{0x0d, 1, 9, 9}, 1)},
		{"its attribute contentType is not the type of its content", bytes.Replace(der, []byte{0x0d, 1, 7, 1}, []byte{0x0d, 1, 7, 5}, 1)},
		{"a certificate in it is malformed", replaced(t, der, certificate, []byte{0x30, 0}, nil)},
	} {
		_, err := sign.Verify(message, tt.sig, sign.VerifyOptions{Trust: trust(t, "p256"), Format: sign.CMS})
		failsWith(t, err, fail.Data, tt.text)
	}
	// Certificates of other kinds are passed over.
	sig := replaced(t, der, certificate, append([]byte{0xa1, 0}, certificate...), nil)
	if _, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "p256")}); err != nil {
		t.Error(err)
	}
}
