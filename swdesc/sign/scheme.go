package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // only to tell who signed with it
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// minRSA is the size of the smallest RSA key that signs, in bits: NIST SP 800-131A allows no less.
const minRSA = 2048

// checkKey says why a public key cannot be used for a format.
func checkKey(public crypto.PublicKey, f Format) error {
	if _, err := ParseFormat(string(f)); err != nil {
		return err
	}
	switch key := public.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return fail.New(fail.Usage, "cannot use an %s key: at least %d bits are needed", nameOf(public), minRSA)
		}
		return nil
	case *ecdsa.PublicKey:
		switch key.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
		default:
			return fail.New(fail.Usage, "cannot use an %s key: the curve is none of P-256, P-384, P-521", nameOf(public))
		}
		if f != CMS {
			return fail.New(fail.Usage, "cannot use an %s key for signature format %q: it needs an RSA key", nameOf(public), f).
				Then("use format %q, or an RSA key", CMS)
		}
		return nil
	}
	// OpenSSL would hash with SHA-512 for Ed25519, and SWUpdate was never seen with it.
	return fail.New(fail.Usage, "cannot use a key of type %s: RSA or ECDSA is needed", nameOf(public))
}

// nameOf returns the kind of a key in words.
func nameOf(public crypto.PublicKey) string {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + key.Curve.Params().Name
	}
	return fmt.Sprintf("%T", public)
}

// SameKey reports whether two public keys are the same.
func SameKey(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}

// scheme is how a bare signature is verified.
type scheme int

const (
	schemePKCS scheme = iota
	schemePSS
	schemeECDSA
)

// schemeOf returns the scheme of what a Signer with that key makes for a format.
func schemeOf(public crypto.PublicKey, f Format) scheme {
	if _, ok := public.(*ecdsa.PublicKey); ok {
		return schemeECDSA
	}
	if f == PSS {
		return schemePSS
	}
	return schemePKCS
}

// verify reports whether signature is that of the message's digest. A key of another type than the scheme's never verifies.
func (s scheme) verify(public crypto.PublicKey, h crypto.Hash, message, signature []byte) bool {
	digest := sum(h, message)
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch s {
		case schemePKCS:
			return rsa.VerifyPKCS1v15(key, h, digest, signature) == nil
		case schemePSS:
			// Any length of salt, as OpenSSL without rsa_pss_saltlen (SWUpdate sets the padding only).
			return rsa.VerifyPSS(key, h, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
		}
	case *ecdsa.PublicKey:
		return s == schemeECDSA && ecdsa.VerifyASN1(key, digest, signature)
	}
	return false
}

// sum returns the digest of message.
func sum(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}

// derOfPair returns the DER of an ECDSA signature that is r and s one after the other, the way of PKCS#11 (CKM_ECDSA), or nil.
func derOfPair(key *ecdsa.PublicKey, pair []byte) []byte {
	n := (key.Curve.Params().BitSize + 7) / 8
	if len(pair) != 2*n {
		return nil
	}
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(pair[:n]), new(big.Int).SetBytes(pair[n:])})
	if err != nil {
		return nil
	}
	return der
}
