package cms

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Options say how to sign.
type Options struct {
	// Certificates are all included. The first is the signer's, with an RSA or ECDSA key.
	Certificates []*x509.Certificate
	// SigningTime becomes an attribute, unless it is zero: then RSA signatures of one content are the same bytes.
	SigningTime time.Time
	// Sign gets the DER of the signed attributes and returns the bare signature over its SHA-256: RSA PKCS#1 v1.5, or the DER of
	// ECDSA's r and s. It is not verified.
	Sign func(attributes []byte) ([]byte, error)
}

// Sign returns the DER of a detached SignedData with one signer, SHA-256 and signed attributes, in its ContentInfo. contentDigest is the
// SHA-256 of what is signed. An error of Options.Sign is returned as it is.
func Sign(contentDigest [sha256.Size]byte, o Options) ([]byte, error) {
	if len(o.Certificates) == 0 {
		return nil, errors.New("cannot write CMS: the signer's certificate is missing")
	}
	algorithm, err := algorithmOf(o.Certificates[0])
	if err != nil {
		return nil, fmt.Errorf("cannot write CMS: %w", err)
	}
	attributes, err := signedAttributes(contentDigest, o.SigningTime)
	if err != nil {
		return nil, fmt.Errorf("cannot write CMS: signed attributes: %w", err)
	}
	signature, err := o.Sign(bytes.Clone(attributes))
	if err != nil {
		return nil, err
	}
	der, err := o.signedData(algorithm, attributes, signature)
	if err != nil {
		return nil, fmt.Errorf("cannot write CMS: %w", err)
	}
	return der, nil
}

// algorithmOf names the algorithm as OpenSSL does.
func algorithmOf(signer *x509.Certificate) (pkix.AlgorithmIdentifier, error) {
	switch signer.PublicKey.(type) {
	case *rsa.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, nil
	case *ecdsa.PublicKey:
		return pkix.AlgorithmIdentifier{Algorithm: algorithms[0].withECDSA}, nil
	}
	return pkix.AlgorithmIdentifier{}, fmt.Errorf("a key of type %T cannot sign", signer.PublicKey)
}

// signedAttributes returns the DER of the attributes as a SET, whose order is that of the encodings.
func signedAttributes(contentDigest [sha256.Size]byte, signingTime time.Time) ([]byte, error) {
	type pair struct {
		oid   asn1.ObjectIdentifier
		value any
	}
	pairs := []pair{{oidContentType, oidData}, {oidMessageDigest, contentDigest[:]}}
	if !signingTime.IsZero() {
		pairs = append(pairs, pair{oidSigningTime, signingTime.UTC().Truncate(time.Second)})
	}
	var elements [][]byte
	for _, p := range pairs {
		value, err := asn1.Marshal(p.value)
		if err != nil {
			return nil, err
		}
		der, err := asn1.Marshal(attribute{p.oid, setOf(value)})
		if err != nil {
			return nil, err
		}
		elements = append(elements, der)
	}
	return asn1.Marshal(setOf(elements...))
}

// signedData returns the DER of the whole ContentInfo.
func (o Options) signedData(algorithm pkix.AlgorithmIdentifier, attributes, signature []byte) ([]byte, error) {
	digest := pkix.AlgorithmIdentifier{Algorithm: algorithms[0].digest} // without parameters: RFC 5754, 2
	digestDER, err := asn1.Marshal(digest)
	if err != nil {
		return nil, err
	}
	signer := o.Certificates[0]
	name, err := asn1.Marshal(issuerAndSerial{asn1.RawValue{FullBytes: signer.RawIssuer}, signer.SerialNumber})
	if err != nil {
		return nil, err
	}
	info, err := asn1.Marshal(signerInfo{
		Version:    1,
		Signer:     asn1.RawValue{FullBytes: name},
		Digest:     digest,
		Attributes: asn1.RawValue{FullBytes: append([]byte{tagImplicit}, attributes[1:]...)},
		Algorithm:  algorithm,
		Signature:  signature,
	})
	if err != nil {
		return nil, err
	}
	var certificates [][]byte
	for _, c := range o.Certificates {
		certificates = append(certificates, c.Raw)
	}
	inner, err := asn1.Marshal(signedData{
		Version:      1,
		Digests:      setOf(digestDER),
		Content:      contentInfo{Type: oidData},
		Certificates: tagged(setOf(certificates...).Bytes),
		Signers:      setOf(info),
	})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, tagged(inner)})
}

// setOf makes a SET OF elements, which DER wants sorted.
func setOf(elements ...[]byte) asn1.RawValue {
	slices.SortFunc(elements, bytes.Compare)
	return asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: slices.Concat(elements...)}
}

// tagged puts the tag [0] in front.
func tagged(content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
}
