package sign_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

func TestVerifyBare(t *testing.T) {
	content := save(t, message)
	rsa := openssl(t, "dgst", "-sha256", "-sign", "rsa.key", content)
	pss := openssl(t, "dgst", "-sha256", "-sign", "rsa.key", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-2", content)
	short := openssl(t, "dgst", "-sha256", "-sign", "rsa.key", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", content)
	sha1 := openssl(t, "dgst", "-sha1", "-sign", "rsa.key", content)
	key := func(names ...string) *sign.Trust {
		tr := new(sign.Trust)
		for _, c := range certificates(t, names...) {
			tr.Keys = append(tr.Keys, c.PublicKey)
		}
		return tr
	}
	for _, tt := range []struct {
		name   string
		sig    []byte
		trust  *sign.Trust
		format sign.Format
		want   sign.Format
		text   string
	}{
		{"RSA", rsa, key("rsa"), "", sign.RSA, ""},
		{"RSA by its name", rsa, key("rsa"), sign.RSA, sign.RSA, ""},
		{"RSA, rotation", rsa, key("p256", "rsa3072", "rsa"), "", sign.RSA, ""},
		{"RSA, certificate", rsa, trust(t, "rsa"), "", sign.RSA, ""},
		{"PSS", pss, key("rsa"), "", sign.PSS, ""},
		{"PSS, short salt", short, key("rsa"), sign.PSS, sign.PSS, ""},
		{"RSA is not PSS", rsa, key("rsa"), sign.PSS, "", `cannot verify pss signature: it is of format "rsa"`},
		{"PSS is not RSA", pss, key("rsa"), sign.RSA, "", `cannot verify rsa signature: it is of format "pss"`},
		{"SHA-1", sha1, key("rsa"), "", "", "no trusted key made it for this sw-description"},
		{"other size", rsa, key("rsa3072"), "", "", "it has 256 bytes, and one by the trusted key has 384"},
		{"no RSA key", rsa, key("p256"), "", "", "it is not CMS, and none of the trusted keys is an RSA key"},
		{"CMS as RSA", signed(t, sign.CMS, "rsa"), key("rsa"), sign.RSA, "", "it is CMS"},
		{"RSA as CMS", rsa, trust(t, "rsa"), sign.CMS, "", "it is not DER"},
		{"empty", nil, key("rsa"), "", "", "it is empty"},
		{"too long", make([]byte, 1<<20+1), key("rsa"), "", "", "its 1048577 bytes are more than 1048576"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sign.Verify(message, tt.sig, sign.VerifyOptions{Trust: tt.trust, Format: tt.format})
			if tt.text != "" {
				failsWith(t, err, fail.Data, tt.text)
				return
			}
			if err != nil || got.Format != tt.want || !strings.HasPrefix(got.Signer, "RSA 2048 key, SHA-256 ") {
				t.Errorf("%+v, %v", got, err)
			}
			if _, err := sign.Verify(append(message[:len(message):len(message)], ' '), tt.sig, sign.VerifyOptions{Trust: tt.trust}); err == nil {
				t.Error("a changed message verifies")
			}
		})
	}
}
