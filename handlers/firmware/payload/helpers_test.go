package payload_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const folder = "/data/tegra-ota"

var ctx = context.Background()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFailure(t *testing.T, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("it was accepted; want %s: ...%s...", code, text)
	}
	if fail.CodeOf(err) != code || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want %s: ...%s...", fail.CodeOf(err), err, code, text)
	}
}

// buildBUP makes a package of three images of which the last says its version.
func buildBUP(t testing.TB, f bup.Format, ver string) []byte {
	t.Helper()
	b, err := bup.BuildBytes(bup.BuildOptions{Format: f, HeaderSize: 48, Images: []bup.Image{
		{Name: "mb1", Data: bytes.Repeat([]byte("first"), 1000), Version: 0x3275},
		{Name: "mb2", Data: []byte("second"), Spec: "3668-100-0000--1--x-", Version: 0x3275},
		{Name: "VER", Data: []byte(ver)},
	}})
	must(t, err)
	return b
}

// buildCapsule wraps a BUP; without a key it is signed by one that nobody keeps.
func buildCapsule(t testing.TB, raw []byte, change func(*capsule.BuildOptions)) []byte {
	t.Helper()
	o := capsule.BuildOptions{BUP: raw, FirmwareVersion: 36<<16 | 4<<8 | 3}
	if change != nil {
		change(&o)
	}
	var b bytes.Buffer
	must(t, capsule.Build(&b, o))
	return b.Bytes()
}

// keep opens and keeps a payload.
func keep(m *device.Machine, raw []byte) (*payload.Payload, error) {
	h, err := payload.Open(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return h.Keep(m, folder)
}

// left lists the files of the folder.
func left(t *testing.T, root string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, folder))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func write(t testing.TB, root, path, content string) {
	t.Helper()
	host := filepath.Join(root, path)
	must(t, os.MkdirAll(filepath.Dir(host), 0o755))
	must(t, os.WriteFile(host, []byte(content), 0o644))
}

func certificate(t *testing.T) (*x509.Certificate, *ecdsa.PrivateKey, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// nv4 is a VER text of R32.6 and later.
func nv4(version string) string {
	v, err := capsule.ParseVersion(version)
	if err != nil {
		panic(err)
	}
	return sealed(fmt.Sprintf("NV4\n# R%d , REVISION: %d.%d\nBOARDID=2888 BOARDSKU=0004 FAB=400\n20210603224448\n0x%08x\n", v>>16, v>>8&255, v&255, uint32(v)))
}
