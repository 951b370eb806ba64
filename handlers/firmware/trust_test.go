package firmware_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// key makes a self-signed signer.
func key(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, k
}

func TestCapsuleTrust(t *testing.T) {
	ours, k := key(t, "ours")
	other, _ := key(t, "other")
	plain := build(t, virtual.CapsuleOptions{})
	parsed, err := capsule.ParseAt(bytes.NewReader(plain), int64(len(plain)))
	must(t, err)
	var signed bytes.Buffer
	must(t, capsule.Build(&signed, capsule.BuildOptions{
		ImageType: parsed.ImageType, FirmwareVersion: parsed.FirmwareVersion, LowestSupported: parsed.LowestSupportedVersion,
		BUP: plain[parsed.BUPOffset:], Certificate: ours, Key: k,
	}))
	text := func(certs ...*x509.Certificate) string {
		var b bytes.Buffer
		for _, c := range certs {
			must(t, pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
		return b.String()
	}
	for _, tt := range []struct {
		name, pem string
		raw       []byte
		code      fail.Code
		text      string
	}{
		{"ours", text(ours), signed.Bytes(), fail.OK, ""},
		{"one of two", text(other, ours), signed.Bytes(), fail.OK, ""},
		{"another", text(other), signed.Bytes(), fail.Data, ""},
		{"a stranger's capsule", text(ours), plain, fail.Data, ""},
		{"no signature", text(ours), build(t, virtual.CapsuleOptions{Unsigned: true}), fail.Data, ""},
		{"no certificate file", "", signed.Bytes(), fail.Unavailable, "capsule_trust"},
		{"no certificate in it", "nonsense", signed.Bytes(), fail.Unavailable, "no PEM certificate"},
		{"a broken certificate", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})), signed.Bytes(), fail.Unavailable, "cannot read certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOrin(t, virtual.CreateOptions{})
			if tt.pem != "" {
				o.write("etc/trust.pem", tt.pem)
			}
			s := o.stager(firmware.Options{CapsuleTrust: "/etc/trust.pem"})
			c, err := s.Open(ctx, bytes.NewReader(tt.raw))
			if err == nil {
				_, err = c.Stage(ctx)
			}
			if tt.code == fail.OK {
				must(t, err)
				return
			}
			wantFailure(t, err, tt.code, tt.text)
			if o.exists(stagedFile) || o.exists(incomingFile) {
				t.Error("a capsule of an unknown signer is left on the ESP")
			}
		})
	}
}
