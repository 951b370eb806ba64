package capsule_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// replaced returns DER in which each element that is old is new instead, at any depth.
func replaced(t testing.TB, der, old, new []byte) (out []byte) {
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
		case v.IsCompound:
			whole, err := asn1.Marshal(asn1.RawValue{Class: v.Class, Tag: v.Tag, IsCompound: true, Bytes: replaced(t, v.Bytes, old, new)})
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

// What package cms reads, and firmware does not take.
func TestSignatureRefused(t *testing.T) {
	id := issueFor(t, rsaKey(t), "signer", nil, false, 0)
	raw := build(t, capsule.BuildOptions{Certificate: id.cert, Key: id.key})
	c := parse(t, raw)
	der := raw[c.SignatureOffset:][:c.SignatureLength]
	digest, err := asn1.Marshal(c.MessageDigest)
	if err != nil {
		t.Fatal(err)
	}
	for text, blob := range map[string][]byte{
		"not all are of X.509":                      replaced(t, der, id.cert.Raw, append(bytes.Clone(id.cert.Raw), 0xa1, 0)),
		"33 certificates, want at most 32":          replaced(t, der, id.cert.Raw, bytes.Repeat(id.cert.Raw, 33)),
		"messageDigest has 31 bytes, want 32":       replaced(t, der, digest, append([]byte{4, 31}, digest[3:]...)),
		"messageDigest is malformed":                bytes.Replace(der, []byte{0x0d, 1, 9, 4}, []byte{0x0d, 1, 9, 9}, 1),
		"content type":                              bytes.Replace(der, []byte{0x0d, 1, 7, 2}, []byte{0x0d, 1, 7, 1}, 1),
		"digest algorithm 2.16.840.1.101.3.4.2.3, ": bytes.ReplaceAll(der, []byte{1, 0x65, 3, 4, 2, 1}, []byte{1, 0x65, 3, 4, 2, 3}),
	} {
		_, err := capsule.Parse(bytes.NewReader(assemble(t, blob, 0, raw[c.PayloadOffset:])))
		var fe *capsule.FormatError
		if !errors.As(err, &fe) || fe.Field != "PKCS#7 signature" || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

// Firmware does not look for the attribute contentType.
func TestContentTypeDoesNotCount(t *testing.T) {
	id := issueFor(t, rsaKey(t), "signer", nil, false, 0)
	raw := build(t, capsule.BuildOptions{Certificate: id.cert, Key: id.key})
	c := parse(t, raw)
	der := raw[c.SignatureOffset:][:c.SignatureLength]
	data, err := cms.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	s := data.Signers[0]
	without := bytes.Replace(s.Attributes, []byte{0x0d, 1, 9, 3}, []byte{0x0d, 1, 9, 9}, 1)
	digest := sha256.Sum256(without)
	again, err := id.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	der = bytes.Replace(bytes.Replace(der, s.Attributes[1:], without[1:], 1), s.Signature, again, 1)
	if err := parse(t, assemble(t, der, 0, raw[c.PayloadOffset:])).VerifySigner(id.cert); err != nil {
		t.Error(err)
	}
}

// A capsule that is signed with RSA is the same bytes every time, and its chain comes along.
func TestReproducible(t *testing.T) {
	root := issue(t, "root", nil, true, 1)
	leaf := issueFor(t, rsaKey(t), "leaf", root, false, 0)
	o := capsule.BuildOptions{Certificate: leaf.cert, Key: leaf.key, Intermediates: []*x509.Certificate{root.cert}}
	raw := build(t, o)
	if !bytes.Equal(raw, build(t, o)) {
		t.Error("two capsules differ")
	}
	if !bytes.Contains(raw, leaf.cert.Raw) || !bytes.Contains(raw, root.cert.Raw) {
		t.Error("a certificate is missing")
	}
}
