package sign_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// FuzzVerify wants of any signature a verdict: a SignatureError, or one of the trusted signers, for the signed message only.
func FuzzVerify(f *testing.F) {
	trusted := trust(f, "p256", "ca", "rsa")
	other := append([]byte("x"), message...)
	for _, seed := range [][]byte{
		signed(f, sign.CMS, "p256"), signed(f, sign.CMS, "ca-mail", "ca"), signed(f, sign.RSA, "rsa"), signed(f, sign.PSS, "rsa"),
		cmsSign(f, "p256", "-binary", "-noattr"), cmsSign(f, "p256", "-binary", "-keyid"), cmsSign(f, "p256", "-outform", "PEM"),
		cmsSign(f, "p256", "-binary", "-nodetach", "-signer", file("ca-mail.pem"), "-inkey", file("ca-mail.key")),
		{}, {0x30}, {0x30, 0x80, 0, 0},
	} {
		f.Add(seed)
	}
	signers := map[string]bool{"CN=p256,O=fleet": true, "CN=ca-mail,O=fleet": true}
	f.Fuzz(func(t *testing.T, sig []byte) {
		for _, format := range []sign.Format{"", sign.CMS} {
			o := sign.VerifyOptions{Trust: trusted, Format: format, IncludedAuthorities: true}
			if _, err := sign.Verify(other, sig, o); err == nil {
				t.Error("it verifies with another message")
			}
			got, err := sign.Verify(message, sig, o)
			var refused *sign.SignatureError
			switch {
			case err == nil && got.Format == sign.CMS && !signers[got.Signer]:
				t.Errorf("the signer is %s", got.Signer)
			case err != nil && (!errors.As(err, &refused) || fail.CodeOf(err) != fail.Data):
				t.Errorf("%T, exit %s: %v", err, fail.CodeOf(err), err)
			}
		}
	})
}

// FuzzKeyFile wants that a PEM file of any kind is read or is at fault.
func FuzzKeyFile(f *testing.F) {
	for _, name := range []string{"rsa.key", "p256.key", "rsa.pem", "p256.pem"} {
		f.Add(read(f, file(name)))
	}
	f.Add(openssl(f, "pkey", "-in", "p256.key", "-pubout"))
	f.Add(openssl(f, "ec", "-in", "p256.key"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	path := filepath.Join(f.TempDir(), "key.pem")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err1 := sign.LoadKey(path)
		list, err2 := sign.LoadCertificates(path)
		public, err3 := sign.LoadPublicKey(path)
		trust, err4 := sign.LoadTrust(path)
		for i, err := range []error{err1, err2, err3, err4} {
			if err != nil && fail.CodeOf(err) != fail.Data {
				t.Errorf("%d: exit %s: %v", i, fail.CodeOf(err), err)
			}
		}
		if err1 == nil && key.Public() == nil || err2 == nil && len(list) == 0 || err3 == nil && public == nil || err4 == nil && trust == nil {
			t.Error("nothing, and no error")
		}
	})
}
