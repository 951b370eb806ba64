package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// TestLoadKeyForms reads every form in which openssl writes a key, and proves the key by a signature.
func TestLoadKeyForms(t *testing.T) {
	for name, form := range map[string]struct{ certificate, pem string }{
		"PKCS#8":                  {"rsa", string(openssl(t, "pkey", "-in", "rsa.key"))},
		"PKCS#1":                  {"rsa", string(openssl(t, "rsa", "-in", "rsa.key", "-traditional"))},
		"SEC1":                    {"p256", string(openssl(t, "ec", "-in", "p256.key"))},
		"SEC1 with parameters":    {"p256", string(openssl(t, "ecparam", "-name", "prime256v1")) + string(openssl(t, "ec", "-in", "p256.key"))},
		"certificate in front":    {"rsa", string(read(t, file("rsa.pem"))) + string(read(t, file("rsa.key")))},
		"text in front, CR LF":    {"rsa", "some words\r\n" + strings.ReplaceAll(string(read(t, file("rsa.key"))), "\n", "\r\n")},
		"P-384 PKCS#8":            {"p384", string(read(t, file("p384.key")))},
		"P-521, two keys, second": {"p521", string(read(t, file("p521.key"))) + string(read(t, file("rsa.key")))},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := sign.LoadKey(save(t, []byte(form.pem)))
			if err != nil {
				t.Fatal(err)
			}
			o := sign.Options{Format: sign.CMS, Signer: k, Certificates: certificates(t, form.certificate)}
			if _, err := sign.Sign(context.Background(), message, o); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLoadKeyRefused(t *testing.T) {
	broken := bytes.Replace(read(t, file("rsa.key")), []byte("\n"), []byte("\nAAAA"), 1)
	for _, tt := range []struct {
		name, text string
		pem        []byte
	}{
		{"encrypted PKCS#8", "it is encrypted; use --sign-command", openssl(t, "pkey", "-in", "rsa.key", "-aes256", "-passout", "pass:x")},
		{"encrypted PKCS#1", "it is encrypted; use --sign-command",
			openssl(t, "rsa", "-in", "rsa.key", "-aes256", "-passout", "pass:x", "-traditional")},
		{"RSA 1024", "an RSA 1024 key: at least 2048 bits are needed", openssl(t, "genrsa", "1024")},
		{"Ed25519", "a key of type ed25519.PublicKey: RSA or ECDSA is needed", openssl(t, "genpkey", "-algorithm", "ED25519")},
		{"X25519", "cannot sign", openssl(t, "genpkey", "-algorithm", "X25519")},
		{"P-224", "the curve is none of P-256, P-384, P-521", openssl(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224")},
		{"secp256k1", `PEM block "PRIVATE KEY"`, openssl(t, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1")},
		{"DSA form", "the type is not supported", []byte("-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----\n")},
		{"certificate", `it has no PEM block "PRIVATE KEY"`, read(t, file("rsa.pem"))},
		{"DER", "it has no PEM block", openssl(t, "pkey", "-in", "rsa.key", "-outform", "DER")},
		{"empty", "it has no PEM block", nil},
		{"broken", `PEM block "PRIVATE KEY"`, broken},
		{"too long", "it is longer than 1048576 bytes", make([]byte, 1<<20+1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sign.LoadKey(save(t, tt.pem))
			failsWith(t, err, fail.Data, tt.text)
		})
	}
	_, err := sign.LoadKey(filepath.Join(t.TempDir(), "none"))
	failsWith(t, err, fail.IO, "cannot read key: open ")
	_, err = sign.LoadKey(t.TempDir())
	failsWith(t, err, fail.IO, "is a directory")
}

func TestLoadCertificates(t *testing.T) {
	both := append(read(t, file("sub-plain.pem")), read(t, file("sub.pem"))...)
	list, err := sign.LoadCertificates(save(t, append(read(t, file("rsa.key")), both...)))
	if err != nil || len(list) != 2 || list[0].Subject.CommonName != "sub-plain" {
		t.Errorf("%v, %v", list, err)
	}
	public := openssl(t, "pkey", "-in", "rsa.key", "-pubout")
	damaged := []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	for text, pem := range map[string][]byte{
		`it has no PEM block "CERTIFICATE"`: public,
		"it has no PEM block":               openssl(t, "x509", "-in", "rsa.pem", "-outform", "DER"),
		`PEM block 3, "CERTIFICATE"`:        append(both[:len(both):len(both)], damaged...),
	} {
		_, err := sign.LoadCertificates(save(t, pem))
		failsWith(t, err, fail.Data, text)
	}
	_, err = sign.LoadCertificates(filepath.Join(t.TempDir(), "none"))
	failsWith(t, err, fail.IO, "cannot read certificate: open ")
}

func TestLoadPublicKey(t *testing.T) {
	want := certificates(t, "rsa")[0].PublicKey.(interface{ Equal(x crypto.PublicKey) bool })
	public := openssl(t, "pkey", "-in", "rsa.key", "-pubout")
	for name, pem := range map[string][]byte{
		"public key":            public,
		"certificate":           read(t, file("rsa.pem")),
		"behind the key itself": append(read(t, file("p256.key")), public...),
		"first one":             append(public[:len(public):len(public)], read(t, file("p256.pem"))...),
	} {
		if got, err := sign.LoadPublicKey(save(t, pem)); err != nil || !want.Equal(got) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for text, pem := range map[string][]byte{
		`it has no PEM block "PUBLIC KEY" or "CERTIFICATE"`: read(t, file("rsa.key")),
		`PEM block 1, "PUBLIC KEY"`:                         []byte("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n"),
	} {
		_, err := sign.LoadPublicKey(save(t, pem))
		failsWith(t, err, fail.Data, text)
	}
}

func TestLoadTrust(t *testing.T) {
	var pem []byte
	for _, b := range [][]byte{read(t, file("ca.pem")), openssl(t, "pkey", "-in", "rsa.key", "-pubout"), read(t, file("sub.pem"))} {
		pem = append(pem, b...)
	}
	got, err := sign.LoadTrust(save(t, pem))
	if err != nil || len(got.Certificates) != 2 || len(got.Keys) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, f := range []sign.Format{sign.CMS, sign.RSA} {
		names := map[sign.Format][]string{sign.CMS: {"sub-plain", "sub"}, sign.RSA: {"rsa"}}[f]
		if _, err := sign.Verify(message, signed(t, f, names...), sign.VerifyOptions{Trust: got}); err != nil {
			t.Error(err)
		}
	}
	_, err = sign.LoadTrust(file("rsa.key"))
	failsWith(t, err, fail.Data, `it has no PEM block "CERTIFICATE" or "PUBLIC KEY"`)
	_, err = sign.LoadTrust(filepath.Join(t.TempDir(), "none"))
	failsWith(t, err, fail.IO, "no such file")
}

// TestErrorsHideTheKey looks for the key's own characters in what is said about damaged files.
func TestErrorsHideTheKey(t *testing.T) {
	pem := read(t, file("rsa.key"))
	lines := strings.Split(string(pem), "\n")
	for cut := 1; cut < len(lines); cut++ {
		path := save(t, []byte(strings.Join(append(append([]string{}, lines[:cut]...), lines[min(cut+1, len(lines)):]...), "\n")))
		_, err := sign.LoadKey(path)
		if err == nil {
			continue // the empty line at the end
		}
		for _, line := range lines[1 : len(lines)-2] {
			if len(line) >= 8 && strings.Contains(err.Error(), line[:8]) {
				t.Errorf("error shows the key: %v", err)
			}
		}
		os.Remove(path)
	}
}
