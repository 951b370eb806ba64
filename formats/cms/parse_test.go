package cms_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// Tags of what is written by hand.
const (
	integer, octets, object, sequence, set, implicit0, primitive0 = 0x02, 0x04, 0x06, 0x30, 0x31, 0xa0, 0x80
)

// tlv writes down one element.
func tlv(tag byte, parts ...[]byte) []byte {
	content := slices.Concat(parts...)
	head := []byte{tag, byte(len(content))}
	switch n := len(content); {
	case n > 0xffff:
		head = []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	case n > 0xff:
		head = []byte{tag, 0x82, byte(n >> 8), byte(n)}
	case n > 0x7f:
		head = []byte{tag, 0x81, byte(n)}
	}
	return append(head, content...)
}

var (
	oidData          = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01")
	oidSignedData    = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")
	oidContentType   = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03")
	oidMessageDigest = []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04")
	sha256ID         = tlv(sequence, []byte("\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"))
	one              = []byte{integer, 1, 1}
	issuer           = tlv(sequence, tlv(sequence), one)
	digestAttribute  = tlv(sequence, oidMessageDigest, tlv(set, tlv(octets, make([]byte, 32))))
	typeAttribute    = tlv(sequence, oidContentType, tlv(set, oidData))
)

// file is a SignedData by hand; zero fields are those of a good one.
type file struct{ digests, content, certificates, signers, behind []byte }

func (f file) der() []byte { return wrapped(oidSignedData, f.bare()) }

func (f file) bare() []byte {
	or := func(b, good []byte) []byte {
		if b == nil {
			return good
		}
		return b
	}
	return tlv(sequence, one, or(f.digests, tlv(set, sha256ID)), or(f.content, tlv(sequence, oidData)), f.certificates,
		or(f.signers, tlv(set, signer(issuer, typeAttribute, digestAttribute))), f.behind)
}

func wrapped(oid, inner []byte) []byte { return tlv(sequence, oid, tlv(implicit0, inner)) }

// signer is a signerInfo; without attributes it has none.
func signer(id []byte, attributes ...[]byte) []byte {
	var stored []byte
	if len(attributes) > 0 {
		stored = tlv(implicit0, attributes...)
	}
	return tlv(sequence, one, id, sha256ID, stored, sha256ID, tlv(octets, []byte{1}))
}

// signers is a file of one signer with attributes.
func signers(attributes ...[]byte) []byte {
	return file{signers: tlv(set, signer(issuer, attributes...))}.der()
}

func TestParse(t *testing.T) {
	d := parse(t, file{}.der())
	s := d.Signers[0]
	if d.Bare || !d.Detached || s.MessageDigest == nil || s.Attributes[0] != set || s.KeyID != nil || s.Certificate(d.Certificates) != nil {
		t.Errorf("%+v of %+v", s, d)
	}
	if d := parse(t, file{}.bare()); !d.Bare || len(d.Signers) != 1 {
		t.Errorf("%+v", d)
	}
	if d := parse(t, file{content: tlv(sequence, oidData, tlv(implicit0, tlv(octets, message)))}.der()); d.Detached {
		t.Error("its content is not there")
	}
	// An attribute certificate, and the lists that nobody reads.
	other := tlv(implicit0, tlv(0xa1, one), identities["p256"].cert.Raw)
	d = parse(t, file{certificates: append(other, tlv(0xa1, tlv(sequence))...)}.der())
	if d.OtherCertificates != 1 || len(d.Certificates) != 1 {
		t.Errorf("%+v", d)
	}
	s = parse(t, file{signers: tlv(set, signer(tlv(primitive0, []byte{1, 2, 3, 9})))}.der()).Signers[0]
	if !bytes.Equal(s.KeyID, []byte{1, 2, 3, 9}) || s.Attributes != nil || s.MessageDigest != nil || s.Is(identities["rsa"].cert) {
		t.Errorf("%+v", s)
	}
}

