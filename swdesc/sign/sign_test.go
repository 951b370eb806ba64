package sign_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

func TestOpenSSLVerifiesOurCMS(t *testing.T) {
	for _, tt := range []struct{ signer, between, trusted, algorithm string }{
		{"rsa", "", "rsa", "rsaEncryption"},
		{"p256", "", "p256", "ecdsa-with-SHA256"},
		{"p384", "", "p384", "ecdsa-with-SHA256"},
		{"p521", "", "p521", "ecdsa-with-SHA256"},
		{"ca-mail", "", "ca", "ecdsa-with-SHA256"},
		{"sub-plain", "sub", "ca", "rsaEncryption"},
	} {
		t.Run(tt.signer, func(t *testing.T) {
			names := []string{tt.signer}
			if tt.between != "" {
				names = append(names, tt.between)
			}
			sig := signed(t, sign.CMS, names...)
			opensslVerify(t, sig, tt.trusted)
			if tryVerify(t, sig, file("code.pem")) == nil {
				t.Error("openssl trusts another certificate")
			}
			text := string(openssl(t, "cms", "-cmsout", "-print", "-inform", "DER", "-in", save(t, sig)))
			for _, want := range []string{"object: contentType (", "object: messageDigest (", "algorithm: " + tt.algorithm,
				"d.issuerAndSerialNumber:", "eContent: <ABSENT>", "unsignedAttrs:\n          <ABSENT>"} {
				if !strings.Contains(text, want) {
					t.Errorf("openssl does not print %q:\n%s", want, text)
				}
			}
			for _, not := range []string{"signingTime", "S/MIME Capabilities"} {
				if strings.Contains(text, not) {
					t.Errorf("openssl prints %q", not)
				}
			}
			if got := strings.Count(text, "d.certificate:"); got != len(names) {
				t.Errorf("%d certificates are included, want %d", got, len(names))
			}
		})
	}
}

// TestSameBytesAsOpenSSL has openssl sign, takes the time from its signature, and wants the same bytes from the package.
func TestSameBytesAsOpenSSL(t *testing.T) {
	theirs := openssl(t, "cms", "-sign", "-binary", "-nosmimecap", "-outform", "DER", "-in", save(t, message), "-signer", "sub-plain.pem",
		"-inkey", "sub-plain.key", "-certfile", "sub.pem")
	text := openssl(t, "cms", "-cmsout", "-print", "-inform", "DER", "-in", save(t, theirs))
	m := regexp.MustCompile(`UTCTIME:(.* GMT)`).FindSubmatch(text)
	if m == nil {
		t.Fatalf("no signing time: %s", text)
	}
	at, err := time.Parse("Jan _2 15:04:05 2006 MST", string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	// Half a second and another zone must not matter.
	at = at.In(time.FixedZone("", 3600)).Add(time.Second / 2)
	o := sign.Options{Format: sign.CMS, Signer: loadKey(t, "sub-plain"), Certificates: certificates(t, "sub-plain", "sub"), SigningTime: at}
	ours, err := sign.Sign(context.Background(), message, o)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Errorf("the signatures differ:\n%x\n%x", ours, theirs)
	}
}

func TestReproducible(t *testing.T) {
	for _, f := range []sign.Format{sign.CMS, sign.RSA} {
		if !bytes.Equal(signed(t, f, "rsa"), signed(t, f, "rsa")) {
			t.Errorf("two %s signatures differ", f)
		}
	}
}

func TestOpenSSLVerifiesOurRSA(t *testing.T) {
	public := save(t, openssl(t, "rsa", "-in", "rsa.key", "-pubout"))
	content := save(t, message)
	openssl(t, "dgst", "-sha256", "-verify", public, "-signature", save(t, signed(t, sign.RSA, "rsa")), content)
	pss := []string{"dgst", "-sha256", "-verify", public, "-sigopt", "rsa_padding_mode:pss"}
	sig := save(t, signed(t, sign.PSS, "rsa"))
	// The salt has all the room there is: 256 bytes less the digest and 2.
	for _, salt := range []string{"auto", "max", "222"} {
		openssl(t, append(pss, "-sigopt", "rsa_pss_saltlen:"+salt, "-signature", sig, content)...)
	}
	if _, err := tryOpenssl(append(pss, "-sigopt", "rsa_pss_saltlen:32", "-signature", sig, content)...); err == nil {
		t.Error("the length of the salt is not judged")
	}
}

func TestSignRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, key    string
		certificates []string
		format       sign.Format
		code         fail.Code
		text         string
	}{
		{"other certificate", "rsa", []string{"p256"}, sign.CMS, fail.Usage, "the key does not belong to the certificate of CN=p256,O=fleet"},
		{"other certificate for a bare one", "rsa", []string{"rsa3072"}, sign.RSA, fail.Usage, "the key does not belong"},
		{"order", "ca-mail", []string{"ca", "ca-mail"}, sign.CMS, fail.Usage, "put the certificate of CN=ca-mail,O=fleet first"},
		{"no certificate", "rsa", nil, sign.CMS, fail.Usage, "CMS needs the signer's certificate"},
		{"RSA with ECDSA", "p256", nil, sign.RSA, fail.Usage, `an ECDSA P-256 key for signature format "rsa": it needs an RSA key`},
		{"PSS with ECDSA", "p256", nil, sign.PSS, fail.Usage, `an ECDSA P-256 key for signature format "pss": it needs an RSA key`},
		{"no format", "rsa", nil, "", fail.Usage, "it is none of cms, rsa, pss"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := sign.Options{Format: tt.format, Signer: loadKey(t, tt.key), Certificates: certificates(t, tt.certificates...)}
			_, err := sign.Sign(context.Background(), message, o)
			failsWith(t, err, tt.code, tt.text)
		})
	}
}

func TestParseFormat(t *testing.T) {
	for _, f := range []sign.Format{sign.CMS, sign.RSA, sign.PSS} {
		if got, err := sign.ParseFormat(string(f)); err != nil || got != f {
			t.Errorf("%s: %s, %v", f, got, err)
		}
	}
	_, err := sign.ParseFormat("CMS")
	failsWith(t, err, fail.Usage, `signature format "CMS"`)
}
