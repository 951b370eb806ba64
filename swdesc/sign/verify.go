package sign

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/cms"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// maxSigFile is the largest sw-description.sig that is read, in bytes. CMS needs 2 to 10 KiB, and more only where it includes the
// signed file.
const maxSigFile = 1 << 20

// SignatureError says why a device would refuse a signature.
type SignatureError struct {
	Format Format // "" where it is not known
	Reason string
	Err    error // the cause in other words, or nil
}

// Error returns "cannot verify cms signature: REASON".
func (e *SignatureError) Error() string {
	text := "cannot verify signature: " + e.Reason
	if e.Format != "" {
		text = fmt.Sprintf("cannot verify %s signature: %s", e.Format, e.Reason)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *SignatureError) Unwrap() error { return e.Err }

// MalformedData reports that the signature is at fault, or the file that it should belong to.
func (e *SignatureError) MalformedData() bool { return true }

// refused returns a SignatureError that can be given a next step.
func refused(f Format, cause error, format string, args ...any) *fail.Error {
	return &fail.Error{Code: fail.Data, Err: &SignatureError{Format: f, Reason: fmt.Sprintf(format, args...), Err: cause}}
}

// VerifyOptions say what to verify against.
type VerifyOptions struct {
	Trust   *Trust
	Purpose string    // of the signer's certificate: "emailProtection", also for "", "codeSigning", or "any"; SWUpdate's --cert-purpose
	Now     time.Time // when the certificates must be valid; zero: now
	Format  Format    // "": detect
	// SkipUnknownSigners accepts a CMS signature of several signers if one of them is trusted, like an SWUpdate built with
	// CMS_SKIP_UNKNOWN_SIGNERS (Debian's). Otherwise all must be.
	SkipUnknownSigners bool
	// IncludedAuthorities takes certificates from the signature into the chain, like an SWUpdate built without
	// CMS_IGNORE_ADDITIONAL_CERTS (new in 2026.05, and on in Debian's 2022.12 with its security updates). Otherwise whatever is
	// between the signer's and the self-signed certificate must be trusted.
	IncludedAuthorities bool
}

// Result says who signed.
type Result struct {
	Format Format
	Signer string // the subject of the certificate, or the kind and SHA-256 of the bare key (of its DER, SubjectPublicKeyInfo)
}

// Verify judges a signature of message like SWUpdate with OpenSSL, but refuses the digests below SHA-256, BER that is not DER, and
// RSA keys that Go's crypto/rsa refuses. RSA and PSS signatures also verify with the key of a trusted certificate, whatever its dates;
// SWUpdate wants that as a public key. An error about the signature is a *SignatureError.
func Verify(message, signature []byte, o VerifyOptions) (Result, error) {
	if o.Trust == nil || len(o.Trust.Certificates)+len(o.Trust.Keys) == 0 {
		return Result{}, fail.New(fail.Usage, "cannot verify signature: no trusted certificate or public key was given")
	}
	if _, err := purposeOf(o.Purpose); err != nil {
		return Result{}, err
	}
	if err := notBinary(signature); err != nil {
		return Result{}, err
	}
	switch o.Format {
	case "":
		if cms.IsSignedData(signature) {
			return verifyCMS(message, signature, o)
		}
		return verifyBare(message, signature, o, RSA, PSS)
	case CMS:
		return verifyCMS(message, signature, o)
	default:
		if _, err := ParseFormat(string(o.Format)); err != nil {
			return Result{}, err
		}
		return verifyBare(message, signature, o, o.Format)
	}
}

// notBinary refuses what is no signature in any format.
func notBinary(signature []byte) error {
	text := bytes.TrimSpace(signature[:min(len(signature), 256)])
	switch {
	case len(signature) == 0:
		return refused("", nil, "it is empty")
	case len(signature) > maxSigFile:
		return refused("", nil, "its %d bytes are more than %d", len(signature), maxSigFile)
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		return refused("", nil, "it is PEM, and SWUpdate reads DER").Then("sign with -outform DER")
	case bytes.HasPrefix(text, []byte("MIME-Version:")), bytes.HasPrefix(text, []byte("To:")), bytes.HasPrefix(text, []byte("Content-Type:")):
		return refused("", nil, "it is S/MIME text, and SWUpdate reads DER").Then("sign with -outform DER")
	}
	return nil
}

// verifyBare tries the trusted RSA keys with the formats.
func verifyBare(message, signature []byte, o VerifyOptions, formats ...Format) (Result, error) {
	keys := o.Trust.Keys
	for _, c := range o.Trust.Certificates {
		keys = append(keys[:len(keys):len(keys)], c.PublicKey)
	}
	size, found := 0, false
	for _, k := range keys {
		public, ok := k.(*rsa.PublicKey)
		if !ok {
			continue
		}
		found = true
		if public.Size() != len(signature) {
			size = public.Size()
			continue
		}
		for _, f := range formats {
			if schemeOf(public, f).verify(public, crypto.SHA256, message, signature) {
				return Result{Format: f, Signer: fingerprint(public)}, nil
			}
		}
	}
	format := o.Format
	switch {
	case !found && format == "":
		return Result{}, refused("", nil, "it is not CMS, and none of the trusted keys is an RSA key")
	case !found:
		return Result{}, refused(format, nil, "none of the trusted keys is an RSA key")
	case cms.IsSignedData(signature):
		return Result{}, refused(format, nil, "it is CMS")
	case size != 0 && len(keys) == 1:
		return Result{}, refused(format, nil, "it has %d bytes, and one by the trusted key has %d", len(signature), size)
	}
	if format == RSA || format == PSS {
		other := map[Format]Format{RSA: PSS, PSS: RSA}[format]
		if _, err := verifyBare(message, signature, VerifyOptions{Trust: o.Trust}, other); err == nil {
			return Result{}, refused(format, nil, "it is of format %q", other)
		}
	}
	return Result{}, refused(format, nil, "no trusted key made it for this sw-description")
}

// fingerprint names a bare key.
func fingerprint(public crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nameOf(public)
	}
	return fmt.Sprintf("%s key, SHA-256 %x", nameOf(public), sha256.Sum256(der))
}
