package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// block returns the README's block of code that holds words.
func block(t *testing.T, words string) string {
	t.Helper()
	for i, part := range strings.Split(string(read(t, filepath.Join(suite.source, "README.md"))), "```") {
		if _, code, ok := strings.Cut(part, "\n"); i%2 == 1 && ok && strings.Contains(code, words) {
			return code
		}
	}
	t.Fatalf("the README has no block with %q", words)
	return ""
}

// What the README tells an integrator to write and to type works as it stands there.
func TestREADME(t *testing.T) {
	dir := releaseFolder(t, "36.4.3", "")
	write(t, filepath.Join(dir, "release.toml"), []byte(block(t, `minimum_version = "1.2.0"`)))
	hsm := filepath.Join(t.TempDir(), "hsm-sign")
	write(t, hsm, []byte("#!/bin/sh\nexec openssl dgst -sha256 -sign "+suite.key+"\n"))
	if err := os.Chmod(hsm, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), read(t, suite.key))
	write(t, filepath.Join(dir, "cert.pem"), read(t, suite.cert))
	for _, line := range strings.Split(strings.TrimSpace(block(t, "swdesc pack release.toml -o update.swu --sign-command")), "\n") {
		c := exec.Command("sh", "-eu")
		c.Dir, c.Stdin = dir, strings.NewReader(line+"\n")
		c.Env = append(os.Environ(), "PATH="+suite.bin+":"+filepath.Dir(hsm)+":"+os.Getenv("PATH"))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		if want := "after this update no firmware older than 36.4.3 installs"; !strings.Contains(string(out), want) {
			t.Errorf("%s does not say %q:\n%s", line, want, out)
		}
	}
	for _, made := range []string{"update.swu", "update.raucb", "update.mender"} {
		if _, err := os.Stat(filepath.Join(dir, made)); err != nil {
			t.Error(err)
		}
	}
	swdesc(t, 0, "check", filepath.Join(dir, "update.swu"))
	swdesc(t, 0, "verify", filepath.Join(dir, "update.swu"), "--cert", suite.cert)
}

// The commented example is a release that packs, once its files are there.
func TestExample(t *testing.T) {
	dir := releaseFolder(t, "36.4.3", "")
	example := read(t, filepath.Join(suite.source, "examples/release/release.toml"))
	write(t, filepath.Join(dir, "release.toml"), example)
	for _, name := range []string{"boot.img", "detector.engine", "settings.sh"} {
		write(t, filepath.Join(dir, name), []byte("Linux version "+kernelRelease+" (x@y)\x00"))
	}
	write(t, filepath.Join(dir, "tegra234-p3767.dtb"), deviceTree())
	swu := filepath.Join(dir, "update.swu")
	swdesc(t, 0, "pack", filepath.Join(dir, "release.toml"), "-o", swu, "--key", suite.key, "--cert", suite.cert)
	swdesc(t, 0, "check", swu)
}
