package capsule_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

var t234 = guid.MustParse("bf0d4599-20d4-414e-b2c5-3595b1cda402")

func payload(t testing.TB) []byte {
	t.Helper()
	b, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{
		{Name: "mb1", Data: []byte("first")}, {Name: "VER", Data: []byte("NV4\n"), OpMode: bup.Production},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func build(t testing.TB, o capsule.BuildOptions) []byte {
	t.Helper()
	if o.BUP == nil {
		o.BUP = payload(t)
	}
	if o.ImageType.IsZero() {
		o.ImageType = t234
	}
	var b bytes.Buffer
	if err := capsule.Build(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

var serial struct {
	sync.Mutex
	n int64
}

// issue makes a certificate that was valid on the first day of 2001 only: dates must not count.
func issue(t testing.TB, name string, parent *identity, ca bool, pathLen int) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, name, parent, ca, pathLen)
}

func issueFor(t testing.TB, key crypto.Signer, name string, parent *identity, ca bool, pathLen int) *identity {
	t.Helper()
	serial.Lock()
	serial.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.n), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2001, 1, 2, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	serial.Unlock()
	if ca {
		template.KeyUsage |= x509.KeyUsageCertSign
		template.MaxPathLen, template.MaxPathLenZero = pathLen, pathLen == 0
	}
	issuer := &identity{template, key}
	if parent != nil {
		issuer = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, key.Public(), issuer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert, key}
}

func rsaKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// content is what the signature of a capsule signs.
func content(payloadAndBUP []byte, count uint64) []byte {
	return binary.LittleEndian.AppendUint64(bytes.Clone(payloadAndBUP), count)
}

// payloadHeader is the one of L4T 36.4.3.
func payloadHeader() []byte {
	return []byte("MSS1\x10\x00\x00\x00\x03\x04\x24\x00\x00\x04\x24\x00")
}

// assemble puts a capsule together from bytes written down by hand, with an image header of version 2.
func assemble(t testing.TB, der []byte, count uint64, payloadAndBUP []byte) []byte {
	t.Helper()
	le := binary.LittleEndian
	b := []byte("\xed\xd5\xcb\x6d\x2d\xe8\x44\x4c\xbd\xa1\x71\x94\x19\x9a\xd9\x2a")
	b = append(b, "\x20\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	b = append(b, "\x01\x00\x00\x00\x00\x00\x01\x00\x10\x00\x00\x00\x00\x00\x00\x00"...)
	b = append(b, "\x02\x00\x00\x00\x99\x45\x0d\xbf\xd4\x20\x4e\x41\xb2\xc5\x35\x95\xb1\xcd\xa4\x02\x01\x00\x00\x00"...)
	b = le.AppendUint32(b, uint32(8+24+len(der)+len(payloadAndBUP)))
	b = append(b, make([]byte, 12)...)
	b = le.AppendUint64(b, count)
	b = le.AppendUint32(b, uint32(24+len(der)))
	b = append(b, "\x00\x02\xf1\x0e\x9d\xd2\xaf\x4a\xdf\x68\xee\x49\x8a\xa9\x34\x7d\x37\x56\x65\xa7"...)
	b = append(b, der...)
	b = append(b, payloadAndBUP...)
	le.PutUint32(b[24:], uint32(len(b)))
	return b
}
