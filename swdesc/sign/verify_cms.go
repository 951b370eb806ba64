package sign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Limits of one CMS signature, far above what anyone signs with: each signer costs a hash and a public key operation.
const (
	maxSigners      = 8
	maxCertificates = 64
)

// verifyCMS verifies each signer's signature, then their certificates, in the order of OpenSSL's CMS_verify.
func verifyCMS(message, signature []byte, o VerifyOptions) (Result, error) {
	if len(o.Trust.Certificates) == 0 {
		return Result{}, fail.New(fail.Usage, "cannot verify cms signature: a trusted certificate is needed, not a public key")
	}
	data, certificates, err := parseCMS(signature)
	if err != nil {
		return Result{}, err
	}
	var signers []*x509.Certificate
	for _, s := range data.Signers {
		c, err := s.certificate(certificates)
		if err != nil {
			return Result{}, err
		}
		if err := s.verify(c, message, data.Content.Type); err != nil {
			return Result{}, err
		}
		signers = append(signers, c)
	}
	var first error
	var trusted []*x509.Certificate
	for _, c := range signers {
		if err := o.chain(c, certificates); err == nil {
			trusted = append(trusted, c)
		} else if first == nil {
			first = err
		}
	}
	if len(trusted) == 0 || len(trusted) < len(signers) && !o.SkipUnknownSigners {
		return Result{}, first
	}
	return Result{Format: CMS, Signer: trusted[0].Subject.String()}, nil
}

// parseCMS returns the SignedData and the certificates it includes. What it includes of the signed file is passed over: SWUpdate
// hands OpenSSL the sw-description as the content.
func parseCMS(signature []byte) (*signedData, []*x509.Certificate, error) {
	var info contentInfo
	var data signedData
	rest, err := asn1.Unmarshal(signature, &info)
	if err != nil {
		return nil, nil, refused(CMS, err, "it is not DER").
			Then("sign with -outform DER and without -stream, whose lengths are indefinite")
	}
	if len(rest) > 0 {
		return nil, nil, refused(CMS, nil, "%d bytes follow its end", len(rest))
	}
	if !info.Type.Equal(oidSignedData) {
		return nil, nil, refused(CMS, nil, "its type is %s instead of SignedData", info.Type)
	}
	if rest, err = asn1.Unmarshal(info.Content.Bytes, &data); err != nil || len(rest) > 0 {
		return nil, nil, refused(CMS, err, "its SignedData is malformed").Then("sign with -outform DER and without -stream")
	}
	if n := len(data.Signers); n == 0 || n > maxSigners {
		return nil, nil, refused(CMS, nil, "it has %d signers; 1 to %d are verified", n, maxSigners)
	}
	var certificates []*x509.Certificate
	for rest := data.Certificates.Bytes; len(rest) > 0; {
		var raw asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &raw); err != nil {
			return nil, nil, refused(CMS, err, "its certificates are malformed")
		}
		if raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagSequence {
			continue // an attribute certificate or one of another kind (RFC 5652, 10.2.2)
		}
		c, err := x509.ParseCertificate(raw.FullBytes)
		if err != nil {
			return nil, nil, refused(CMS, err, "a certificate in it is malformed")
		}
		if certificates = append(certificates, c); len(certificates) > maxCertificates {
			return nil, nil, refused(CMS, nil, "it has more than %d certificates", maxCertificates)
		}
	}
	return &data, certificates, nil
}

// certificate returns the signer's certificate. SWUpdate looks for it in the signature only (CMS_verify without certificates).
func (s signerInfo) certificate(certificates []*x509.Certificate) (*x509.Certificate, error) {
	var id issuerAndSerial
	byKey := s.Signer.Class == asn1.ClassContextSpecific && s.Signer.Tag == 0
	if !byKey {
		if rest, err := asn1.Unmarshal(s.Signer.FullBytes, &id); err != nil || len(rest) > 0 {
			return nil, refused(CMS, err, "its name of the signer is malformed")
		}
	}
	for _, c := range certificates {
		if byKey && len(c.SubjectKeyId) > 0 && bytes.Equal(c.SubjectKeyId, s.Signer.Bytes) ||
			!byKey && bytes.Equal(c.RawIssuer, id.Issuer.FullBytes) && c.SerialNumber.Cmp(id.Serial) == 0 {
			return c, nil
		}
	}
	return nil, refused(CMS, nil, "it does not include its signer's certificate").Then("sign without -nocerts")
}

