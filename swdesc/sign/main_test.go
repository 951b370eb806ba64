package sign_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

// pki is the folder of keys and certificates that openssl made once for all tests: NAME.key and NAME.pem.
var pki string

// message stands for sw-description. Its lines end in LF, so that a signature without -binary differs.
var message = []byte("software =\n{\n\tversion = \"1.2.3\";\n};\n")

// issued are the certificates: their key, who signs them ("" themselves), and their extensions.
var issued = []struct{ name, key, by, ext string }{
	{"rsa", "rsa:2048", "", ""},
	{"rsa3072", "rsa:3072", "", ""},
	{"p256", "ec:P-256", "", ""},
	{"p384", "ec:P-384", "", ""},
	{"p521", "ec:P-521", "", ""},
	{"code", "ec:P-256", "", "extendedKeyUsage=codeSigning"},
	{"server", "ec:P-256", "", "keyUsage=keyEncipherment"},
	{"ca", "ec:P-256", "", "basicConstraints=critical,CA:TRUE"},
	{"codeca", "ec:P-256", "", "basicConstraints=critical,CA:TRUE\nextendedKeyUsage=codeSigning"},
	{"sub", "ec:P-256", "ca", "basicConstraints=critical,CA:TRUE"},
	{"ca-plain", "ec:P-256", "ca", "basicConstraints=CA:FALSE"},
	{"ca-code", "rsa", "ca", "extendedKeyUsage=codeSigning"},
	{"ca-mail", "ec:P-256", "ca", "extendedKeyUsage=emailProtection"},
	{"ca-any", "ec:P-256", "ca", "extendedKeyUsage=anyExtendedKeyUsage"},
	{"ca-encipher", "ec:P-256", "ca", "keyUsage=keyEncipherment"},
	{"ca-repudiate", "ec:P-256", "ca", "keyUsage=nonRepudiation"},
	{"codeca-plain", "ec:P-256", "codeca", "basicConstraints=CA:FALSE"},
	{"codeca-code", "ec:P-256", "codeca", "extendedKeyUsage=codeSigning"},
	{"sub-plain", "rsa3072", "sub", "basicConstraints=CA:FALSE"},
}

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if pki, err = os.MkdirTemp("", "sign"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(pki)
		if err := makePKI(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// makePKI has openssl make the keys and certificates. A key that is no kind with size is another certificate's.
func makePKI() error {
	run := func(stdin string, args ...string) error {
		c := exec.Command("openssl", args...)
		c.Dir, c.Stdin = pki, strings.NewReader(stdin)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("openssl %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	for i, c := range issued {
		kind, size, isNew := strings.Cut(c.key, ":")
		var err error
		switch {
		case !isNew:
			err = os.Link(filepath.Join(pki, kind+".key"), filepath.Join(pki, c.name+".key"))
		case kind == "rsa":
			err = run("", "genrsa", "-out", c.name+".key", size)
		default:
			err = run("", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+size, "-out", c.name+".key")
		}
		if err != nil {
			return err
		}
		subject := "/O=fleet/CN=" + c.name
		ext := c.ext + "\nsubjectKeyIdentifier=hash\n"
		if err := os.WriteFile(filepath.Join(pki, "ext"), []byte(ext), 0o644); err != nil {
			return err
		}
		if err := run("", "req", "-new", "-key", c.name+".key", "-subj", subject, "-out", "req"); err != nil {
			return err
		}
		serial := fmt.Sprint(i + 1)
		args := []string{"x509", "-req", "-in", "req", "-days", "30", "-out", c.name + ".pem", "-extfile", "ext", "-set_serial", serial}
		if c.by == "" {
			args = append(args, "-signkey", c.name+".key")
		} else {
			args = append(args, "-CA", c.by+".pem", "-CAkey", c.by+".key")
		}
		if err := run("", args...); err != nil {
			return err
		}
	}
	return nil
}

// file returns the path of a file of the PKI.
func file(name string) string { return filepath.Join(pki, name) }

// loadKey and certificates read what makePKI made.
func loadKey(t testing.TB, name string) sign.Signer {
	t.Helper()
	k, err := sign.LoadKey(file(name + ".key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func certificates(t testing.TB, names ...string) (list []*x509.Certificate) {
	t.Helper()
	for _, name := range names {
		c, err := sign.LoadCertificates(file(name + ".pem"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c...)
	}
	return list
}

func trust(t testing.TB, names ...string) *sign.Trust {
	return &sign.Trust{Certificates: certificates(t, names...)}
}

// signed has the package sign message with the named key, and include its certificate and others.
func signed(t testing.TB, f sign.Format, names ...string) []byte {
	t.Helper()
	return signedMessage(t, message, f, names...)
}

func signedMessage(t testing.TB, message []byte, f sign.Format, names ...string) []byte {
	t.Helper()
	o := sign.Options{Format: f, Signer: loadKey(t, names[0]), Certificates: certificates(t, names...)}
	sig, err := sign.Sign(context.Background(), message, o)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// openssl runs openssl in the folder of the PKI and returns its stdout.
func openssl(t testing.TB, args ...string) []byte {
	t.Helper()
	out, err := tryOpenssl(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func tryOpenssl(args ...string) ([]byte, error) {
	c := exec.Command("openssl", args...)
	var stdout, stderr bytes.Buffer
	c.Dir, c.Stdout, c.Stderr = pki, &stdout, &stderr
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("openssl %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// opensslVerify has openssl verify a CMS signature of message with the named certificate.
func opensslVerify(t testing.TB, sig []byte, trusted string) {
	t.Helper()
	if err := tryVerify(t, sig, file(trusted+".pem")); err != nil {
		t.Error(err)
	}
}

func tryVerify(t testing.TB, sig []byte, trusted string, options ...string) error {
	t.Helper()
	args := []string{"cms", "-verify", "-inform", "DER", "-binary", "-in", save(t, sig), "-content", save(t, message), "-CAfile", trusted}
	_, err := tryOpenssl(append(args, options...)...)
	return err
}

// save writes bytes to a file of the test.
func save(t testing.TB, b []byte) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// failsWith wants an error with a text and an exit code.
func failsWith(t testing.TB, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %q", text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	if got := fail.CodeOf(err); got != code {
		t.Errorf("exit code of %q is %s, want %s", err, got, code)
	}
}
