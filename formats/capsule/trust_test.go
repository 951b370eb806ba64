package capsule_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

func parse(t testing.TB, raw []byte) *capsule.Capsule {
	t.Helper()
	c, err := capsule.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVerifySigner(t *testing.T) {
	root := issue(t, "root", nil, true, 1)
	sub := issue(t, "sub", root, true, 0)
	leaf := issue(t, "leaf", sub, false, 0)
	stranger := issue(t, "root", nil, true, 1) // of the same name
	// A leaf that issued another one, and an authority below one that may have none below it.
	fake := issue(t, "fake", leaf, false, 0)
	rsaLeaf := issueFor(t, rsaKey(t), "RSA leaf", root, false, 0)
	sub2 := issue(t, "sub2", sub, true, 0)
	deep := issue(t, "deep", sub2, false, 0)

	for _, tt := range []struct {
		name    string
		signer  *identity
		between []*x509.Certificate
		trusted []*identity
		want    string // part of the error, empty for trust
	}{
		{"leaf itself", leaf, nil, []*identity{leaf}, ""},
		{"issuer", leaf, nil, []*identity{sub}, ""},
		{"root over the issuer", leaf, []*x509.Certificate{sub.cert}, []*identity{root}, ""},
		{"root, the whole chain in the capsule", leaf, []*x509.Certificate{sub.cert, root.cert}, []*identity{root}, ""},
		{"one of several", leaf, []*x509.Certificate{sub.cert}, []*identity{stranger, root}, ""},
		{"RSA", rsaLeaf, nil, []*identity{root}, ""},
		{"root, the issuer is missing", leaf, nil, []*identity{root}, "does not chain up"},
		{"another root of the same name", leaf, []*x509.Certificate{sub.cert, root.cert}, []*identity{stranger}, "does not chain up"},
		{"nobody", leaf, []*x509.Certificate{sub.cert}, nil, "does not chain up"},
		{"issuer without the right to issue", fake, nil, []*identity{leaf}, "does not chain up"},
		{"path longer than the root allows", deep, []*x509.Certificate{sub2.cert, sub.cert}, []*identity{root}, "does not chain up"},
		{"path within what the nearest authority allows", deep, nil, []*identity{sub2}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := capsule.BuildOptions{Certificate: tt.signer.cert, Key: tt.signer.key, Intermediates: tt.between, MonotonicCount: 9}
			var trusted []*x509.Certificate
			for _, i := range tt.trusted {
				trusted = append(trusted, i.cert)
			}
			err := parse(t, build(t, o)).VerifySigner(trusted...)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var se *capsule.SignerError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), tt.want) || !se.MalformedData() || errors.Unwrap(err) == nil {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestVerifySignerUnsigned(t *testing.T) {
	id := issue(t, "signer", nil, false, 0)
	err := parse(t, build(t, capsule.BuildOptions{Unsigned: true})).VerifySigner(id.cert)
	if !errors.As(err, new(*capsule.SignerError)) || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("error %v", err)
	}
}

// A signature by another key than that of the certificate it names is found while reading, and so is one that was
// made for other attributes.
func TestForgedSignature(t *testing.T) {
	id, other := issue(t, "signer", nil, false, 0), issue(t, "other", nil, false, 0)
	raw := build(t, capsule.BuildOptions{Certificate: id.cert, Key: other.key})
	_, err := capsule.Parse(bytes.NewReader(raw))
	if !errors.As(err, new(*capsule.FormatError)) || !strings.Contains(err.Error(), "not by") {
		t.Errorf("error %v", err)
	}
	rsaID := issueFor(t, rsaKey(t), "RSA", nil, false, 0)
	raw = build(t, capsule.BuildOptions{Certificate: rsaID.cert, Key: rsaKey(t)})
	if _, err = capsule.Parse(bytes.NewReader(raw)); !errors.As(err, new(*capsule.FormatError)) || !strings.Contains(err.Error(), "not by") {
		t.Errorf("error %v", err)
	}
}

// The throw-away signer is nobody's, but the capsule is whole.
func TestThrowAway(t *testing.T) {
	c := parse(t, build(t, capsule.BuildOptions{}))
	if !c.Signed {
		t.Error("not signed")
	}
	if err := c.VerifySigner(issue(t, "x", nil, true, 0).cert); !errors.As(err, new(*capsule.SignerError)) {
		t.Errorf("error %v", err)
	}
}
