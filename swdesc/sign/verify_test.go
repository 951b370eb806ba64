package sign_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// cmsSign has openssl sign message as SWUpdate's documentation does, with more options.
func cmsSign(t testing.TB, signer string, options ...string) []byte {
	t.Helper()
	args := []string{"cms", "-sign", "-nosmimecap", "-outform", "DER", "-in", save(t, message), "-signer", signer + ".pem"}
	return openssl(t, append(append(args, "-inkey", signer+".key"), options...)...)
}

// TestVerifyLikeOpenSSL has openssl sign and verify, and wants the same verdict from Verify.
func TestVerifyLikeOpenSSL(t *testing.T) {
	const ok = ""
	for _, tt := range []struct {
		name    string
		sig     []byte
		trusted []string
		purpose string
		text    string // of our error; openssl must refuse, too
	}{
		{"self-signed RSA", cmsSign(t, "rsa", "-binary"), []string{"rsa"}, "", ok},
		{"self-signed P-256", cmsSign(t, "p256", "-binary"), []string{"p256"}, "", ok},
		{"self-signed P-521, SHA-512", cmsSign(t, "p521", "-binary", "-md", "sha512"), []string{"p521"}, "", ok},
		{"RSA, SHA-384", cmsSign(t, "rsa", "-binary", "-md", "sha384"), []string{"rsa"}, "", ok},
		{"content included", cmsSign(t, "rsa", "-binary", "-nodetach"), []string{"rsa"}, "", ok},
		{"no attributes", cmsSign(t, "p256", "-binary", "-noattr"), []string{"p256"}, "", ok},
		{"key identifier", cmsSign(t, "rsa", "-binary", "-keyid"), []string{"rsa"}, "", ok},
		{"chain", cmsSign(t, "sub-plain", "-binary", "-certfile", file("sub.pem")), []string{"ca"}, "", ok},
		{"chain in the trust", cmsSign(t, "sub-plain", "-binary"), []string{"sub", "ca"}, "", ok},
		{"no root", cmsSign(t, "sub-plain", "-binary"), []string{"sub"}, "", "CN=sub-plain,O=fleet is not trusted"},
		{"only the leaf", cmsSign(t, "ca-plain", "-binary"), []string{"ca-plain"}, "", "trust its self-signed authority"},
		{"intermediate missing", cmsSign(t, "sub-plain", "-binary"), []string{"ca"}, "", "trust its self-signed authority"},
		{"other certificate", cmsSign(t, "rsa", "-binary"), []string{"rsa3072"}, "", "CN=rsa,O=fleet is not trusted"},
		{"not binary", cmsSign(t, "rsa"), []string{"rsa"}, "", "sign with -binary"},
		{"not binary, no attributes", cmsSign(t, "rsa", "-noattr"), []string{"rsa"}, "", "sign with -binary"},
		{"no certificate", cmsSign(t, "rsa", "-binary", "-nocerts"), []string{"rsa"}, "", "sign without -nocerts"},
		{"PEM", cmsSign(t, "rsa", "-binary", "-outform", "PEM"), []string{"rsa"}, "", "it is PEM, and SWUpdate reads DER; sign with -outform"},
		{"S/MIME", cmsSign(t, "rsa", "-binary", "-outform", "SMIME"), []string{"rsa"}, "", "it is S/MIME text"},

		{"code CA, mail", cmsSign(t, "ca-code", "-binary"), []string{"ca"}, "emailProtection", "CN=ca-code,O=fleet has no emailProtection"},
		{"code CA, code", cmsSign(t, "ca-code", "-binary"), []string{"ca"}, "codeSigning", ok},
		{"code CA, any", cmsSign(t, "ca-code", "-binary"), []string{"ca"}, "any", ok},
		{"mail CA, mail", cmsSign(t, "ca-mail", "-binary"), []string{"ca"}, "", ok},
		{"mail CA, code", cmsSign(t, "ca-mail", "-binary"), []string{"ca"}, "codeSigning", "CN=ca-mail,O=fleet has no codeSigning"},
		{"plain CA, mail", cmsSign(t, "ca-plain", "-binary"), []string{"ca"}, "", ok},
		{"plain CA, code", cmsSign(t, "ca-plain", "-binary"), []string{"ca"}, "codeSigning", "it has no extended key usage codeSigning"},
		{"any usage, mail", cmsSign(t, "ca-any", "-binary"), []string{"ca"}, "", "CN=ca-any,O=fleet has no emailProtection"},
		{"any usage, code", cmsSign(t, "ca-any", "-binary"), []string{"ca"}, "codeSigning", "CN=ca-any,O=fleet has no codeSigning"},
		{"encipher, mail", cmsSign(t, "ca-encipher", "-binary"), []string{"ca"}, "", "its key usage has no digitalSignature"},
		{"encipher, any", cmsSign(t, "ca-encipher", "-binary"), []string{"ca"}, "any", ok},
		{"non-repudiation, mail", cmsSign(t, "ca-repudiate", "-binary"), []string{"ca"}, "", ok},
		{"self-signed code, mail", cmsSign(t, "code", "-binary"), []string{"code"}, "", "CN=code,O=fleet has no emailProtection"},
		{"self-signed code, code", cmsSign(t, "code", "-binary"), []string{"code"}, "codeSigning", ok},
		{"self-signed plain, code", cmsSign(t, "p256", "-binary"), []string{"p256"}, "codeSigning", "it has no extended key usage codeSigning"},
		{"self-signed encipher", cmsSign(t, "server", "-binary"), []string{"server"}, "", "its key usage has no digitalSignature"},
		{"CA for code, mail", cmsSign(t, "codeca-plain", "-binary"), []string{"codeca"}, "", "CN=codeca,O=fleet has no emailProtection"},
		{"CA for code, code", cmsSign(t, "codeca-code", "-binary"), []string{"codeca"}, "codeSigning", ok},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := sign.VerifyOptions{Trust: trust(t, tt.trusted...), Purpose: tt.purpose, IncludedAuthorities: true}
			got, err := sign.Verify(message, tt.sig, o)
			if tt.text == ok {
				if err != nil {
					t.Error(err)
				}
				if got.Format != sign.CMS || !strings.HasPrefix(got.Signer, "CN=") {
					t.Errorf("result is %+v", got)
				}
			} else {
				var refused *sign.SignatureError
				failsWith(t, err, fail.Data, tt.text)
				if !errors.As(err, &refused) || !refused.MalformedData() {
					t.Errorf("%T is no SignatureError", err)
				}
			}
			// OpenSSL 3.0 has no purpose of code signing. SWUpdate brings one, and TestSWUpdate asks it.
			if tt.purpose == "codeSigning" {
				return
			}
			var bundle []byte
			for _, name := range tt.trusted {
				bundle = append(bundle, read(t, file(name+".pem"))...)
			}
			purpose := "smimesign"
			if tt.purpose == "any" {
				purpose = "any"
			}
			if err := tryVerify(t, tt.sig, save(t, bundle), "-purpose", purpose); (err == nil) != (tt.text == ok) {
				t.Errorf("openssl says otherwise: %v", err)
			}
		})
	}
}

