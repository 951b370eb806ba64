package release

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// maxSignature is the longest signature file in bytes: one of RSA-16384 as base64 has 2.7 KiB.
const maxSignature = 8 << 10

// minRSA is the shortest RSA modulus in bits that is believed.
const minRSA = 2048

// verify checks a detached signature over the manifest's bytes, as `openssl dgst -sha256 -sign` makes it: RSA PKCS #1 v1.5 or
// ECDSA P-256 in DER, either one also as base64 text. One key of the list must have made it; while keys are rotated there are two.
// Of a certificate only the key counts, not its dates or issuer: whoever names the file trusts it.
func verify(o ImportOptions, manifest []byte) error {
	if len(o.Keys) == 0 || len(o.Keys) > 2 {
		return fail.New(fail.Usage, "cannot verify manifest %s with %d public keys, only with one or two", o.Manifest, len(o.Keys))
	}
	signature, err := readSmall(o.Signature, "signature", maxSignature)
	if err != nil {
		return err
	}
	forms := [][]byte{signature}
	if der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(signature)), "")); err == nil {
		forms = append(forms, der)
	}
	digest, good := sha256.Sum256(manifest), false
	for _, path := range o.Keys {
		key, err := loadKey(path)
		if err != nil {
			return err
		}
		for _, form := range forms {
			good = good || signed(key, digest[:], form)
		}
	}
	if !good {
		return fail.New(fail.Data, "cannot verify manifest %s: signature %s is not one of %s over this file", o.Manifest, o.Signature,
			strings.Join(o.Keys, " or ")).Then("ask who made the manifest which key signed it; use nothing of it until then")
	}
	return nil
}

// loadKey reads a public key or a certificate, and refuses keys of a kind or length that no signature here may have.
func loadKey(path string) (crypto.PublicKey, error) {
	key, err := sign.LoadPublicKey(path)
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.Usage), "cannot use key %s: %w", path, err)
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSA {
			return nil, fail.New(fail.Usage, "cannot use key %s: RSA with %d bits is too short, the least is %d", path, k.N.BitLen(), minRSA)
		}
		return k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
		return nil, fail.New(fail.Usage, "cannot use key %s: its curve is %s, not P-256", path, k.Curve.Params().Name)
	}
	return nil, fail.New(fail.Usage, "cannot use key %s: it is neither RSA nor ECDSA", path)
}

func signed(key crypto.PublicKey, digest, signature []byte) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest, signature) == nil
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(k, digest, signature)
	}
	return false
}
