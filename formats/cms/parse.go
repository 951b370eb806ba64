package cms

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
)

// Parse reads the DER of a SignedData, with or without a ContentInfo around it. Any error is a *FormatError. Nothing is verified.
func Parse(der []byte) (*SignedData, error) {
	d := new(SignedData)
	inner, err := d.unwrap(der)
	if err != nil {
		return nil, err
	}
	var data signedData
	rest, err := asn1.Unmarshal(inner, &data)
	switch {
	case err != nil:
	case len(rest) > 0:
		err = fmt.Errorf("%d bytes follow it", len(rest))
	case !isSet(data.Digests) || !isSet(data.Signers):
		err = asn1.StructuralError{Msg: "digest algorithms and signers must be a SET"}
	default:
		err = each(data.Digests.Bytes, func(e asn1.RawValue) error {
			_, err := asn1.Unmarshal(e.FullBytes, new(pkix.AlgorithmIdentifier))
			return err
		})
	}
	if err != nil {
		return nil, misencoded(err, "its SignedData is malformed")
	}
	d.ContentType, d.Detached = data.Content.Type, len(data.Content.Content.FullBytes) == 0
	if err := d.parseSigners(data.Signers.Bytes); err != nil {
		return nil, err
	}
	if err := d.parseCertificates(data.Certificates.Bytes); err != nil {
		return nil, err
	}
	return d, nil
}

// unwrap returns the DER of the SignedData, which starts with a number where a ContentInfo starts with an object identifier.
func (d *SignedData) unwrap(der []byte) ([]byte, error) {
	var outer asn1.RawValue
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil {
		return nil, misencoded(err, "it is not DER")
	}
	d.Bare = len(outer.Bytes) > 0 && outer.Bytes[0] == asn1.TagInteger
	var info contentInfo
	if !d.Bare {
		if _, err := asn1.Unmarshal(outer.FullBytes, &info); err != nil {
			return nil, misencoded(err, "it is not DER of a ContentInfo")
		}
	}
	switch {
	case len(rest) > 0:
		return nil, malformed(nil, "%d bytes follow its end", len(rest))
	case d.Bare:
		return der, nil
	case !info.Type.Equal(oidSignedData):
		return nil, malformed(nil, "its type is %s instead of SignedData's content type %s", info.Type, oidSignedData)
	}
	return info.Content.Bytes, nil
}

func (d *SignedData) parseSigners(der []byte) error {
	n := 0
	err := each(der, func(e asn1.RawValue) error {
		if n++; n > MaxSigners {
			return nil // counted, not read
		}
		s, err := parseSigner(e.FullBytes)
		d.Signers = append(d.Signers, s)
		return err
	})
	if _, ok := err.(*FormatError); err != nil && !ok {
		return misencoded(err, "its SignedData is malformed")
	}
	if err == nil && (n == 0 || n > MaxSigners) {
		return malformed(nil, "it has %d signers; 1 to %d are verified", n, MaxSigners)
	}
	return err
}

func parseSigner(der []byte) (*Signer, error) {
	var info signerInfo
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	s := &Signer{DigestAlgorithm: info.Digest.Algorithm, Algorithm: info.Algorithm.Algorithm, Signature: info.Signature}
	if id := info.Signer; id.Class == asn1.ClassContextSpecific && id.Tag == 0 && len(id.Bytes) > 0 {
		s.KeyID = id.Bytes
	} else {
		var name issuerAndSerial
		if _, err := asn1.Unmarshal(id.FullBytes, &name); err != nil {
			return nil, malformed(err, "its name of the signer is malformed")
		}
		s.issuer, s.serial = name.Issuer.FullBytes, name.Serial
	}
	if len(info.Attributes.FullBytes) == 0 {
		return s, nil
	}
	s.Attributes = append([]byte{tagSet}, info.Attributes.FullBytes[1:]...)
	if err := each(info.Attributes.Bytes, checkAttribute); err != nil {
		return nil, malformed(err, "its signed attributes are malformed")
	}
	if err := s.attribute(oidMessageDigest, &s.MessageDigest); err != nil {
		return nil, malformed(err, "its attribute messageDigest is malformed")
	}
	return s, nil
}

func checkAttribute(e asn1.RawValue) error {
	var a attribute
	if _, err := asn1.Unmarshal(e.FullBytes, &a); err != nil {
		return err
	}
	if !isSet(a.Values) {
		return asn1.StructuralError{Msg: "values must be a SET"}
	}
	return each(a.Values.Bytes, func(asn1.RawValue) error { return nil })
}

// attribute reads the value of a signed attribute, of which there must be exactly one.
func (s *Signer) attribute(oid asn1.ObjectIdentifier, value any) error {
	var set asn1.RawValue
	if _, err := asn1.Unmarshal(s.Attributes, &set); err != nil {
		return err
	}
	found := 0
	err := each(set.Bytes, func(e asn1.RawValue) error {
		var a attribute
		if _, err := asn1.Unmarshal(e.FullBytes, &a); err != nil || !a.Type.Equal(oid) {
			return err
		}
		found++
		if rest, err := asn1.Unmarshal(a.Values.Bytes, new(asn1.RawValue)); err != nil || len(rest) > 0 {
			return asn1.StructuralError{Msg: "it needs one value"}
		}
		if _, err := asn1.Unmarshal(a.Values.Bytes, value); err != nil {
			return asn1.StructuralError{Msg: "its value is of another type"}
		}
		return nil
	})
	if err == nil && found != 1 {
		return asn1.StructuralError{Msg: "it must stand there once"}
	}
	return err
}

func (d *SignedData) parseCertificates(der []byte) error {
	err := each(der, func(e asn1.RawValue) error {
		if e.Class != asn1.ClassUniversal || e.Tag != asn1.TagSequence {
			d.OtherCertificates++
			return nil
		}
		if len(d.Certificates) == MaxCertificates {
			return malformed(nil, "it has more than %d certificates", MaxCertificates)
		}
		c, err := x509.ParseCertificate(e.FullBytes)
		if err != nil {
			return malformed(err, "a certificate in it is malformed")
		}
		d.Certificates = append(d.Certificates, c)
		return nil
	})
	if _, ok := err.(*FormatError); err != nil && !ok {
		return malformed(err, "its certificates are malformed")
	}
	return err
}

// each calls f with the elements of a SET OF, one after the other. However many there are, none is kept.
func each(set []byte, f func(e asn1.RawValue) error) error {
	for len(set) > 0 {
		var e asn1.RawValue
		rest, err := asn1.Unmarshal(set, &e)
		if err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
		set = rest
	}
	return nil
}

func isSet(v asn1.RawValue) bool {
	return v.Class == asn1.ClassUniversal && v.Tag == asn1.TagSet && v.IsCompound
}
