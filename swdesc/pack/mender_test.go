package pack_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
)

// Debian's mender-artifact reads, validates and unpacks what was made.
func TestMenderArtifact(t *testing.T) {
	dir, text := standard(t)
	pki := t.TempDir()
	key, public := filepath.Join(pki, "key.pem"), filepath.Join(pki, "public.pem")
	tool(t, "openssl", "genrsa", "-traditional", "-out", key, "2048")
	tool(t, "openssl", "pkey", "-in", key, "-pubout", "-out", public)
	for _, signed := range []bool{false, true} {
		p := prepare(t, dir, everyCondition+"name = \"orin\"\n"+text, pack.PrepareOptions{Format: pack.Mender})
		out := filepath.Join(t.TempDir(), "update.mender")
		o, verify := pack.MenderOptions{}, []string{"validate", out}
		if signed {
			o.Key, verify = key, []string{"validate", "-k", public, out}
		}
		if err := p.WriteMender(context.Background(), out, o); err != nil {
			t.Fatal(err)
		}
		tool(t, "mender-artifact", verify...)
		said := tool(t, "mender-artifact", "read", out)
		for _, want := range []string{
			"Name: orin-1.5.0", "jetson-orin-nano-devkit", "tegra-bup", "rootfs.ext4.zst", "TEGRA_BL.Cap",
			p.Parts[0].Stored.Hex(), p.Parts[1].Stored.Hex(), p.Parts[0].Plain.Hex(), p.Update, "ArtifactInstall_Enter_00_tegra-preconditions",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("mender-artifact read lacks %q:\n%s", want, said)
			}
		}
		if strings.Contains(said, "no signature") == signed {
			t.Errorf("signed: %v:\n%s", signed, said)
		}
		if left, _ := os.ReadDir(filepath.Dir(out)); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// What the update module on the device reads: how each file becomes what it is to be, in the order of installation.
func TestMenderMetaData(t *testing.T) {
	dir, text := standard(t)
	p := prepare(t, dir, text, pack.PrepareOptions{Format: pack.Mender})
	out := filepath.Join(t.TempDir(), "update.mender")
	if err := p.WriteMender(context.Background(), out, pack.MenderOptions{}); err != nil {
		t.Fatal(err)
	}
	unpacked := t.TempDir()
	tool(t, "tar", "-C", unpacked, "-xf", out)
	tool(t, "tar", "-C", unpacked, "-xf", filepath.Join(unpacked, "header.tar"))
	var meta map[string]any
	if err := json.Unmarshal(read(t, filepath.Join(unpacked, "headers/0000/meta-data")), &meta); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"update": p.Update, "files": []any{"rootfs.ext4.zst", "TEGRA_BL.Cap"}, "types": []any{"rootfs", "firmware"}, "partitions": []any{"APP", ""},
		"sizes":  []any{float64(p.Parts[0].Plain.Size), float64(p.Parts[1].Plain.Size)},
		"sha256": []any{p.Parts[0].Plain.Hex(), p.Parts[1].Plain.Hex()}, "compressions": []any{"zstd", "none"},
	}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Errorf("meta-data (-want +got):\n%s", diff)
	}
}

// Keys that mender-artifact cannot read are refused before the files are, and those that it can are not.
func TestMenderKey(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	tool(t, "openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path("pkcs8"))
	tool(t, "openssl", "rsa", "-traditional", "-in", path("pkcs8"), "-out", path("pkcs1"))
	tool(t, "openssl", "rsa", "-traditional", "-aes128", "-passout", "pass:x", "-in", path("pkcs8"), "-out", path("encrypted"))
	tool(t, "openssl", "pkey", "-in", path("pkcs8"), "-pubout", "-out", path("public"))
	tool(t, "openssl", "ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", path("ec"))
	write(t, path("text"), []byte("no key\n"))
	for name, want := range map[string]string{"pkcs8": "does not read PKCS#8; convert it: openssl rsa -traditional", "pkcs1": "", "ec": "",
		"encrypted": "it is encrypted", "public": "it is a public key", "text": "it is no PEM file", "nowhere": "cannot read key"} {
		err := pack.CheckMenderKey(path(name))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
		if want == "" {
			tool(t, "mender-artifact", "write", "module-image", "-T", "x", "-n", "x", "-t", "x", "-f", path("text"), "-k", path(name), "-o", path("a"))
		}
	}
}

func TestMenderIsMissing(t *testing.T) {
	dir, text := standard(t)
	p := prepare(t, dir, text, pack.PrepareOptions{Format: pack.Mender})
	t.Setenv("PATH", t.TempDir())
	err := p.WriteMender(context.Background(), filepath.Join(t.TempDir(), "x"), pack.MenderOptions{})
	if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "install mender-artifact") {
		t.Errorf("%v", err)
	}
}
