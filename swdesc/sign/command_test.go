package sign_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// byCommand signs with a command, in a folder where nothing is but the certificate: the key is elsewhere.
func byCommand(t *testing.T, ctx context.Context, f sign.Format, certificate, command string) ([]byte, error) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(copied, read(t, file(certificate+".pem")), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := sign.LoadCertificates(copied)
	if err != nil {
		t.Fatal(err)
	}
	public, err := sign.LoadPublicKey(copied)
	if err != nil {
		t.Fatal(err)
	}
	return sign.Sign(ctx, message, sign.Options{Format: f, Signer: sign.Command(command, public), Certificates: list})
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCommandSigns(t *testing.T) {
	dgst := "openssl dgst -sha256 -sign " + pki + "/"
	pss := " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"
	// What pkcs11-tool --mechanism ECDSA makes: r and s one after the other. Half of all r and s have their highest bit set and get
	// a zero in DER, which cut drops.
	pair := func(key string, size int) string {
		return dgst + key + ".key | openssl asn1parse -inform DER | sed -n 's/.*INTEGER *://p' | while read n; do printf '%" +
			fmt.Sprint(2*size) + "s' \"$n\" | tr ' ' 0; done | perl -0ne 's/\\n//g; print pack q(H*), $_'"
	}
	for _, tt := range []struct {
		name, certificate, command string
		format                     sign.Format
	}{
		{"RSA in CMS", "rsa", dgst + "rsa.key", sign.CMS},
		{"RSA", "rsa", dgst + "rsa.key", sign.RSA},
		{"PSS", "rsa", dgst + "rsa.key" + pss, sign.PSS},
		{"P-256", "p256", dgst + "p256.key", sign.CMS},
		{"P-256 as r and s", "p256", pair("p256", 32), sign.CMS},
		{"P-384 as r and s", "p384", pair("p384", 48), sign.CMS},
		{"P-521 as r and s", "p521", pair("p521", 66), sign.CMS},
		{"much on stderr", "p256", "head -c 1000000 /dev/zero >&2; " + dgst + "p256.key", sign.CMS},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sig, err := byCommand(t, context.Background(), tt.format, tt.certificate, tt.command)
			if err != nil {
				t.Fatal(err)
			}
			got, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, tt.certificate), Format: tt.format})
			if err != nil || got.Format != tt.format {
				t.Errorf("%+v, %v", got, err)
			}
			if tt.format == sign.CMS {
				opensslVerify(t, sig, tt.certificate)
			}
		})
	}
}

func TestCommandGetsTheMessage(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	for f, want := range map[sign.Format]string{sign.RSA: string(message), sign.CMS: "1"} { // "1" is 0x31, the tag of SET
		_, err := byCommand(t, context.Background(), f, "rsa", "tee "+seen+" | openssl dgst -sha256 -sign "+file("rsa.key"))
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, seen); !strings.HasPrefix(string(got), want) {
			t.Errorf("%s: the command got %x", f, got)
		}
	}
}

