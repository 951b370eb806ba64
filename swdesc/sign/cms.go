package sign

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// The object identifiers of RFC 5652 (CMS), RFC 2985 (attributes), RFC 8017 (RSA) and RFC 5754 and 5758 (SHA-2).
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}

	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}

	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidRSAPSS      = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidRSASHA256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSASHA384   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidRSASHA512   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidECDSASHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSASHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSASHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
)

// The structures of RFC 5652. They are written and read here, because github.com/smallstep/pkcs7 always adds the signing time,
// hands a signer the digest only, and needs exponential time for hostile input of a few hundred bytes (its ber2der).
type (
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
	}
	signedData struct {
		Version      int
		Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	}
	signerInfo struct {
		Version    int
		Signer     asn1.RawValue // issuerAndSerial, or [0] with a subject key identifier
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
		Values []asn1.RawValue `asn1:"set"`
	}
)

// The tags that are exchanged: signed attributes are hashed as a SET and stored as [0] IMPLICIT (RFC 5652, 5.4).
const (
	tagSet      = 0x31
	tagImplicit = 0xa0
)

// cms makes a detached SignedData with one signer.
func (o Options) cms(ctx context.Context, message []byte) ([]byte, error) {
	attributes, err := signedAttributes(message, o.SigningTime)
	if err != nil {
		return nil, fmt.Errorf("cannot write signed attributes: %w", err)
	}
	signature, err := o.bare(ctx, attributes)
	if err != nil {
		return nil, err
	}
	der, err := o.signedData(attributes, signature)
	if err != nil {
		return nil, fmt.Errorf("cannot write CMS: %w", err)
	}
	return der, nil
}

// signedAttributes returns the DER of the attributes as a SET, whose order is that of the encodings.
func signedAttributes(message []byte, signingTime time.Time) ([]byte, error) {
	type pair struct {
		oid   asn1.ObjectIdentifier
		value any
	}
	pairs := []pair{{oidContentType, oidData}, {oidMessageDigest, sum(crypto.SHA256, message)}}
	if !signingTime.IsZero() {
		pairs = append(pairs, pair{oidSigningTime, signingTime.UTC().Truncate(time.Second)})
	}
	var set []attribute
	for _, p := range pairs {
		der, err := asn1.Marshal(p.value)
		if err != nil {
			return nil, err
		}
		set = append(set, attribute{p.oid, []asn1.RawValue{{FullBytes: der}}})
	}
	return asn1.MarshalWithParams(set, "set")
}

// signedData returns the DER of the whole ContentInfo.
func (o Options) signedData(attributes, signature []byte) ([]byte, error) {
	signer := o.Certificates[0]
	sid, err := asn1.Marshal(issuerAndSerial{asn1.RawValue{FullBytes: signer.RawIssuer}, signer.SerialNumber})
	if err != nil {
		return nil, err
	}
	var certificates [][]byte
	for _, c := range o.Certificates {
		certificates = append(certificates, c.Raw)
	}
	slices.SortFunc(certificates, bytes.Compare) // a SET, too

	sha256 := pkix.AlgorithmIdentifier{Algorithm: oidSHA256} // without parameters: RFC 5754, 2
	algorithm := pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}
	if _, ok := signer.PublicKey.(*ecdsa.PublicKey); ok {
		algorithm = pkix.AlgorithmIdentifier{Algorithm: oidECDSASHA256}
	}
	stored := append([]byte{tagImplicit}, attributes[1:]...)
	inner, err := asn1.Marshal(signedData{
		Version:      1,
		Digests:      []pkix.AlgorithmIdentifier{sha256},
		Content:      contentInfo{Type: oidData},
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: slices.Concat(certificates...)},
		Signers: []signerInfo{{
			Version:    1,
			Signer:     asn1.RawValue{FullBytes: sid},
			Digest:     sha256,
			Attributes: asn1.RawValue{FullBytes: stored},
			Algorithm:  algorithm,
			Signature:  signature,
		}},
	})
	if err != nil {
		return nil, err
	}
	content := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inner}
	return asn1.Marshal(contentInfo{oidSignedData, content})
}
