package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

func TestOpenSSLVerifies(t *testing.T) {
	noon := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		signer, between, trusted string
		at                       time.Time
	}{
		{"rsa", "", "rsa", time.Time{}},
		{"rsa", "", "rsa", noon},
		{"p256", "", "p256", time.Time{}},
		{"p384", "", "p384", noon},
		{"p521", "other", "p521", time.Time{}},
		{"sub", "", "rsa", noon},
		{"sub", "rsa", "rsa", time.Time{}},
	} {
		t.Run(tt.signer+" "+tt.between, func(t *testing.T) {
			var others []string
			if tt.between != "" {
				others = append(others, tt.between)
			}
			der := signed(t, tt.signer, cms.Options{SigningTime: tt.at}, others...)
			if err := opensslVerify(t, der, tt.trusted, "-purpose", "any"); err != nil {
				t.Error(err)
			}
			if opensslVerify(t, der, "other", "-purpose", "any") == nil {
				t.Error("openssl trusts another certificate")
			}
			if opensslVerify(t, der, tt.trusted, "-purpose", "any", "-content", "rsa.pem") == nil {
				t.Error("openssl verifies another content")
			}
			text, err := openssl(t, der, "cms", "-cmsout", "-print", "-inform", "DER")
			if err != nil {
				t.Fatal(err)
			}
			for want, n := range map[string]int{
				"object: contentType (": 1, "object: messageDigest (": 1, "eContent: <ABSENT>": 1, "d.issuerAndSerialNumber:": 1,
				"d.certificate:": 1 + len(others), "Feb 29 12:00:00 2024 GMT": map[bool]int{true: 0, false: 1}[tt.at.IsZero()],
			} {
				if got := strings.Count(string(text), want); got != n {
					t.Errorf("openssl prints %q %d times, want %d:\n%s", want, got, n, text)
				}
			}
		})
	}
}

// TestSameBytes has openssl sign, takes the time from its signature, and wants the same bytes.
func TestSameBytes(t *testing.T) {
	want := theirs(t, "cms", "rsa", "-nosmimecap", "-certfile", "p256.pem")
	text, err := openssl(t, want, "cms", "-cmsout", "-print", "-inform", "DER")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`UTCTIME:(.* GMT)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no signing time: %s", text)
	}
	at, err := time.Parse("Jan _2 15:04:05 2006 MST", string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	// Half a second and another zone must not matter.
	at = at.In(time.FixedZone("", 3600)).Add(time.Second / 2)
	if got := signed(t, "rsa", cms.Options{SigningTime: at}, "p256"); !bytes.Equal(got, want) {
		t.Errorf("the signatures differ:\n%x\n%x", got, want)
	}
	if !bytes.Equal(ours(t, "rsa"), ours(t, "rsa")) {
		t.Error("two signatures by RSA without a time differ")
	}
}

// What Sign wrote, Parse reads.
func TestRoundTrip(t *testing.T) {
	for _, name := range []string{"rsa", "p256"} {
		d := parse(t, ours(t, name, "sub"))
		s := d.Signers[0]
		if d.Bare || !d.Detached || d.ContentType.String() != "1.2.840.113549.1.7.1" || len(d.Signers) != 1 || d.OtherCertificates != 0 {
			t.Errorf("%+v", d)
		}
		if len(d.Certificates) != 2 || s.Certificate(d.Certificates).Subject.CommonName != name {
			t.Errorf("certificates %v", d.Certificates)
		}
		if s.KeyID != nil || s.Digest() != crypto.SHA256 || !bytes.Equal(s.MessageDigest, sum(crypto.SHA256)) {
			t.Errorf("%+v", s)
		}
		if oid, err := s.ContentType(); err != nil || !oid.Equal(d.ContentType) {
			t.Errorf("contentType %v, %v", oid, err)
		}
		if err := s.Verify(identities[name].cert, sum(crypto.SHA256)); err != nil {
			t.Error(err)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	noKey := errors.New("no key")
	good := []*x509.Certificate{identities["p256"].cert}
	year10000 := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, text string
		o          cms.Options
	}{
		{"no certificate", "certificate is missing", cms.Options{}},
		{"Ed25519", "cannot sign", cms.Options{Certificates: []*x509.Certificate{{PublicKey: ed25519.PublicKey{}}}}},
		{"time", "signed attributes", cms.Options{Certificates: good, SigningTime: year10000}},
		{"signer", "no key", cms.Options{Certificates: good, Sign: func([]byte) ([]byte, error) { return nil, noKey }}},
	} {
		der, err := cms.Sign(sha256.Sum256(message), tt.o)
		if err == nil || der != nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name == "signer" && err != noKey {
			t.Errorf("the signer's error became %v", err)
		}
	}
}

// A signer may do with the attributes what it wants: what is written is what it was given.
func TestSignKeepsAttributes(t *testing.T) {
	var got []byte
	der, err := cms.Sign(sha256.Sum256(message), cms.Options{
		Certificates: []*x509.Certificate{identities["p256"].cert},
		Sign: func(attributes []byte) ([]byte, error) {
			got = bytes.Clone(attributes)
			clear(attributes)
			return []byte{1}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := parse(t, der).Signers[0]; !bytes.Equal(s.Attributes, got) || !bytes.Equal(s.Signature, []byte{1}) {
		t.Errorf("%x, want %x", s.Attributes, got)
	}
}