func TestMalformed(t *testing.T) {
	good := file{}.der()
	certificate := identities["p256"].cert.Raw
	twice := func(b []byte) []byte { return append(bytes.Clone(b), b...) }
	nested := bytes.Repeat([]byte{sequence, 6, sequence, 2}, 10000)
	for _, tt := range []struct {
		name, text string
		der        []byte
		encoding   bool
	}{
		{"nothing", "it is not DER", nil, true},
		{"text", "it is not DER", []byte("-----BEGIN CMS-----\n"), true},
		{"a SET", "it is not DER", tlv(set, oidSignedData), true},
		{"an empty SEQUENCE", "it is not DER of a ContentInfo", tlv(sequence), true},
		{"indefinite length", "indefinite length", append([]byte{sequence, 0x80}, append(oidSignedData, 0, 0)...), true},
		{"indefinite length inside", "indefinite length", wrapped(oidSignedData, []byte{sequence, 0x80, 0, 0}), true},
		{"length not minimal", "it is not DER", append([]byte{sequence, 0x83, 0, 0}, good[2:]...), true},
		{"nested lengths that exceed the outer one", "it is not DER",
			append([]byte{sequence, 0x83, 0, byte(len(nested) >> 8), byte(len(nested))}, nested...), true},
		{"bytes behind it", "2 bytes follow its end", append(bytes.Clone(good), 0, 0), false},
		{"bytes behind a bare one", "1 bytes follow its end", append(file{}.bare(), 0), false},
		{"other type", "its type is 1.2.840.113549.1.7.1 instead of SignedData's", wrapped(oidData, file{}.bare()), false},
		{"no content", "its SignedData is malformed", tlv(sequence, oidSignedData), true},
		{"bytes behind the SignedData", "its SignedData is malformed: 3 bytes follow",
			wrapped(oidSignedData, append(file{}.bare(), one...)), true},
		{"digest algorithms in a SEQUENCE", "must be a SET", file{digests: tlv(sequence, sha256ID)}.der(), true},
		{"digest algorithm without a name", "its SignedData is malformed", file{digests: tlv(set, tlv(sequence, one))}.der(), true},
		{"signers in a SEQUENCE", "must be a SET", file{signers: tlv(sequence, signer(issuer))}.der(), true},
		{"no signers", "it has 0 signers; 1 to 8", file{signers: tlv(set)}.der(), false},
		{"nine signers", "it has 9 signers; 1 to 8", file{signers: tlv(set, bytes.Repeat(signer(issuer), 9))}.der(), false},
		{"signer is a number", "its SignedData is malformed", file{signers: tlv(set, one)}.der(), true},
		{"signer is cut", "its SignedData is malformed", file{signers: tlv(set, signer(issuer)[:9])}.der(), true},
		{"signer's name is a number", "its name of the signer is malformed", file{signers: tlv(set, signer(one))}.der(), false},
		{"signer's serial is missing", "its name of the signer", file{signers: tlv(set, signer(tlv(sequence, tlv(sequence))))}.der(), false},
		{"empty key identifier", "its name of the signer", file{signers: tlv(set, signer(tlv(primitive0)))}.der(), false},

		{"attribute is a number", "its signed attributes are malformed", signers(digestAttribute, one), false},
		{"attribute is cut", "its signed attributes are malformed", signers(digestAttribute, digestAttribute[:9]), false},
		{"values in a SEQUENCE", "values must be a SET", signers(digestAttribute, tlv(sequence, oidData, tlv(sequence, one))), false},
		{"values are cut", "its signed attributes are malformed", signers(digestAttribute, tlv(sequence, oidData, tlv(set, one[:2]))), false},
		{"no attributes", "messageDigest is malformed: asn1: structure error: it must stand there once", signers([]byte{}), false},
		{"no messageDigest", "it must stand there once", signers(typeAttribute), false},
		{"messageDigest twice", "it must stand there once", signers(digestAttribute, digestAttribute), false},
		{"messageDigest without value", "it needs one value", signers(tlv(sequence, oidMessageDigest, tlv(set))), false},
		{"messageDigest with two", "it needs one value", signers(tlv(sequence, oidMessageDigest, tlv(set, twice(tlv(octets))))), false},
		{"messageDigest is a number", "its value is of another type", signers(tlv(sequence, oidMessageDigest, tlv(set, one))), false},

		{"certificate is none", "a certificate in it is malformed", file{certificates: tlv(implicit0, tlv(sequence))}.der(), false},
		{"certificate is cut", "its certificates are malformed", file{certificates: tlv(implicit0, certificate[:99])}.der(), false},
		{"65 certificates", "more than 64 certificates", file{certificates: tlv(implicit0, bytes.Repeat(certificate, 65))}.der(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := cms.Parse(tt.der)
			var f *cms.FormatError
			if !errors.As(err, &f) || d != nil {
				t.Fatalf("%+v, error %v, want a FormatError", d, err)
			}
			if !strings.Contains(err.Error(), tt.text) || f.Encoding != tt.encoding || !f.MalformedData() || errors.Unwrap(err) != f.Err {
				t.Errorf("error %+v, want %q", f, tt.text)
			}
		})
	}
}

