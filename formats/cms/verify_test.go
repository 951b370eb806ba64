package cms_test

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// What openssl signs is read, and verifies for its content and its signer only.
func TestOpenSSLSigns(t *testing.T) {
	for _, tt := range []struct {
		name, program, signer string
		options               []string
		hash                  crypto.Hash
		err                   error
	}{
		{"RSA", "cms", "rsa", nil, crypto.SHA256, nil},
		{"RSA, SHA-384", "cms", "rsa", []string{"-md", "sha384"}, crypto.SHA384, nil},
		{"RSA, SHA-512", "cms", "rsa", []string{"-md", "sha512"}, crypto.SHA512, nil},
		{"P-256", "cms", "p256", nil, crypto.SHA256, nil},
		{"P-384, SHA-384", "cms", "p384", []string{"-md", "sha384"}, crypto.SHA384, nil},
		{"P-521, SHA-512", "cms", "p521", []string{"-md", "sha512"}, crypto.SHA512, nil},
		{"PKCS#7, RSA", "smime", "rsa", []string{"-md", "sha256"}, crypto.SHA256, nil},
		{"PKCS#7, ECDSA", "smime", "p256", []string{"-md", "sha256"}, crypto.SHA256, nil},
		{"PKCS#7 without attributes", "smime", "rsa", []string{"-md", "sha256", "-noattr"}, crypto.SHA256, nil},
		{"without attributes", "cms", "p256", []string{"-noattr"}, crypto.SHA256, nil},
		{"key identifier", "cms", "p256", []string{"-keyid"}, crypto.SHA256, nil},
		{"content included", "cms", "p256", []string{"-nodetach"}, crypto.SHA256, nil},
		{"without certificates", "cms", "p256", []string{"-nocerts"}, crypto.SHA256, nil},
		{"PSS", "cms", "rsa", []string{"-keyopt", "rsa_padding_mode:pss"}, crypto.SHA256, cms.ErrAlgorithm},
		{"SHA-1", "cms", "rsa", []string{"-md", "sha1"}, 0, cms.ErrAlgorithm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			has := func(option string) bool { return slices.Contains(tt.options, option) }
			d := parse(t, theirs(t, tt.program, tt.signer, tt.options...))
			s, signer, other := d.Signers[0], identities[tt.signer].cert, identities["other"].cert
			if d.Detached == has("-nodetach") || (s.KeyID != nil) != has("-keyid") || (s.Attributes == nil) != has("-noattr") ||
				(s.Certificate(d.Certificates) == nil) != has("-nocerts") || s.Digest() != tt.hash ||
				s.Algorithm.Equal(cms.OIDRSAPSS) != (tt.name == "PSS") {
				t.Errorf("%+v", s)
			}
			if !s.Is(signer) || s.Is(other) {
				t.Error("it is by another one")
			}
			if tt.err != nil {
				if err := s.Verify(signer, sum(crypto.SHA256)); !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				return
			}
			digest := sum(tt.hash)
			if err := s.Verify(signer, digest); err != nil {
				t.Error(err)
			}
			if err := s.Verify(other, digest); err == nil || errors.Is(err, cms.ErrDigest) {
				t.Errorf("by another key: %v", err)
			}
			wrong, cause := bytes.Clone(digest), cms.ErrDigest
			wrong[0] ^= 1
			if s.Attributes == nil {
				cause = cms.ErrSignature
			}
			if err := s.Verify(signer, wrong); !errors.Is(err, cause) {
				t.Errorf("of another content: %v", err)
			}
			for _, short := range [][]byte{nil, digest[1:], append(digest, 0)} {
				if err := s.Verify(signer, short); !errors.Is(err, cms.ErrDigest) {
					t.Errorf("digest of %d bytes: %v", len(short), err)
				}
			}
			if s.Attributes != nil {
				s.Attributes[len(s.Attributes)-1] ^= 1
				if err := s.Verify(signer, digest); !errors.Is(err, cms.ErrSignature) {
					t.Errorf("other attributes: %v", err)
				}
			}
		})
	}
}

func TestSeveralSigners(t *testing.T) {
	d := parse(t, theirs(t, "cms", "rsa", "-signer", "p256.pem", "-inkey", "p256.key", "-signer", "sub.pem", "-inkey", "sub.key"))
	found := map[string]bool{}
	for _, s := range d.Signers {
		c := s.Certificate(d.Certificates)
		if err := s.Verify(c, sum(crypto.SHA256)); err != nil {
			t.Error(err)
		}
		found[c.Subject.CommonName] = true
	}
	if len(d.Signers) != 3 || len(found) != 3 {
		t.Errorf("signers are %v", found)
	}
}

// The algorithm must fit digest and key, even where the bare signature would verify.
func TestAlgorithmFits(t *testing.T) {
	type oid = []int
	rsa, rsa256, rsa384 := oid{1, 2, 840, 113549, 1, 1, 1}, oid{1, 2, 840, 113549, 1, 1, 11}, oid{1, 2, 840, 113549, 1, 1, 12}
	ecdsa256, ecdsa512 := oid{1, 2, 840, 10045, 4, 3, 2}, oid{1, 2, 840, 10045, 4, 3, 4}
	for _, tt := range []struct {
		signer    string
		algorithm oid
		fits      bool
	}{
		{"rsa", rsa, true}, {"rsa", rsa256, true}, {"rsa", rsa384, false}, {"rsa", ecdsa256, false}, {"rsa", cms.OIDECPublicKey, false},
		{"p256", ecdsa256, true}, {"p256", cms.OIDECPublicKey, true}, {"p256", ecdsa512, false}, {"p256", rsa, false}, {"p256", nil, false},
	} {
		s := parse(t, ours(t, tt.signer)).Signers[0]
		s.Algorithm = tt.algorithm
		err := s.Verify(identities[tt.signer].cert, sum(crypto.SHA256))
		if tt.fits && err != nil || !tt.fits && !errors.Is(err, cms.ErrAlgorithm) {
			t.Errorf("%s with %v: %v", tt.signer, tt.algorithm, err)
		}
	}
}

// Any bit that is flipped in what is signed or signs is found.
func TestFlippedBits(t *testing.T) {
	for name, der := range map[string][]byte{"ours": ours(t, "p256"), "without attributes": theirs(t, "cms", "p256", "-noattr", "-nocerts")} {
		whole := parse(t, der).Signers[0]
		for _, part := range [][]byte{whole.Signature, whole.Attributes[min(1, len(whole.Attributes)):]} { // its first byte is not in the file
			at := bytes.LastIndex(der, part)
			for i := range part {
				bad := bytes.Clone(der)
				bad[at+i] ^= 4
				d, err := cms.Parse(bad)
				if err == nil && d.Signers[0].Verify(identities["p256"].cert, sum(crypto.SHA256)) == nil {
					t.Errorf("%s: byte %d of %x does not matter", name, i, part)
				}
			}
		}
	}
}
