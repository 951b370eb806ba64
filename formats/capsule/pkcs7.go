package capsule

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
)

// Reading is done here and not by the library that Build signs with: that one wants the signed content in memory, and
// judges signing times by certificates that firmware, which has no clock to trust, does not hold to them. The decoder
// is Go's for DER, which does not recurse on input.

// errUnsupported is for a signature that may be good but cannot be checked here.
var errUnsupported = errors.New("unsupported signature algorithm")

// maxCertificates bounds the work of VerifySigner; edk2's development signature has three.
const maxCertificates = 32

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}

	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidECDSASHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

// contentInfo and what follows are the structures of RFC 2315, sections 7 and 9.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
}

type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          contentInfo
	Certificates     asn1.RawValue `asn1:"optional,tag:0"`
	CRLs             asn1.RawValue `asn1:"optional,tag:1"`
	Signers          []signerInfo  `asn1:"set"`
}

type signerInfo struct {
	Version         int
	Issuer          issuerAndSerial
	DigestAlgorithm pkix.AlgorithmIdentifier
	Signed          asn1.RawValue `asn1:"optional,tag:0"`
	Algorithm       pkix.AlgorithmIdentifier
	Signature       []byte
	Unsigned        asn1.RawValue `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Name   asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// signature is what the PKCS#7 blob says.
type signature struct {
	info          signerInfo
	certificates  []*x509.Certificate
	attributes    []byte // DER of the signed attributes as a SET; nil if there are none
	messageDigest []byte // nil if there are no signed attributes
}

// parseSignature reads a detached SignedData with one signer and SHA-256. Firmware takes it with and without a
// ContentInfo around it (WrapPkcs7Data in edk2's BaseCryptLib), and so does this.
func parseSignature(der []byte) (*signature, error) {
	var sd signedData
	var info contentInfo
	inner := der
	if rest, err := asn1.Unmarshal(der, &info); err == nil {
		if len(rest) > 0 {
			return nil, fmt.Errorf("%d bytes follow it", len(rest))
		}
		if !info.Type.Equal(oidSignedData) {
			return nil, fmt.Errorf("content type %v, want signedData", info.Type)
		}
		inner = info.Content.Bytes // of the explicit tag: the SEQUENCE
	}
	rest, err := asn1.Unmarshal(inner, &sd)
	if err != nil {
		return nil, fmt.Errorf("not a SignedData: %w", err)
	}
	switch {
	case len(rest) > 0:
		return nil, fmt.Errorf("%d bytes follow the SignedData", len(rest))
	case len(sd.Content.Content.FullBytes) > 0:
		return nil, errors.New("it has a content of its own, want a detached one")
	case len(sd.Signers) != 1:
		return nil, fmt.Errorf("%d signers, want 1", len(sd.Signers))
	case !sd.Signers[0].DigestAlgorithm.Algorithm.Equal(oidSHA256):
		return nil, fmt.Errorf("digest algorithm %v, want SHA-256", sd.Signers[0].DigestAlgorithm.Algorithm)
	}
	s := &signature{info: sd.Signers[0]}
	if s.certificates, err = x509.ParseCertificates(sd.Certificates.Bytes); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if len(s.certificates) > maxCertificates {
		return nil, fmt.Errorf("%d certificates, want at most %d", len(s.certificates), maxCertificates)
	}
	return s, s.parseAttributes()
}

func (s *signature) parseAttributes() error {
	raw := s.info.Signed.FullBytes
	if len(raw) == 0 {
		return nil
	}
	// What is signed is the SET itself, of which the blob has the tag replaced (RFC 2315, 9.3).
	s.attributes = bytes.Clone(raw)
	s.attributes[0] = asn1.TagSet | 0x20
	var attributes []attribute
	if rest, err := asn1.UnmarshalWithParams(s.attributes, &attributes, "set"); err != nil {
		return fmt.Errorf("signed attributes: %w", err)
	} else if len(rest) > 0 {
		return fmt.Errorf("signed attributes: %d bytes follow them", len(rest))
	}
	for _, a := range attributes {
		if !a.Type.Equal(oidMessageDigest) {
			continue
		}
		if s.messageDigest != nil || len(a.Values) != 1 {
			return errors.New("signed attributes: more than one messageDigest")
		}
		if rest, err := asn1.Unmarshal(a.Values[0].FullBytes, &s.messageDigest); err != nil || len(rest) > 0 || len(s.messageDigest) != sha256.Size {
			return fmt.Errorf("signed attributes: messageDigest is not an octet string of %d bytes", sha256.Size)
		}
	}
	if s.messageDigest == nil {
		return errors.New("signed attributes: no messageDigest")
	}
	return nil
}

// signer returns the certificate of the signer if the blob has it, else nil.
func (s *signature) signer() *x509.Certificate {
	for _, c := range s.certificates {
		if s.isSigner(c) {
			return c
		}
	}
	return nil
}

func (s *signature) isSigner(c *x509.Certificate) bool {
	return bytes.Equal(c.RawIssuer, s.info.Issuer.Name.FullBytes) && c.SerialNumber.Cmp(s.info.Issuer.Serial) == 0
}

// verify checks the signature with one key. The caller has compared content and messageDigest.
func (s *signature) verify(signer *x509.Certificate, content [32]byte) error {
	digest := content
	if s.attributes != nil {
		digest = sha256.Sum256(s.attributes)
	}
	algorithm := s.info.Algorithm.Algorithm
	switch key := signer.PublicKey.(type) {
	case *rsa.PublicKey:
		if !algorithm.Equal(oidRSA) && !algorithm.Equal(oidRSASHA256) {
			break
		}
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], s.info.Signature); err != nil {
			return fmt.Errorf("it is not by %q: %w", signer.Subject.String(), err)
		}
		return nil
	case *ecdsa.PublicKey:
		if !algorithm.Equal(oidECPublicKey) && !algorithm.Equal(oidECDSASHA256) {
			break
		}
		if !ecdsa.VerifyASN1(key, digest[:], s.info.Signature) {
			return fmt.Errorf("it is not by %q", signer.Subject.String())
		}
		return nil
	}
	return fmt.Errorf("%w %v with a key of %s", errUnsupported, algorithm, signer.PublicKeyAlgorithm)
}
