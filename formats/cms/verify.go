package cms

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// What Verify finds.
var (
	// ErrAlgorithm: the signature may be good but cannot be verified here, or its algorithm does not fit digest and key.
	ErrAlgorithm = errors.New("unsupported signature algorithm")
	// ErrDigest: the signature is one of another content.
	ErrDigest = errors.New("it was made for another content: the digest differs")
	// ErrSignature: the key did not make the signature.
	ErrSignature = errors.New("the signature does not verify")
)

// Is reports whether the signer is named as that of the certificate. Anyone can write a name: it is Verify that knows.
func (s *Signer) Is(c *x509.Certificate) bool {
	if s.KeyID != nil {
		return bytes.Equal(c.SubjectKeyId, s.KeyID)
	}
	return bytes.Equal(c.RawIssuer, s.issuer) && c.SerialNumber.Cmp(s.serial) == 0
}

// Certificate returns the first of the certificates that is the signer's, or nil.
func (s *Signer) Certificate(certificates []*x509.Certificate) *x509.Certificate {
	for _, c := range certificates {
		if s.Is(c) {
			return c
		}
	}
	return nil
}

// Digest returns the hash of DigestAlgorithm: SHA-256, SHA-384 or SHA-512, else 0.
func (s *Signer) Digest() crypto.Hash {
	for _, a := range algorithms {
		if a.digest.Equal(s.DigestAlgorithm) {
			return a.hash
		}
	}
	return 0
}

// ContentType returns the type of the content as the signed attributes say, where RFC 5652, 5.3 wants the SignedData's. Verify does
// not look at it, as PKCS#7 readers do not.
func (s *Signer) ContentType() (oid asn1.ObjectIdentifier, err error) {
	if err := s.attribute(oidContentType, &oid); err != nil {
		return nil, malformed(err, "its attribute contentType is malformed")
	}
	return oid, nil
}

// Verify finds out whether the key of a certificate signed a content with that digest, of the hash that Digest returns, by way of the
// signed attributes if there are any. Nothing else of the certificate is looked at. Errors wrap ErrAlgorithm, ErrDigest or
// ErrSignature, judged in this order.
func (s *Signer) Verify(c *x509.Certificate, contentDigest []byte) error {
	h := s.Digest()
	if !s.fits(c, h) {
		return fmt.Errorf("%w %v, digest %v, with a key of %s", ErrAlgorithm, s.Algorithm, s.DigestAlgorithm, c.PublicKeyAlgorithm)
	}
	if len(contentDigest) != h.Size() || s.Attributes != nil && !bytes.Equal(contentDigest, s.MessageDigest) {
		return ErrDigest
	}
	digest := contentDigest
	if s.Attributes != nil {
		d := h.New()
		d.Write(s.Attributes)
		digest = d.Sum(nil)
	}
	good := false
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		good = rsa.VerifyPKCS1v15(key, h, digest, s.Signature) == nil
	case *ecdsa.PublicKey:
		good = ecdsa.VerifyASN1(key, digest, s.Signature)
	}
	if !good {
		return fmt.Errorf("%w with the certificate of %s", ErrSignature, c.Subject)
	}
	return nil
}

// fits reports whether the signer's algorithm is one of the hash and the key.
func (s *Signer) fits(c *x509.Certificate, h crypto.Hash) bool {
	for _, a := range algorithms {
		if a.hash != h {
			continue
		}
		switch c.PublicKey.(type) {
		case *rsa.PublicKey:
			return s.Algorithm.Equal(oidRSA) || s.Algorithm.Equal(a.withRSA)
		case *ecdsa.PublicKey:
			return s.Algorithm.Equal(OIDECPublicKey) || s.Algorithm.Equal(a.withECDSA)
		}
	}
	return false
}
