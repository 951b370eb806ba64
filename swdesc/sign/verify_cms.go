package sign

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"

	"github.com/tegra-ota/tegra-ota/formats/cms"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// verifyCMS verifies each signer's signature, then their certificates, in the order of OpenSSL's CMS_verify.
func verifyCMS(message, signature []byte, o VerifyOptions) (Result, error) {
	if len(o.Trust.Certificates) == 0 {
		return Result{}, fail.New(fail.Usage, "cannot verify cms signature: a trusted certificate is needed, not a public key")
	}
	// What it includes of the signed file is passed over: SWUpdate hands OpenSSL the sw-description as the content.
	data, err := cms.Parse(signature)
	if err != nil {
		return Result{}, malformed(err)
	}
	if data.Bare {
		return Result{}, refused(CMS, nil, "there is no ContentInfo around its SignedData")
	}
	var signers []*x509.Certificate
	for _, s := range data.Signers {
		// SWUpdate looks for it in the signature only (CMS_verify without certificates).
		c := s.Certificate(data.Certificates)
		if c == nil {
			return Result{}, refused(CMS, nil, "it does not include its signer's certificate").Then("sign without -nocerts")
		}
		if err := verifySigner(s, c, message, data.ContentType); err != nil {
			return Result{}, err
		}
		signers = append(signers, c)
	}
	var first error
	var trusted []*x509.Certificate
	for _, c := range signers {
		if err := o.chain(c, data.Certificates); err == nil {
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

// malformed returns what package cms says of the bytes as a SignatureError.
func malformed(err error) error {
	var f *cms.FormatError
	if !errors.As(err, &f) {
		return refused(CMS, nil, "%v", err)
	}
	refusal := refused(CMS, f.Err, "%s", f.Reason)
	if f.Encoding {
		return refusal.Then("sign with -outform DER and without -stream, whose lengths are indefinite")
	}
	return refusal
}

// verifySigner verifies the signature of one signer over the message, by way of its signed attributes if it has any. content is the
// type of the content.
func verifySigner(s *cms.Signer, c *x509.Certificate, message []byte, content asn1.ObjectIdentifier) error {
	h := s.Digest()
	if h == 0 {
		return refused(CMS, nil, "its digest %s is none of SHA-256, SHA-384, SHA-512", s.DigestAlgorithm).Then("sign with -md sha256")
	}
	if s.Attributes != nil {
		kind, err := s.ContentType()
		if err != nil {
			return malformed(err)
		}
		if !kind.Equal(content) {
			return refused(CMS, nil, "its attribute contentType is not the type of its content")
		}
	}
	err := s.Verify(c, sum(h, message))
	switch {
	case err == nil && !s.Algorithm.Equal(cms.OIDECPublicKey): // CMS has the digest in it: RFC 5754, 3.3
		return nil
	case err == nil, errors.Is(err, cms.ErrAlgorithm):
		if s.Algorithm.Equal(cms.OIDRSAPSS) {
			return refused(CMS, nil, "its signature is RSA PSS, which is not verified within CMS").Then("sign without rsa_padding_mode:pss")
		}
		return refused(CMS, nil, "its algorithm %s does not fit the digest and the %s key of %s", s.Algorithm, nameOf(c.PublicKey), c.Subject)
	case s.Verify(c, sum(h, canonical(message))) == nil:
		return refused(CMS, nil, "it was made for sw-description with other line ends (CR LF)").Then("sign with -binary")
	case errors.Is(err, cms.ErrDigest):
		return refused(CMS, nil, "it was made for another sw-description: the digest differs")
	}
	return refused(CMS, nil, "%v", err)
}

// canonical returns the message as openssl cms signs it without -binary: lines end in CR LF.
func canonical(message []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