// verify verifies the signature of one signer over the message, by way of its signed attributes if it has any.
func (s signerInfo) verify(c *x509.Certificate, message []byte, content asn1.ObjectIdentifier) error {
	h, err := digestOf(s.Digest)
	if err != nil {
		return err
	}
	scheme, err := s.scheme(c, h)
	if err != nil {
		return err
	}
	signed := message
	if len(s.Attributes.FullBytes) > 0 {
		if err := s.attributes(h, message, content); err != nil {
			return err
		}
		// In the order in which they came, as OpenSSL does.
		signed = append([]byte{tagSet}, s.Attributes.FullBytes[1:]...)
	}
	if scheme.verify(c.PublicKey, h, signed, s.Signature) {
		return nil
	}
	if len(s.Attributes.FullBytes) == 0 && scheme.verify(c.PublicKey, h, canonical(message), s.Signature) {
		return textSigned()
	}
	return refused(CMS, nil, "the signature does not verify with the certificate of %s", c.Subject)
}

// attributes checks the two signed attributes that must be there (RFC 5652, 5.3).
func (s signerInfo) attributes(h crypto.Hash, message []byte, content asn1.ObjectIdentifier) error {
	var kind asn1.ObjectIdentifier
	var digest []byte
	if err := s.attribute(oidContentType, &kind); err != nil {
		return refused(CMS, err, "its attribute contentType is malformed")
	}
	if !kind.Equal(content) {
		return refused(CMS, nil, "its attribute contentType is not the type of its content")
	}
	if err := s.attribute(oidMessageDigest, &digest); err != nil {
		return refused(CMS, err, "its attribute messageDigest is malformed")
	}
	switch {
	case bytes.Equal(digest, sum(h, message)):
		return nil
	case bytes.Equal(digest, sum(h, canonical(message))):
		return textSigned()
	}
	return refused(CMS, nil, "it was made for another sw-description: the digest differs")
}

// attribute reads the value of a signed attribute, of which there must be exactly one.
func (s signerInfo) attribute(oid asn1.ObjectIdentifier, value any) error {
	found := 0
	for rest := s.Attributes.Bytes; len(rest) > 0; {
		var a attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return err
		}
		if !a.Type.Equal(oid) {
			continue
		}
		if len(a.Values) != 1 {
			return asn1.StructuralError{Msg: "it needs one value"}
		}
		if tail, err := asn1.Unmarshal(a.Values[0].FullBytes, value); err != nil || len(tail) > 0 {
			return asn1.StructuralError{Msg: "its value is of another type"}
		}
		found++
	}
	if found != 1 {
		return asn1.StructuralError{Msg: "it must stand there once"}
	}
	return nil
}

// digestOf returns the hash, of those that are still safe.
func digestOf(id pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	switch oid := id.Algorithm; {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	}
	return 0, refused(CMS, nil, "its digest %s is none of SHA-256, SHA-384, SHA-512", id.Algorithm).Then("sign with -md sha256")
}

// scheme returns how the signer signed, where that fits the certificate's key and the hash.
func (s signerInfo) scheme(c *x509.Certificate, h crypto.Hash) (scheme, error) {
	oid := s.Algorithm.Algorithm
	switch c.PublicKey.(type) {
	case *rsa.PublicKey:
		own := map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidRSASHA256, crypto.SHA384: oidRSASHA384, crypto.SHA512: oidRSASHA512}
		if oid.Equal(oidRSA) || oid.Equal(own[h]) {
			return schemePKCS, nil
		}
		if oid.Equal(oidRSAPSS) {
			return 0, refused(CMS, nil, "its signature is RSA PSS, which is not verified within CMS").Then("sign without rsa_padding_mode:pss")
		}
	case *ecdsa.PublicKey:
		own := map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidECDSASHA256, crypto.SHA384: oidECDSASHA384, crypto.SHA512: oidECDSASHA512}
		if oid.Equal(own[h]) {
			return schemeECDSA, nil
		}
	}
	return 0, refused(CMS, nil, "its algorithm %s does not fit the digest and the %s key of %s", oid, nameOf(c.PublicKey), c.Subject)
}

// canonical returns the message as openssl cms signs it without -binary: lines end in CR LF.
func canonical(message []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

func textSigned() error {
	return refused(CMS, nil, "it was made for sw-description with other line ends (CR LF)").Then("sign with -binary")
}
