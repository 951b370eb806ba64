package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstalls: every kind of .swu that Debian's swupdate can take passes its check and installs; the device boots it, and goes on
// to the next release. Raw RSA and PSS signatures are for other builds; openssl judges those.
func TestInstalls(t *testing.T) {
	ecKey, ecCert := filepath.Join(t.TempDir(), "key.pem"), filepath.Join(t.TempDir(), "cert.pem")
	if err := makeKey(ecKey, ecCert, "ec", "-pkeyopt", "ec_paramgen_curve:P-256"); err != nil {
		t.Fatal(err)
	}
	aes := filepath.Join(t.TempDir(), "aes.key")
	write(t, aes, []byte(strings.Repeat("0123456789abcdef", 4)+" "+strings.Repeat("00", 16)+"\n"))
	rsa := []string{"--key", suite.key, "--cert", suite.cert}
	for _, tt := range []struct {
		name, options string
		change        func(release string) string
		pack          []string
		swupdate      []string
	}{
		{name: "by default", pack: rsa},
		{name: "newc, JSON, not compressed", pack: append([]string{"--container", "newc", "--syntax", "json"}, rsa...),
			change: func(r string) string { return strings.Replace(r, `compression = "zstd"`, "", 1) }},
		{name: "ECDSA with the signing time", pack: []string{"--key", ecKey, "--cert", ecCert, "--signing-time"}, swupdate: []string{"-k", ecCert}},
		{name: "by a command, below a board",
			pack: []string{"--sign-command", "openssl dgst -sha256 -sign " + suite.key, "--cert", suite.cert},
			change: func(r string) string {
				return strings.Replace(r, "revisions", "swupdate_board = \"orin\"\nrevisions", 1)
			}},
		{name: "encrypted", pack: append([]string{"--encryption-key", aes}, rsa...), swupdate: []string{"-K", aes},
			change: func(r string) string { return strings.ReplaceAll(r, "file =", "encrypt = true\nfile =") }},
		{name: "with conditions that are met, a script and a file", pack: rsa, options: "minimum_version = \"1.2.0\"\n" +
			"preconditions.free_space = [{ path = \"/data\", bytes = \"4K\" }]\npreconditions.battery_percent = 20", change: func(r string) string {
			return r + "[[component]]\ntype = \"script\"\nfile = \"post.sh\"\nscript = \"postinstall\"\n" +
				"[[component]]\ntype = \"file\"\nfile = \"model.bin\"\npath = \"@ROOT@/data/model.bin\"\n"
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := newOrin(t)
			write(t, filepath.Join(o.dir, "etc/os-release"), []byte("VERSION_ID=1.4.0\n"))
			dir := releaseFolder(t, "36.4.3", tt.options)
			write(t, filepath.Join(dir, "post.sh"), []byte("#!/bin/sh\ntouch "+o.dir+"/data/script-ran\n"))
			write(t, filepath.Join(dir, "model.bin"), []byte("model\n"))
			toml := filepath.Join(dir, "release.toml")
			if tt.change != nil {
				write(t, toml, []byte(strings.ReplaceAll(tt.change(string(read(t, toml))), "@ROOT@", o.dir)))
			}
			swu := filepath.Join(dir, "update.swu")
			swdesc(t, 0, append([]string{"pack", toml, "-o", swu}, tt.pack...)...)
			swdesc(t, 0, "check", swu)
			o.installs(t, swu, "B", tt.swupdate...)
			if image := read(t, filepath.Join(dir, "rootfs.ext4")); !bytes.HasPrefix(o.app(t, "B"), image) {
				t.Error("slot B does not hold the image")
			}
			if v := o.status(t).Slots["B"].Firmware; v == nil || *v != "36.4.3" {
				t.Errorf("firmware %v, want 36.4.3", v)
			}
			if strings.Contains(tt.name, "a script and a file") {
				_, err := os.Stat(filepath.Join(o.dir, "data/script-ran"))
				if string(read(t, filepath.Join(o.dir, "data/model.bin"))) != "model\n" || err != nil {
					t.Errorf("file or script did not arrive: %v", err)
				}
			}
		})
	}
}

// Two releases one after the other, A to B to A.
func TestNextRelease(t *testing.T) {
	o := newOrin(t)
	for i, slot := range []string{"B", "A"} {
		dir := releaseFolder(t, []string{"36.4.3", "36.4.4"}[i], "")
		swu := filepath.Join(dir, "update.swu")
		swdesc(t, 0, "pack", filepath.Join(dir, "release.toml"), "-o", swu, "--key", suite.key, "--cert", suite.cert)
		o.installs(t, swu, slot)
	}
}

// A condition that is not met stops the real swupdate before the first byte is written, with the reason in its log; the images are
// written while they arrive, so a script would come too late.
func TestConditionStops(t *testing.T) {
	for name, tt := range map[string]struct{ options, want string }{
		"a percent sign": {`preconditions.free_space = [{ path = "/data/50%s%n", bytes = "1000000G" }]`, "/data/50%s%n has "},
		"version":        {`minimum_version = "2.0.0"`, "cannot install release 1.5.0: release 1.4.0 runs, and it needs 2.0.0 or newer"},
		"room":           {`preconditions.free_space = [{ path = "/data", bytes = "1000000G" }]`, "/data has "},
		"service":        {`preconditions.services = ["no-such.service"]`, "service no-such.service is not running"},
	} {
		o := newOrin(t)
		write(t, filepath.Join(o.dir, "etc/os-release"), []byte("VERSION_ID=1.4.0\n"))
		was, before := o.app(t, "B"), o.status(t)
		dir := releaseFolder(t, "36.4.3", tt.options)
		swu := filepath.Join(dir, "update.swu")
		swdesc(t, 0, "pack", filepath.Join(dir, "release.toml"), "-o", swu, "--key", suite.key, "--cert", suite.cert)
		code, log := o.swupdate(t, "-i", swu)
		if code != 1 || !strings.Contains(log, tt.want) {
			t.Errorf("%s: swupdate exits %d, and its log lacks %q:\n%s", name, code, tt.want, errorsOf(log))
		}
		if !bytes.Equal(o.app(t, "B"), was) {
			t.Errorf("%s: slot B was written", name)
		}
		if s := o.status(t); s.Update != before.Update || *s.Slots["B"].Retries != *before.Slots["B"].Retries {
			t.Errorf("%s: the device changed: %+v", name, s)
		}
	}
}
