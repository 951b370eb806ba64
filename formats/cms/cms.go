// Package cms reads and writes detached CMS signatures (SignedData, RFC 5652): bytes and mathematics, no opinion on whom to trust.
//
// PKCS#7 1.5 (RFC 2315) is the same but for signers named by a key identifier. Reading takes DER only, does not recurse on input,
// and keeps no more than MaxSigners signers and MaxCertificates certificates. How large the input may be is up to the caller.
package cms

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// Limits of Parse, far above what anyone signs with: each signer costs a public key operation.
const (
	MaxSigners      = 8
	MaxCertificates = 64
)

// SignedData is a signature file. It shares memory with what it was parsed from.
type SignedData struct {
	// Bare says that there was no ContentInfo around it, which some readers take and others do not.
	Bare bool
	// ContentType is the type of what is signed, and Detached says that it is not included. What is included is not read.
	ContentType asn1.ObjectIdentifier
	Detached    bool
	// Certificates are those of X.509, in the order of the file. They need not be those of the signers.
	Certificates []*x509.Certificate
	// OtherCertificates counts those of other kinds (RFC 5652, 10.2.2), which are passed over. PKCS#7 has none.
	OtherCertificates int
	// Signers are 1 to MaxSigners.
	Signers []*Signer
}

// Signer is one signature. The signer is named by a key identifier, or by the certificate's issuer and serial number.
type Signer struct {
	// KeyID is nil if the signer is named by issuer and serial number.
	KeyID  []byte
	issuer []byte // DER of the name
	serial *big.Int
	// DigestAlgorithm hashes the content and the attributes; Digest translates it. Algorithm is that of the signature.
	DigestAlgorithm, Algorithm asn1.ObjectIdentifier
	Signature                  []byte
	// Attributes is what was signed: the DER of the signed attributes as a SET, in the order in which they came. It is nil if
	// there are none, and the content itself was signed.
	Attributes []byte
	// MessageDigest is the digest of the content, as the attributes say; nil without attributes.
	MessageDigest []byte
}

// FormatError says why something is no SignedData, or one that is not read here.
type FormatError struct {
	// Reason is a sentence about the signature: "its SignedData is malformed".
	Reason string
	// Err is the cause, or nil.
	Err error
	// Encoding says that the outer structures are not there in DER: this may be BER, PEM, or anything.
	Encoding bool
}

// Error returns reason and cause.
func (e *FormatError) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// MalformedData is true: it is the file that must change.
func (e *FormatError) MalformedData() bool { return true }

func malformed(err error, format string, args ...any) error {
	return &FormatError{Reason: fmt.Sprintf(format, args...), Err: err}
}

func misencoded(err error, reason string) error {
	return &FormatError{Reason: reason, Err: err, Encoding: true}
}

// The structures of RFC 5652, sections 3, 5.1, 5.3 and 10.2.4. What is a SET OF there is walked by each, so that memory is not for the
// file to say.
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      asn1.RawValue // SET OF AlgorithmIdentifier
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue // SET OF signerInfo
	}
	signerInfo struct {
		Version    int
		Signer     asn1.RawValue // issuerAndSerial, or [0] with a key identifier
		Digest     pkix.AlgorithmIdentifier
		Attributes asn1.RawValue `asn1:"optional,tag:0"`
		Algorithm  pkix.AlgorithmIdentifier
		Signature  []byte
		Unsigned   asn1.RawValue `asn1:"optional,tag:1"`
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue // SET OF ANY
	}
)

// The tags that are exchanged: signed attributes are hashed as a SET and stored as [0] IMPLICIT (RFC 5652, 5.4).
const (
	tagSet      = 0x31
	tagImplicit = 0xa0
)

// IsSignedData reports whether a file starts like a SignedData with a ContentInfo, in DER or BER; 19 bytes tell.
func IsSignedData(head []byte) bool {
	oid, err := asn1.Marshal(oidSignedData)
	return err == nil && len(head) > 0 && head[0] == 0x30 && bytes.Contains(head[:min(len(head), 8+len(oid))], oid)
}
