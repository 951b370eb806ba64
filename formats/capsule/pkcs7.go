package capsule

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// maxCertificates bounds the work of VerifySigner; edk2's development signature has three.
const maxCertificates = 32

// signature is what the PKCS#7 blob says: one signer, and the certificates that came along.
type signature struct {
	*cms.Signer
	certificates []*x509.Certificate
}

// parseSignature reads a detached PKCS#7 SignedData with one signer and SHA-256. Firmware takes it with and without a ContentInfo
// around it (WrapPkcs7Data in edk2's BaseCryptLib), and so does this.
func parseSignature(der []byte) (*signature, error) {
	data, err := cms.Parse(der)
	if err != nil {
		return nil, err
	}
	signer := data.Signers[0]
	switch {
	case !data.Detached:
		return nil, errors.New("it has a content of its own, want a detached one")
	case len(data.Signers) != 1:
		return nil, fmt.Errorf("%d signers, want 1", len(data.Signers))
	case signer.KeyID != nil:
		return nil, errors.New("not a SignedData of PKCS#7: its signer is named by a key identifier")
	case signer.Digest() != crypto.SHA256:
		return nil, fmt.Errorf("digest algorithm %v, want SHA-256", signer.DigestAlgorithm)
	case signer.Attributes != nil && len(signer.MessageDigest) != sha256.Size:
		return nil, fmt.Errorf("signed attributes: messageDigest has %d bytes, want %d", len(signer.MessageDigest), sha256.Size)
	case data.OtherCertificates > 0:
		return nil, errors.New("certificates: not all are of X.509")
	case len(data.Certificates) > maxCertificates:
		return nil, fmt.Errorf("%d certificates, want at most %d", len(data.Certificates), maxCertificates)
	}
	return &signature{signer, data.Certificates}, nil
}

// verify checks the signature with one key. Nothing is asked of the attribute contentType: Pkcs7Verify does not, either.
func (s *signature) verify(signer *x509.Certificate, content [sha256.Size]byte) error {
	err := s.Verify(signer, content[:])
	if errors.Is(err, cms.ErrSignature) {
		return fmt.Errorf("it is not by %q", signer.Subject.String())
	}
	return err
}

// authentication returns monotonic count, certificate header and PKCS#7 signature; nothing for an unsigned capsule.
func (o *BuildOptions) authentication(payload []byte) ([]byte, error) {
	if o.Unsigned {
		return nil, nil
	}
	le := binary.LittleEndian
	count := le.AppendUint64(nil, o.MonotonicCount)
	der, err := o.sign(payload, o.BUP, count)
	if err != nil {
		return nil, fmt.Errorf("cannot sign capsule: %w", err)
	}
	if len(der) > MaxSignature {
		return nil, fmt.Errorf("cannot sign capsule: the signature has %d bytes, want at most %d", len(der), MaxSignature)
	}
	b := le.AppendUint32(bytes.Clone(count), uint32(certHeaderSize+len(der)))
	b = le.AppendUint16(b, certRevision)
	b = le.AppendUint16(b, certTypeGUID)
	b = append(b, pkcs7GUID[:]...)
	return append(b, der...), nil
}

// sign makes the detached signature, with signed attributes, as openssl smime -sign does for GenerateCapsule. It leaves the signing
// time out, which firmware does not read, so that a capsule signed with RSA is the same bytes every time.
func (o *BuildOptions) sign(content ...[]byte) ([]byte, error) {
	issued := o.Certificate
	for _, issuer := range o.Intermediates {
		if err := issued.CheckSignatureFrom(issuer); err != nil {
			return nil, fmt.Errorf("the intermediate %q did not issue %q: %w", issuer.Subject.String(), issued.Subject.String(), err)
		}
		issued = issuer
	}
	h := sha256.New()
	for _, part := range content {
		h.Write(part)
	}
	return cms.Sign([sha256.Size]byte(h.Sum(nil)), cms.Options{
		Certificates: append([]*x509.Certificate{o.Certificate}, o.Intermediates...),
		Sign: func(attributes []byte) ([]byte, error) {
			digest := sha256.Sum256(attributes)
			return o.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
		},
	})
}
