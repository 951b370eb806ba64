package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/cms"
)

var message = []byte("what is signed\n")

// identity is a certificate with its key.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// identities are made once for all tests. "sub" was issued by "rsa", the others by themselves.
var (
	identities = map[string]identity{}
	folder     string // of NAME.pem, NAME.key and content, for openssl
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if folder, err = os.MkdirTemp("", "cms"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(folder)
		if err := makeIdentities(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func makeIdentities() error {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	keys := map[string]crypto.Signer{"rsa": rsaKey}
	for name, curve := range map[string]elliptic.Curve{
		"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521(), "sub": elliptic.P256(), "other": elliptic.P256(),
	} {
		if keys[name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			return err
		}
	}
	for i, name := range []string{"rsa", "p256", "p384", "p521", "sub", "other"} {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 128)), Subject: pkix.Name{CommonName: name}, SubjectKeyId: []byte{1, 2, 3, byte(i)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: name != "sub", BasicConstraintsValid: true,
		}
		issuer := identity{template, keys[name]}
		if name == "sub" {
			issuer = identities["rsa"]
		}
		der, err := x509.CreateCertificate(rand.Reader, template, issuer.cert, keys[name].Public(), issuer.key)
		if err != nil {
			return err
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		identities[name] = identity{cert, keys[name]}
		key, err := x509.MarshalPKCS8PrivateKey(keys[name])
		if err != nil {
			return err
		}
		for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: key}} {
			if err := os.WriteFile(filepath.Join(folder, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(folder, "content"), message, 0o600)
}

// openssl is the judge. Without the program these tests fail; they are never skipped.
func openssl(t testing.TB, stdin []byte, args ...string) ([]byte, error) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("this test needs the program openssl: %v", err)
	}
	cmd := exec.Command(program, args...)
	var stderr bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stderr = folder, bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("openssl %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out, err
}

// theirs has openssl sign message: "cms" or "smime", with options.
func theirs(t testing.TB, program, signer string, options ...string) []byte {
	t.Helper()
	args := []string{program, "-sign", "-binary", "-outform", "DER", "-in", "content", "-signer", signer + ".pem", "-inkey", signer + ".key"}
	der, err := openssl(t, nil, append(args, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// opensslVerify has openssl verify a signature with a trusted certificate.
func opensslVerify(t testing.TB, der []byte, trusted string, options ...string) error {
	t.Helper()
	for _, program := range []string{"cms", "smime"} {
		args := []string{program, "-verify", "-binary", "-inform", "DER", "-content", "content", "-CAfile", trusted + ".pem"}
		if _, err := openssl(t, der, append(args, options...)...); err != nil {
			return err
		}
	}
	return nil
}

// ours signs message by the named identity, and includes other certificates.
func ours(t testing.TB, signer string, others ...string) []byte {
	t.Helper()
	return signed(t, signer, cms.Options{}, others...)
}

func signed(t testing.TB, signer string, o cms.Options, others ...string) []byte {
	t.Helper()
	for _, name := range append([]string{signer}, others...) {
		o.Certificates = append(o.Certificates, identities[name].cert)
	}
	o.Sign = func(attributes []byte) ([]byte, error) {
		digest := sha256.Sum256(attributes)
		return identities[signer].key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	der, err := cms.Sign(sha256.Sum256(message), o)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t testing.TB, der []byte) *cms.SignedData {
	t.Helper()
	d, err := cms.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// sum is the digest of message that a signer needs.
func sum(h crypto.Hash) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}