// TestVerifyStricter lists what SWUpdate accepts and Verify does not.
func TestVerifyStricter(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		sig        []byte
	}{
		{"SHA-1", "sign with -md sha256", cmsSign(t, "rsa", "-binary", "-md", "sha1")},
		{"PSS in CMS", "sign without rsa_padding_mode:pss", cmsSign(t, "rsa", "-binary", "-keyopt", "rsa_padding_mode:pss")},
		{"indefinite lengths", "without -stream", cmsSign(t, "rsa", "-binary", "-stream", "-nodetach")},
		{"trailing bytes", "1 bytes follow its end", append(cmsSign(t, "rsa", "-binary"), 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sign.Verify(message, tt.sig, sign.VerifyOptions{Trust: trust(t, "rsa")})
			failsWith(t, err, fail.Data, tt.text)
			opensslVerify(t, tt.sig, "rsa")
		})
	}
}

func TestVerifyDates(t *testing.T) {
	sig := signed(t, sign.CMS, "ca-mail")
	c := certificates(t, "ca-mail")[0]
	const expired = "expired or is not yet valid"
	for at, text := range map[time.Time]string{
		c.NotBefore.Add(-time.Hour): expired, c.NotAfter.Add(-time.Minute): "", c.NotAfter.Add(time.Hour): expired,
	} {
		_, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "ca"), Now: at})
		if text == "" && err != nil {
			t.Error(err)
		} else if text != "" {
			failsWith(t, err, fail.Data, text)
		}
	}
}

