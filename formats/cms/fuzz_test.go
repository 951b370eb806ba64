package cms_test

import (
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// FuzzParse wants a FormatError or a signature within the limits, which no change makes one of another content.
func FuzzParse(f *testing.F) {
	for _, seed := range [][]byte{
		ours(f, "p256"), ours(f, "sub", "p256"), file{}.der(), file{}.bare(), signers(digestAttribute),
		theirs(f, "cms", "p256", "-keyid"), theirs(f, "cms", "p256", "-noattr", "-nodetach"), theirs(f, "smime", "p256", "-nocerts"),
		theirs(f, "cms", "p256", "-signer", "sub.pem", "-inkey", "sub.key"), {}, {sequence, 0x80, 0, 0},
	} {
		f.Add(seed)
	}
	other := sha256.Sum256([]byte("another content"))
	f.Fuzz(func(t *testing.T, der []byte) {
		d, err := cms.Parse(der)
		if err != nil {
			if !errors.As(err, new(*cms.FormatError)) || d != nil {
				t.Fatalf("%+v, %v", d, err)
			}
			return
		}
		if n := len(d.Signers); n == 0 || n > cms.MaxSigners || len(d.Certificates) > cms.MaxCertificates {
			t.Fatalf("%d signers, %d certificates", n, len(d.Certificates))
		}
		for _, s := range d.Signers {
			if (s.Attributes == nil) != (s.MessageDigest == nil) {
				t.Errorf("attributes %x, messageDigest %x", s.Attributes, s.MessageDigest)
			}
			_, _ = s.ContentType()
			for _, name := range []string{"p256", "sub"} {
				c := identities[name].cert
				_ = s.Is(c)
				if s.Verify(c, other[:]) == nil {
					t.Errorf("%s signed another content", name)
				}
			}
			if c := s.Certificate(d.Certificates); c != nil && !s.Is(c) {
				t.Error("the certificate is not the signer's")
			}
		}
	})
}