// Every prefix is an error.
func TestTruncated(t *testing.T) {
	for _, whole := range [][]byte{ours(t, "p256", "sub"), file{}.bare()} {
		for n := range whole {
			if _, err := cms.Parse(whole[:n]); !errors.As(err, new(*cms.FormatError)) {
				t.Errorf("%d of %d bytes: %v", n, len(whole), err)
			}
		}
	}
}

func TestContentType(t *testing.T) {
	for name, tt := range map[string]struct {
		der  []byte
		want string
	}{
		"none":        {signers(digestAttribute), "it must stand there once"},
		"twice":       {signers(digestAttribute, typeAttribute, typeAttribute), "it must stand there once"},
		"two values":  {signers(digestAttribute, tlv(sequence, oidContentType, tlv(set, oidData, oidData))), "it needs one value"},
		"a number":    {signers(digestAttribute, tlv(sequence, oidContentType, tlv(set, one))), "its value is of another type"},
		"no such set": {file{signers: tlv(set, signer(issuer))}.der(), "its attribute contentType is malformed"},
		"good":        {signers(digestAttribute, typeAttribute), ""},
	} {
		oid, err := parse(t, tt.der).Signers[0].ContentType()
		if tt.want == "" && (err != nil || !oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1})) {
			t.Errorf("%s: %v, %v", name, oid, err)
		}
		if tt.want != "" && (!errors.As(err, new(*cms.FormatError)) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Depth and number of what nobody asked for cost no more than its bytes: a reader that recurses on input would overflow its stack, and
// one that tries lengths twice would not come back.
func TestHostileNesting(t *testing.T) {
	const depth, core = 20000, 0x10000
	deep := make([]byte, 0, 5*depth+core)
	for room := 5*(depth-1) + core; room >= core; room -= 5 {
		deep = append(deep, sequence, 0x83, byte(room>>16), byte(room>>8), byte(room))
	}
	deep = deep[:cap(deep)]
	many := bytes.Repeat([]byte{integer, 1, 1}, 300000)
	for name, tt := range map[string]struct {
		der  []byte
		good bool
	}{
		"deep":             {wrapped(oidSignedData, deep), false},
		"deep attribute":   {signers(digestAttribute, tlv(sequence, oidData, tlv(set, deep))), true},
		"many values":      {signers(digestAttribute, tlv(sequence, oidData, tlv(set, many))), true},
		"many digests":     {file{digests: tlv(set, bytes.Repeat(sha256ID, 70000))}.der(), true},
		"many signers":     {file{signers: tlv(set, bytes.Repeat(signer(issuer), 20000))}.der(), false},
		"many others":      {file{certificates: tlv(implicit0, many)}.der(), true},
		"many behind":      {file{behind: many}.der(), true},
		"lists of revoked": {file{certificates: tlv(0xa1, many)}.der(), true},
	} {
		start := time.Now()
		_, err := cms.Parse(tt.der)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if (err == nil) != tt.good || err != nil && !errors.As(err, new(*cms.FormatError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIsSignedData(t *testing.T) {
	der := ours(t, "p256")
	for name, tt := range map[string]struct {
		head []byte
		want bool
	}{
		"whole": {der, true}, "19 bytes": {der[:19], true}, "BER": {append([]byte{sequence, 0x80}, oidSignedData...), true},
		"nothing": {nil, false}, "14 bytes": {der[:14], false}, "bare": {file{}.bare(), false}, "data": {wrapped(oidData, nil), false},
		"text": {[]byte("-----BEGIN CMS-----"), false}, "later": {append(make([]byte, 20), der...), false},
	} {
		if got := cms.IsSignedData(tt.head); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