func TestCommandRefused(t *testing.T) {
	sha256, dgst := "openssl dgst -sha256 -binary", "openssl dgst -sha256 -sign "
	for _, tt := range []struct {
		name, certificate string
		format            sign.Format
		command, text     string
	}{
		{"fails", "rsa", sign.CMS, "echo no token in >&2; echo slot 3 >&2; exit 7",
			`"echo no token in >&2; echo slot 3 >&2; exit 7": exit status 7 (no token in slot 3)`},
		{"fails after a signature", "rsa", sign.RSA, "openssl dgst -sha256 -sign " + file("rsa.key") + "; exit 1", "exit status 1"},
		{"missing", "rsa", sign.CMS, "/no/such/program", "exit status 127"},
		{"prints nothing", "rsa", sign.CMS, "cat > /dev/null", "it printed nothing"},
		{"does not read", "rsa", sign.CMS, ":", "it printed nothing"},
		{"too much", "rsa", sign.CMS, "yes", "more than 64 KiB"},
		{"too much by a program that lives on", "rsa", sign.CMS, "head -c 65537 /dev/zero; true", "more than 64 KiB"},
		{"text", "rsa", sign.RSA, "openssl dgst -sha256 -sign " + file("rsa.key") + " | base64", "print the bare signature, not text"},
		{"garbage", "rsa", sign.RSA, "head -c 100 /dev/zero", "print the bare signature of 256 bytes, not 100 bytes"},
		{"garbage of the size", "rsa", sign.RSA, "head -c 256 /dev/zero", "the command's signature does not verify with the certificate"},
		{"garbage for ECDSA", "p256", sign.CMS, "head -c 64 /dev/zero", "the command's signature does not verify with the certificate"},
		{"other key", "ca-mail", sign.CMS, dgst + file("p256.key"), "does not verify with the certificate of CN=ca-mail,O=fleet"},
		{"digest hashed again", "rsa", sign.CMS, sha256 + " | openssl dgst -sha256 -sign " + file("rsa.key"), "hashed them twice"},
		{"digest hashed again, ECDSA", "p256", sign.CMS, sha256 + " | openssl dgst -sha256 -sign " + file("p256.key"), "hashed them twice"},
		{"bare digest", "rsa", sign.RSA, sha256 + " | openssl pkeyutl -sign -inkey " + file("rsa.key"), "-pkeyopt digest:sha256"},
		{"SHA-512", "rsa", sign.RSA, "openssl dgst -sha512 -sign " + file("rsa.key"), "use SHA-256: the signature was made with SHA-512"},
		{"SHA-1", "p256", sign.CMS, "openssl dgst -sha1 -sign " + file("p256.key"), "made with SHA-1"},
		{"PKCS#1 for PSS", "rsa", sign.PSS, "openssl dgst -sha256 -sign " + file("rsa.key"), "use RSA PSS"},
		{"PSS for PKCS#1", "rsa", sign.CMS, "openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sign " + file("rsa.key"), "use RSA PKCS#1 v1.5"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sig, err := byCommand(t, context.Background(), tt.format, tt.certificate, tt.command)
			failsWith(t, err, fail.Unavailable, tt.text)
			if sig != nil {
				t.Error("there is a signature")
			}
		})
	}
}

func TestCommandHangs(t *testing.T) {
	for name, command := range map[string]string{"shell": "exec sleep 60", "descendant that holds the output": "sleep 6 & wait"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := byCommand(t, ctx, sign.CMS, "rsa", command)
			failsWith(t, err, fail.Unavailable, "context deadline exceeded")
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// TestKeyIsNeverRead signs with a key that is there only under a passphrase, which the command alone knows.
func TestKeyIsNeverRead(t *testing.T) {
	locked := filepath.Join(t.TempDir(), "locked.key")
	openssl(t, "pkey", "-in", "rsa.key", "-aes256", "-passout", "pass:secret", "-out", locked)
	_, err := sign.LoadKey(locked)
	failsWith(t, err, fail.Data, "locked.key: it is encrypted; use --sign-command")
	script := save(t, []byte("#!/bin/sh\nexec openssl dgst -sha256 -passin pass:secret -sign "+locked+"\n"))
	sig, err := byCommand(t, context.Background(), sign.CMS, "rsa", "sh "+script)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "rsa")}); err != nil {
		t.Error(err)
	}
}

func TestPublicKeyWithoutCertificate(t *testing.T) {
	public, err := sign.LoadPublicKey(save(t, openssl(t, "rsa", "-in", "rsa.key", "-pubout")))
	if err != nil {
		t.Fatal(err)
	}
	o := sign.Options{Format: sign.RSA, Signer: sign.Command("openssl dgst -sha256 -sign "+file("rsa.key"), public)}
	sig, err := sign.Sign(context.Background(), message, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "rsa")}); err != nil {
		t.Error(err)
	}
	_, err = sign.Sign(context.Background(), message, sign.Options{Format: sign.RSA, Signer: sign.Command("head -c 256 /dev/zero", public)})
	failsWith(t, err, fail.Unavailable, "the command's signature does not verify with its public key")
}
