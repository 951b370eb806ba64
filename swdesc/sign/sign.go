// Package sign signs and verifies sw-description the way SWUpdate does: CMS, RSA PKCS#1 v1.5 or RSA PSS, always with SHA-256,
// by a key file or by an external command.
//
// Which of the three a device takes is a build option of its SWUpdate (SIGALG_CMS, SIGALG_RAWRSA, SIGALG_RSAPSS), where newer
// versions may have several and choose at run time. Debian's has CMS only.
package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/cms"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Format is the kind of a signature.
type Format string

// The formats. CMS is DER of a detached SignedData; the others are the bare signature, as long as the key's modulus.
const (
	CMS Format = "cms"
	RSA Format = "rsa" // PKCS#1 v1.5
	PSS Format = "pss" // with MGF1 of SHA-256
)

// ParseFormat returns the format of a name; anything but "cms", "rsa" and "pss" is a usage error.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case CMS, RSA, PSS:
		return f, nil
	}
	return "", fail.New(fail.Usage, "cannot use signature format %q: it is none of cms, rsa, pss", s)
}

// Signer makes bare signatures over SHA-256 of a message: RSA PKCS#1 v1.5 for CMS and RSA, RSA PSS for PSS, and for an ECDSA key
// the DER of r and s, or both one after the other.
type Signer interface {
	Public() crypto.PublicKey
	Sign(ctx context.Context, message []byte, f Format) ([]byte, error)
}

// Options say how to sign.
type Options struct {
	Format       Format
	Signer       Signer
	Certificates []*x509.Certificate // the signer's first; CMS needs it and includes them all
	SigningTime  time.Time           // an attribute of CMS; zero: none, which keeps RSA signatures reproducible
}

// Sign returns the signature of message, the content of sw-description.sig. Whatever the signer returned was verified with its
// public key: what a device would refuse for its signature is not returned.
func Sign(ctx context.Context, message []byte, o Options) ([]byte, error) {
	public := o.Signer.Public()
	if err := checkKey(public, o.Format); err != nil {
		return nil, err
	}
	if len(o.Certificates) > 0 && !SameKey(o.Certificates[0].PublicKey, public) {
		err := fail.New(fail.Usage, "cannot sign: the key does not belong to the certificate of %s", o.Certificates[0].Subject)
		for _, c := range o.Certificates[1:] {
			if SameKey(c.PublicKey, public) {
				return nil, err.Then("put the certificate of %s first", c.Subject)
			}
		}
		return nil, err
	}
	if o.Format != CMS {
		return o.bare(ctx, message)
	}
	if len(o.Certificates) == 0 {
		return nil, fail.New(fail.Usage, "cannot sign: CMS needs the signer's certificate")
	}
	return o.cms(ctx, message)
}

// cms makes a detached SignedData with one signer. It asks the signer for a bare signature of the signed attributes.
func (o Options) cms(ctx context.Context, message []byte) ([]byte, error) {
	return cms.Sign(sha256.Sum256(message), cms.Options{
		Certificates: o.Certificates,
		SigningTime:  o.SigningTime,
		Sign:         func(attributes []byte) ([]byte, error) { return o.bare(ctx, attributes) },
	})
}

// bare asks the signer, and verifies what it returns.
func (o Options) bare(ctx context.Context, message []byte) ([]byte, error) {
	signature, err := o.Signer.Sign(ctx, message, o.Format)
	if err != nil {
		return nil, err
	}
	public := o.Signer.Public()
	scheme := schemeOf(public, o.Format)
	if scheme.verify(public, crypto.SHA256, message, signature) {
		return signature, nil
	}
	if key, ok := public.(*ecdsa.PublicKey); ok {
		if der := derOfPair(key, signature); der != nil && scheme.verify(public, crypto.SHA256, message, der) {
			return der, nil
		}
	}
	who, with := "the signer's", "its public key"
	if _, ok := o.Signer.(*command); ok {
		who = "the command's"
	}
	if len(o.Certificates) > 0 {
		with = fmt.Sprintf("the certificate of %s", o.Certificates[0].Subject)
	}
	failed := fail.New(fail.Unavailable, "cannot sign: %s signature does not verify with %s", who, with)
	if next := explain(public, scheme, message, signature); next != "" {
		return nil, failed.Then("%s", next)
	}
	return nil, failed
}

// explain says what is probably wrong with a signature that does not verify, or "".
func explain(public crypto.PublicKey, s scheme, message, signature []byte) string {
	digest := sum(crypto.SHA256, message)
	key, isRSA := public.(*rsa.PublicKey)
	if isRSA && len(signature) != key.Size() {
		if printable(signature) {
			return "print the bare signature, not text"
		}
		return fmt.Sprintf("print the bare signature of %d bytes, not %d bytes", key.Size(), len(signature))
	}
	if s.verify(public, crypto.SHA256, digest, signature) {
		return "sign the bytes on stdin: what was signed is their SHA-256, which hashed them twice"
	}
	if isRSA && rsa.VerifyPKCS1v15(key, 0, digest, signature) == nil {
		return "name the digest in the signature (DigestInfo): openssl pkeyutl needs -pkeyopt digest:sha256"
	}
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA384, crypto.SHA512} {
		if s.verify(public, h, message, signature) {
			return fmt.Sprintf("use SHA-256: the signature was made with %s", h)
		}
	}
	switch {
	case s == schemePSS && schemePKCS.verify(public, crypto.SHA256, message, signature):
		return "use RSA PSS: the signature is of RSA PKCS#1 v1.5"
	case s == schemePKCS && schemePSS.verify(public, crypto.SHA256, message, signature):
		return "use RSA PKCS#1 v1.5: the signature is of RSA PSS"
	}
	return ""
}

// printable reports whether b looks like text, for example base64.
func printable(b []byte) bool {
	return len(b) > 0 && bytes.IndexFunc(b, func(r rune) bool { return r >= 0x7f || r < ' ' && r != '\n' && r != '\r' }) < 0
}
