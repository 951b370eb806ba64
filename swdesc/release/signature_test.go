package release_test

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func openssl(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// signer is a folder with a manifest, its component, and a key pair of each kind that openssl made: KIND.key, KIND.pub.
func signer(t *testing.T) (dir string, path func(string) string) {
	t.Helper()
	dir = t.TempDir()
	path = func(name string) string { return filepath.Join(dir, name) }
	c := entry(t, dir, "r.ext4", "root", "raw-image", `, "target_partition": "APP"`)
	write(t, path("m.json"), `{"version": "1", "components": [`+c+`]}`)
	for kind, args := range map[string][]string{
		"rsa":   {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
		"short": {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"},
		"ec":    {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"other": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"p384":  {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"ed":    {"-algorithm", "ED25519"},
	} {
		openssl(t, append([]string{"genpkey", "-out", path(kind + ".key")}, args...)...)
		openssl(t, "pkey", "-in", path(kind+".key"), "-pubout", "-out", path(kind+".pub"))
	}
	openssl(t, "req", "-x509", "-key", path("ec.key"), "-subj", "/CN=fleet", "-days", "1", "-out", path("ec.crt"))
	return dir, path
}

// sign returns the signature that openssl makes.
func sign(t *testing.T, path func(string) string, kind string, more ...string) string {
	t.Helper()
	out := path(kind + strings.ReplaceAll(strings.Join(more, ""), ":", "") + ".sig")
	openssl(t, append(append([]string{"dgst", "-sha256", "-sign", path(kind + ".key"), "-out", out}, more...), path("m.json"))...)
	return out
}

func TestImportSigned(t *testing.T) {
	dir, path := signer(t)
	manifest, err := os.ReadFile(path("m.json"))
	if err != nil {
		t.Fatal(err)
	}
	lines := func(file string, wrap bool) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := base64.StdEncoding.EncodeToString(b)
		if wrap {
			text = text[:64] + "\r\n" + text[64:] + "\n"
		}
		return write(t, file+".b64", text)
	}
	const no = "cannot verify manifest "
	for _, tt := range []struct {
		name, signature string
		keys            []string
		want            string // start of the error; "" for none
	}{
		{"RSA", sign(t, path, "rsa"), []string{"rsa.pub"}, ""},
		{"ECDSA", sign(t, path, "ec"), []string{"ec.pub"}, ""},
		{"a certificate", sign(t, path, "ec"), []string{"ec.crt"}, ""},
		{"the first of two keys", sign(t, path, "rsa"), []string{"rsa.pub", "ec.pub"}, ""},
		{"the second of two keys", sign(t, path, "ec"), []string{"rsa.pub", "ec.pub"}, ""},
		{"the second of a kind", sign(t, path, "ec"), []string{"other.pub", "ec.pub"}, ""},
		{"RSA as base64", lines(sign(t, path, "rsa"), true), []string{"rsa.pub"}, ""},
		{"ECDSA as base64 on one line", lines(sign(t, path, "ec"), false), []string{"ec.pub"}, ""},
		{"a third key", sign(t, path, "other"), []string{"rsa.pub", "ec.pub"}, no},
		{"the wrong key", sign(t, path, "rsa"), []string{"ec.pub"}, no},
		{"PSS", sign(t, path, "rsa", "-sigopt", "rsa_padding_mode:pss"), []string{"rsa.pub"}, no},
		{"another digest", sign(t, path, "ec", "-sha512"), []string{"ec.pub"}, no},
		{"an empty signature", write(t, path("empty"), ""), []string{"rsa.pub", "ec.pub"}, no},
		{"a text", write(t, path("text"), "signed, the boss\n"), []string{"rsa.pub", "ec.pub"}, no},
	} {
		var keys []string
		for _, k := range tt.keys {
			keys = append(keys, path(k))
		}
		o := release.ImportOptions{Manifest: path("m.json"), Signature: tt.signature, Keys: keys, Dir: dir}
		r, _, err := release.Import(o)
		if tt.want != "" {
			if r != nil || fail.CodeOf(err) != fail.Data || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%s: %+v, %v", tt.name, r, err)
			}
			continue
		}
		if err != nil || r.Version != "1" {
			t.Errorf("%s: %+v, %v", tt.name, r, err)
		}
		// One bit elsewhere, and one byte more.
		for _, changed := range []string{strings.Replace(string(manifest), `"1"`, `"0"`, 1), string(manifest) + "\n"} {
			o.Manifest = write(t, path("changed.json"), changed)
			if r, _, err := release.Import(o); r != nil || fail.CodeOf(err) != fail.Data || !strings.HasPrefix(err.Error(), no) {
				t.Errorf("%s, changed: %+v, %v", tt.name, r, err)
			}
		}
	}
}

// Nothing of the JSON, nor of the files, is looked at before the signature is good.
func TestImportVerifiesFirst(t *testing.T) {
	dir, path := signer(t)
	signature := sign(t, path, "ec")
	for _, text := range []string{"no JSON", `{"unknown": 1}`, "", `{"version": "1", "components": [{"filename": "/etc/passwd"}]}`} {
		_, _, err := release.Import(release.ImportOptions{
			Manifest: write(t, path("bad.json"), text), Signature: signature, Keys: []string{path("ec.pub")}, Dir: dir,
		})
		want := "cannot verify manifest " + path("bad.json") + ": signature " + signature + " is not one of " + path("ec.pub") +
			" over this file; ask who made the manifest which key signed it; use nothing of it until then"
		if err == nil || err.Error() != want || fail.CodeOf(err) != fail.Data {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
	// A good signature does not make bad JSON good.
	write(t, path("m.json"), `{"unknown": 1}`)
	_, _, err := release.Import(release.ImportOptions{
		Manifest: path("m.json"), Signature: sign(t, path, "ec"), Keys: []string{path("ec.pub")}, Dir: dir,
	})
	if err == nil || !strings.Contains(err.Error(), `m.json:1:2: unknown key "unknown"`) {
		t.Error(err)
	}
}

type options = release.ImportOptions

func TestImportUsage(t *testing.T) {
	dir, path := signer(t)
	signature, key := sign(t, path, "rsa"), path("rsa.pub")
	good := options{Manifest: path("m.json"), Signature: signature, Keys: []string{key}, Dir: dir}
	for _, tt := range []struct {
		name   string
		change func(*options)
		want   string
		code   fail.Code
	}{
		{"no signature", func(o *options) { o.Signature = "" }, "without a signature; name its signature", fail.Usage},
		{"no signature, and no key", func(o *options) { o.Signature, o.Keys = "", nil }, "without a signature", fail.Usage},
		{"unsigned with a signature", func(o *options) { o.Unsigned = true }, "as unsigned and with a signature or keys", fail.Usage},
		{"unsigned with keys", func(o *options) { o.Unsigned, o.Signature = true, "" }, "as unsigned and", fail.Usage},
		{"no keys", func(o *options) { o.Keys = nil }, "with 0 public keys, only with one or two", fail.Usage},
		{"three keys", func(o *options) { o.Keys = []string{key, key, key} }, "with 3 public keys", fail.Usage},
		{"a short key", func(o *options) { o.Keys = []string{path("short.pub")} }, "RSA with 1024 bits is too short, the least is 2048",
			fail.Usage},
		{"a bad key beside a good one", func(o *options) { o.Keys = []string{key, path("p384.pub")} },
			"its curve is P-384, not P-256", fail.Usage},
		{"another kind of key", func(o *options) { o.Keys = []string{path("ed.pub")} }, "it is neither RSA nor ECDSA", fail.Usage},
		{"a private key", func(o *options) { o.Keys = []string{path("rsa.key")} }, "rsa.key", fail.Usage},
		{"a missing key", func(o *options) { o.Keys = []string{path("none.pub")} }, "none.pub", fail.Usage},
		{"a missing signature", func(o *options) { o.Signature = path("none.sig") }, "cannot read signature ", fail.IO},
		{"a missing manifest", func(o *options) { o.Manifest = path("none.json") }, "cannot read manifest ", fail.IO},
		{"a long signature", func(o *options) { o.Signature = write(t, path("long"), strings.Repeat("A", 8193)) },
			"it has more than 8192 bytes", fail.Data},
		{"a folder for a manifest", func(o *options) { o.Manifest = dir }, "it is no regular file", fail.IO},
	} {
		o := good
		tt.change(&o)
		r, _, err := release.Import(o)
		if r != nil || err == nil || fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, code %v; want %v: ...%s...", tt.name, err, fail.CodeOf(err), tt.code, tt.want)
		}
	}
}
