package capsule_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// openssl is the judge here: GenerateCapsule signs with it, and firmware verifies with its library. Without the program
// these tests fail; they are never skipped.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("this test needs the program openssl: %v", err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func writePEM(t *testing.T, dir, name string, id *identity) {
	t.Helper()
	write(t, dir, name+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw}))
	key, err := x509.MarshalPKCS8PrivateKey(id.key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, name+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}

// What Build signs, openssl verifies, over exactly the bytes that firmware signs over and no others.
func TestOpenSSLVerifies(t *testing.T) {
	for name, id := range map[string]*identity{
		"ECDSA": issue(t, "signer", nil, false, 0), "RSA": issueFor(t, rsaKey(t), "signer", nil, false, 0),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			raw := build(t, capsule.BuildOptions{Certificate: id.cert, Key: id.key, MonotonicCount: 0x0102030405060708})
			c := parse(t, raw)
			writePEM(t, dir, "signer", id)
			write(t, dir, "signature", raw[c.SignatureOffset:][:c.SignatureLength])
			write(t, dir, "content", content(raw[c.PayloadOffset:], 0x0102030405060708))
			write(t, dir, "wrong", content(raw[c.PayloadOffset:], 0x0102030405060709))
			for _, command := range []string{"cms", "smime"} {
				args := []string{command, "-verify", "-binary", "-inform", "DER", "-in", "signature", "-CAfile", "signer.pem",
					"-purpose", "any", "-no_check_time", "-partial_chain", "-out", "out", "-content"}
				if out, err := openssl(t, dir, append(args, "content")...); err != nil {
					t.Errorf("openssl %s: %v\n%s", command, err, out)
				}
				if out, err := openssl(t, dir, append(args, "wrong")...); err == nil {
					t.Errorf("openssl %s verified another monotonic count: %s", command, out)
				}
			}
		})
	}
}

// What openssl signs is read, compared and judged here.
func TestOpenSSLSigns(t *testing.T) {
	root := issueFor(t, rsaKey(t), "root", nil, true, 1)
	sub := issue(t, "sub", root, true, 0)
	leaf := issueFor(t, rsaKey(t), "leaf", sub, false, 0)
	ecLeaf := issue(t, "EC leaf", sub, false, 0)
	stranger := issue(t, "stranger", nil, true, 1)
	const count = 7
	signed := append(payloadHeader(), payload(t)...)

	for _, tt := range []struct {
		name, args string
		signer     *identity
		parse      string // part of the error of Parse, empty for none
		rootTrusts bool
		noDigest   bool
	}{
		{name: "as GenerateCapsule does", args: "smime -sign -md sha256 -certfile sub.pem", signer: leaf, rootTrusts: true},
		{name: "ECDSA", args: "smime -sign -md sha256 -certfile sub.pem", signer: ecLeaf, rootTrusts: true},
		{name: "CMS", args: "cms -sign -md sha256 -certfile sub.pem", signer: leaf, rootTrusts: true},
		{name: "without attributes", args: "smime -sign -noattr -md sha256 -certfile sub.pem", signer: leaf, rootTrusts: true, noDigest: true},
		{name: "ECDSA without attributes", args: "smime -sign -noattr -md sha256 -certfile sub.pem", signer: ecLeaf, rootTrusts: true, noDigest: true},
		{name: "without the issuer", args: "smime -sign -md sha256", signer: leaf},
		{name: "without certificates", args: "smime -sign -nocerts -md sha256", signer: leaf},
		{name: "without certificates and attributes", args: "smime -sign -nocerts -noattr -md sha256", signer: leaf, noDigest: true},
		{name: "SHA-512", args: "smime -sign -md sha512", signer: leaf, parse: "digest algorithm"},
		{name: "not detached", args: "smime -sign -nodetach -md sha256", signer: leaf, parse: "content of its own"},
		{name: "two signers", args: "smime -sign -md sha256 -signer sub.pem -inkey sub.key", signer: leaf, parse: "2 signers"},
		{name: "by key identifier", args: "cms -sign -keyid -md sha256", signer: sub, parse: "SignedData"},
		{name: "encrypted", args: "smime -encrypt -aes128 leaf.pem", signer: nil, parse: "content type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writePEM(t, dir, "sub", sub)
			writePEM(t, dir, "leaf", leaf)
			write(t, dir, "content", content(signed, count))
			args := strings.Fields(tt.args)
			if tt.signer != nil {
				writePEM(t, dir, "signer", tt.signer)
				args = append(args, "-signer", "signer.pem", "-inkey", "signer.key")
			}
			options := []string{args[0], args[1], "-binary", "-outform", "DER", "-in", "content", "-out", "signature"}
			if out, err := openssl(t, dir, append(options, args[2:]...)...); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
			der, err := os.ReadFile(filepath.Join(dir, "signature"))
			if err != nil {
				t.Fatal(err)
			}
			raw := assemble(t, der, count, signed)
			c, err := capsule.Parse(bytes.NewReader(raw))
			if tt.parse != "" {
				if !errors.As(err, new(*capsule.FormatError)) || !strings.Contains(err.Error(), tt.parse) {
					t.Errorf("Parse: %v, want %q", err, tt.parse)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (c.MessageDigest == nil) != tt.noDigest || !tt.noDigest && !bytes.Equal(c.MessageDigest, c.ContentDigest[:]) {
				t.Errorf("messageDigest %x, content %x", c.MessageDigest, c.ContentDigest)
			}
			if err := c.VerifySigner(tt.signer.cert); err != nil {
				t.Errorf("VerifySigner(signer): %v", err)
			}
			if err := c.VerifySigner(root.cert); (err == nil) != tt.rootTrusts {
				t.Errorf("VerifySigner(root): %v", err)
			}
			if err := c.VerifySigner(stranger.cert); !errors.As(err, new(*capsule.SignerError)) {
				t.Errorf("VerifySigner(stranger): %v", err)
			}
			// A changed payload is found: by its digest while reading, or where there is neither digest nor certificate in
			// the capsule, by the signature.
			tampered := patched(raw, len(raw)-1, 'X')
			if c, err = capsule.Parse(bytes.NewReader(tampered)); err == nil {
				err = c.VerifySigner(tt.signer.cert)
			}
			if err == nil {
				t.Error("a changed payload is trusted")
			}
		})
	}
}

// Firmware takes a SignedData without the ContentInfo around it too.
func TestBareSignedData(t *testing.T) {
	id := issue(t, "signer", nil, false, 0)
	raw := build(t, capsule.BuildOptions{Certificate: id.cert, Key: id.key})
	c := parse(t, raw)
	der := raw[c.SignatureOffset:][:c.SignatureLength]
	// SEQUENCE, OBJECT IDENTIFIER of 11 bytes, [0]; both with lengths of two bytes.
	bare := der[4+11+4:]
	c = parse(t, assemble(t, bare, 0, raw[c.PayloadOffset:]))
	if err := c.VerifySigner(id.cert); err != nil {
		t.Error(err)
	}
	for name, blob := range map[string][]byte{
		"bytes behind it": append(bytes.Clone(der), 0), "bytes behind the bare one": append(bytes.Clone(bare), 0),
		"nothing in it": {0x30, 0x80}, "no ASN.1": []byte("signature"),
	} {
		if _, err := capsule.Parse(bytes.NewReader(assemble(t, blob, 0, raw[c.PayloadOffset:]))); !errors.As(err, new(*capsule.FormatError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