func TestVerifySeveralSigners(t *testing.T) {
	two := cmsSign(t, "rsa", "-binary", "-signer", file("p256.pem"), "-inkey", file("p256.key"))
	for _, tt := range []struct {
		trusted []string
		skip    bool
		text    string
	}{
		{[]string{"rsa", "p256"}, false, ""},
		{[]string{"rsa"}, false, "CN=p256,O=fleet is not trusted"},
		{[]string{"rsa"}, true, ""},
		{[]string{"p256"}, true, ""},
		{[]string{"p384"}, true, "is not trusted"},
	} {
		got, err := sign.Verify(message, two, sign.VerifyOptions{Trust: trust(t, tt.trusted...), SkipUnknownSigners: tt.skip})
		switch {
		case tt.text != "":
			failsWith(t, err, fail.Data, tt.text)
		case err != nil:
			t.Error(err)
		case !slices.ContainsFunc(tt.trusted, func(n string) bool { return got.Signer == "CN="+n+",O=fleet" }):
			t.Errorf("signer is %s, trusted are %s", got.Signer, tt.trusted)
		}
	}
	// Each signature must verify, also that of a signer whom nobody needs.
	two[len(two)-1] ^= 1
	_, err := sign.Verify(message, two, sign.VerifyOptions{Trust: trust(t, "rsa", "p256"), SkipUnknownSigners: true})
	failsWith(t, err, fail.Data, "does not verify")
}

func TestVerifyUsage(t *testing.T) {
	sig := signed(t, sign.CMS, "rsa")
	keys := &sign.Trust{Keys: []crypto.PublicKey{certificates(t, "rsa")[0].PublicKey}}
	for text, o := range map[string]sign.VerifyOptions{
		"no trusted certificate or public key was given": {},
		"a trusted certificate is needed":                {Trust: keys},
		`purpose "smimesign"`:                            {Trust: trust(t, "rsa"), Purpose: "smimesign"},
		`signature format "gpg"`:                         {Trust: trust(t, "rsa"), Format: "gpg"},
	} {
		_, err := sign.Verify(message, sig, o)
		failsWith(t, err, fail.Usage, text)
	}
}

// TestNoBitMatters flips every bit outside the included certificate: none may leave a signature that verifies and says the same.
func TestNoBitMatters(t *testing.T) {
	c := certificates(t, "p256")
	sig := signed(t, sign.CMS, "p256")
	start := bytes.Index(sig, c[0].Raw)
	if _, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: &sign.Trust{Certificates: c}}); err != nil || start < 0 {
		t.Fatal(err, start)
	}
	// Nobody needs the two version numbers and the list of digests in front; OpenSSL does not read them, either.
	var free []int
	for i := range sig {
		bad := bytes.Clone(sig)
		bad[i] ^= 1
		if _, err := sign.Verify(message, bad, sign.VerifyOptions{Trust: &sign.Trust{Certificates: []*x509.Certificate{c[0]}}}); err == nil {
			free = append(free, i)
		}
	}
	if len(free) > 16 {
		t.Errorf("%d bytes do not matter: %v", len(free), free)
	}
}

// TestHostileNesting is what needs exponential time in a reader that lets an inner length exceed the outer one.
func TestHostileNesting(t *testing.T) {
	inner := bytes.Repeat([]byte{0x30, 6, 0x30, 2}, 10000)
	sig := append([]byte{0x30, 0x83, 0, byte(len(inner) >> 8), byte(len(inner))}, inner...)
	_, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "rsa"), Format: sign.CMS})
	failsWith(t, err, fail.Data, "it is not DER")
}

func TestVerifyLimits(t *testing.T) {
	sig := signed(t, sign.CMS, "p256")
	// The last byte of the attribute's object identifier, 1.2.840.113549.1.9.4.
	digest := bytes.Index(sig, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4}) + 8
	without := bytes.Clone(sig)
	without[digest] = 9
	var names, nine []string
	for range 65 {
		names = append(names, "p256")
	}
	for _, c := range issued[:8] {
		nine = append(nine, "-signer", file(c.name+".pem"), "-inkey", file(c.name+".key"))
	}
	for text, sig := range map[string][]byte{
		"its attribute messageDigest is malformed: asn1: structure error: it must stand there once": without,
		"it has more than 64 certificates":          signed(t, sign.CMS, names...),
		"it has 9 signers; 1 to 8 are verified":     cmsSign(t, "sub", append(nine, "-binary")...),
		"its type is 1.2.840.113549.1.7.1 instead ": bytes.Replace(sig, []byte{0x0d, 1, 7, 2}, []byte{0x0d, 1, 7, 1}, 1),
	} {
		_, err := sign.Verify(message, sig, sign.VerifyOptions{Trust: trust(t, "p256"), Format: sign.CMS})
		failsWith(t, err, fail.Data, text)
	}
}
