package capsule

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
)

// maxChain is the largest number of certificates in a path, signer included, anchor not.
const maxChain = 8

// SignerError says why a capsule's signer is not one of those trusted.
type SignerError struct {
	Err error
}

// Error returns one line.
func (e *SignerError) Error() string { return "cannot trust capsule's signer: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SignerError) Unwrap() error { return e.Err }

// MalformedData is true: it is the file that must change.
func (e *SignerError) MalformedData() bool { return true }

// VerifySigner checks that the capsule was signed by one of the trusted certificates, or by one that chains up to one of
// them through the certificates in the capsule. Anything but a match is a SignerError.
//
// It judges as firmware does (Pkcs7Verify in edk2's BaseCryptLib): a trusted certificate need not be a root, and dates
// do not count, because neither firmware nor a device without a clock battery knows the time.
//
// The capsule must have been read to its end, by Parse, ParseAt or a Scanner whose Finish returned nil.
func (c *Capsule) VerifySigner(trusted ...*x509.Certificate) error {
	if !c.complete {
		return errors.New("cannot verify capsule's signer: the capsule was not read to its end")
	}
	if !c.Signed {
		return &SignerError{errors.New("the capsule is not signed")}
	}
	signer := c.signature.Certificate(c.signature.certificates)
	for _, t := range trusted {
		if signer == nil && c.signature.Is(t) {
			signer = t
		}
	}
	if signer == nil {
		return &SignerError{errors.New("the signer's certificate is neither in the capsule nor among those trusted")}
	}
	if err := c.signature.verify(signer, c.ContentDigest); err != nil {
		return &SignerError{err}
	}
	if !chains(signer, c.signature.certificates, trusted) {
		return &SignerError{fmt.Errorf("%q does not chain up to a trusted certificate", signer.Subject.String())}
	}
	return nil
}

// chains says whether there is a path of valid signatures from signer up to an anchor. It tries short paths first and
// each certificate once, so that certificates which issued each other in circles cost no more than others.
func chains(signer *x509.Certificate, between, anchors []*x509.Certificate) bool {
	seen := map[*x509.Certificate]bool{}
	level := []*x509.Certificate{signer}
	for below := 0; len(level) > 0 && below < maxChain; below++ {
		var next []*x509.Certificate
		for _, c := range level {
			for _, a := range anchors {
				if c.Equal(a) || issued(a, c, below) {
					return true
				}
			}
			for _, b := range between {
				if !seen[b] && issued(b, c, below) {
					seen[b] = true
					next = append(next, b)
				}
			}
		}
		level = next
	}
	return false
}

// issued says whether parent, which has below certificates of authorities between itself and the signer, issued cert.
func issued(parent, cert *x509.Certificate, below int) bool {
	if !bytes.Equal(parent.RawSubject, cert.RawIssuer) || cert.CheckSignatureFrom(parent) != nil || len(parent.UnhandledCriticalExtensions) > 0 {
		return false
	}
	limited := parent.BasicConstraintsValid && (parent.MaxPathLen > 0 || parent.MaxPathLen == 0 && parent.MaxPathLenZero)
	return !limited || below <= parent.MaxPathLen
}
