package pack_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/hex"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

var update = flag.Bool("update", false, "write the golden files")

func swuWriter(p *pack.Plan) func(io.Writer) error {
	return func(w io.Writer) error {
		return p.WriteSWU(context.Background(), w, pack.SWUOptions{Container: cpio.CRC})
	}
}

// member is what GNU cpio finds in an archive under a name.
func member(t *testing.T, swu, name string) []byte {
	t.Helper()
	c := exec.Command("cpio", "-i", "--quiet", "--to-stdout", name)
	c.Stdin = bytes.NewReader(read(t, swu))
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("cpio: %v %s", err, stderr.String())
	}
	return out
}

// plain undoes how a member is stored, with openssl and zstd.
func plain(t *testing.T, stored []byte, part pack.Part, key crypt.Key) []byte {
	t.Helper()
	b := stored
	if part.IV != nil {
		b = filter(t, b, "openssl", "enc", "-d", "-aes-256-cbc", "-K", hex.EncodeToString(key[:]), "-iv", hex.EncodeToString(part.IV[:]))
	}
	if part.Zstd {
		b = filter(t, b, "zstd", "-dc")
	}
	return b
}

func filter(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdin = bytes.NewReader(in)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

// signer makes a key and a certificate and returns what signs with them.
func signer(t *testing.T, kind ...string) (o *sign.Options, cert string) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key.pem")
	cert = filepath.Join(dir, "cert.pem")
	tool(t, "openssl", append([]string{"req", "-x509", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=fleet", "-newkey"}, kind...)...)
	k, err := sign.LoadKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := sign.LoadCertificates(cert)
	if err != nil {
		t.Fatal(err)
	}
	return &sign.Options{Format: sign.CMS, Signer: k, Certificates: certificates}, cert
}

// The same release packed twice is the same file, and another file where something in it is random.
func TestDeterministic(t *testing.T) {
	dir, text := standard(t)
	rsa, _ := signer(t, "rsa:2048")
	ec, _ := signer(t, "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
	if _, ok := ec.Signer.Public().(*ecdsa.PublicKey); !ok {
		t.Fatal("not an ECDSA key")
	}
	var key crypt.Key
	pss := *rsa
	pss.Format = sign.PSS
	pkcs1 := *rsa
	pkcs1.Format = sign.RSA
	encrypted := strings.Replace(text, `compression = "zstd"`, "compression = \"zstd\"\nencrypt = true", 1)
	for _, tt := range []struct {
		name, text string
		sign       *sign.Options
		same       bool
	}{
		{"unsigned", text, nil, true}, {"cms with RSA", text, rsa, true}, {"rsa", text, &pkcs1, true},
		{"pss", text, &pss, false}, {"cms with ECDSA", text, ec, false}, {"encrypted", encrypted, rsa, false},
	} {
		var made [2][]byte
		for i := range made {
			made[i] = writeSWU(t, prepare(t, dir, tt.text, pack.PrepareOptions{EncryptionKey: &key}), pack.SWUOptions{Container: cpio.CRC, Sign: tt.sign})
		}
		if same := bytes.Equal(made[0], made[1]); same != tt.same {
			t.Errorf("%s: the same bytes twice: %v, want %v", tt.name, same, tt.same)
		}
	}
}

// The ID of an update follows its content, and nothing else: two builds of one version must not mix on a device, and the same
// build, encrypted anew or compressed otherwise, is the same update.
func TestUpdateID(t *testing.T) {
	dir, text := standard(t)
	id := func(text string) string {
		return prepare(t, dir, text, pack.PrepareOptions{EncryptionKey: new(crypt.Key)}).Update
	}
	first := id(text)
	if !regexp.MustCompile(`^1\.5\.0-[0-9a-f]{8}$`).MatchString(first) {
		t.Errorf("ID %q", first)
	}
	if again := id(strings.Replace(text, `compression = "zstd"`, "name = \"rootfs.ext4.zst\"\ncompression = \"zstd\"\nencrypt = true", 1)); again != first {
		t.Errorf("stored otherwise: %s, before %s", again, first)
	}
	ext4(t, filepath.Join(dir, "rootfs.ext4"), content(t, nil))
	if other := id(text); other == first {
		t.Errorf("another root file system, and the same ID %s", other)
	}
}

func TestArchive(t *testing.T) {
	dir, text := standard(t)
	p := prepare(t, dir, text, pack.PrepareOptions{})
	o, cert := signer(t, "rsa:2048")
	for _, format := range []cpio.Format{cpio.CRC, cpio.NewC} {
		for _, s := range []syntax.Format{syntax.Libconfig, syntax.JSON} {
			out := filepath.Join(t.TempDir(), "update.swu")
			write(t, out, writeSWU(t, p, pack.SWUOptions{Container: format, Syntax: s, Sign: o}))
			list := strings.Fields(string(filter(t, read(t, out), "cpio", "-t", "--quiet")))
			want := []string{"sw-description", "sw-description.sig", "rootfs.ext4.zst", "TEGRA_BL.Cap", "activate"}
			if diff := cmp.Diff(want, list); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
			text := filepath.Join(t.TempDir(), "sw-description")
			write(t, text, member(t, out, "sw-description"))
			sig := text + ".sig"
			write(t, sig, member(t, out, "sw-description.sig"))
			tool(t, "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", sig, "-content", text, "-CAfile", cert, "-out", os.DevNull)
			d, got, problems, err := description.Parse(read(t, text))
			if err != nil || len(problems) > 0 || got != s {
				t.Errorf("%v %v: %v: %v", s, got, err, problems)
			}
			if diff := cmp.Diff(p.Description(), d, ignorePositions); diff != "" {
				t.Errorf("what was printed reads otherwise (-made +read):\n%s", diff)
			}
			// No filling to 512 bytes: SWUpdate 2022.12 may close before its client has sent it.
			if b := read(t, out); !bytes.HasSuffix(bytes.TrimRight(b, "\x00"), []byte("TRAILER!!!")) || bytes.HasSuffix(b, make([]byte, 8)) {
				t.Errorf("the archive does not end at its trailer: % x", b[len(b)-16:])
			}
		}
	}
}

var ignorePositions = cmp.FilterPath(func(p cmp.Path) bool { return strings.HasSuffix(p.String(), "Position") }, cmp.Ignore())

// What is described, in both syntaxes; digests are replaced by what they are of.
func TestDescription(t *testing.T) {
	dir, _ := standard(t)
	write(t, filepath.Join(dir, "model.bin"), []byte("model\n"))
	write(t, filepath.Join(dir, "post.sh"), []byte("#!/bin/sh\n"))
	write(t, filepath.Join(dir, "Image"), append(make([]byte, 64), "Linux version "+kernelRelease+" (x@y)\x00"...))
	write(t, filepath.Join(dir, "t234.dtb"), deviceTree())
	text := everyCondition + "description = \"All there is\"\n" + strings.Replace(head, "revisions", "swupdate_board = \"orin\"\nrevisions", 1) +
		component("rootfs", "rootfs.ext4", "encrypt = true") + component("firmware", "TEGRA_BL.Cap") + component("kernel", "Image") +
		component("kernel-dtb", "t234.dtb", "stream = true") + component("script", "post.sh", `script = "postinstall"`) +
		component("file", "model.bin", `path = "/data/model.bin"`, "install_if_different = true", `component_version = "7"`)
	p := prepare(t, dir, text, pack.PrepareOptions{EncryptionKey: new(crypt.Key)})
	for _, s := range []syntax.Format{syntax.Libconfig, syntax.JSON} {
		var b bytes.Buffer
		if err := p.WriteDescription(&b, s); err != nil {
			t.Fatal(err)
		}
		got := b.String()
		for _, part := range p.Parts {
			got = strings.ReplaceAll(got, part.Plain.Hex(), "(SHA-256 of "+part.Component.File+")")
			got = strings.ReplaceAll(got, part.Stored.Hex(), "(SHA-256 of "+part.Component.File+" as stored)")
			if part.IV != nil {
				got = strings.ReplaceAll(got, hex.EncodeToString(part.IV[:]), "(IV)")
			}
		}
		got = strings.ReplaceAll(got, p.Update, "(ID)")
		golden := filepath.Join("testdata", "sw-description."+string(s))
		if *update {
			write(t, golden, []byte(got))
		}
		if diff := cmp.Diff(string(read(t, golden)), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", golden, diff)
		}
	}
}
