package rauc_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makePKI lets bundle.sh make its demo CA before cases run side by side.
func makePKI() error {
	suite.pki = filepath.Join(suite.dir, "pki")
	blank := filepath.Join(suite.dir, "blank")
	if err := os.WriteFile(blank, make([]byte, 4096), 0o644); err != nil {
		return err
	}
	out, err := exec.Command(bundler(), "--format", "plain", "--demo-ca", suite.pki, "--version", "0", "--rootfs", blank,
		filepath.Join(suite.dir, "first.raucb")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("bundle.sh: %w\n%s", err, out)
	}
	return nil
}

func bundler() string { return filepath.Join(suite.layout, examples, "bundle.sh") }

// bundle makes what a release would be, in the example's words; plain, because not every kernel that runs tests has dm-verity
// (make test-vm installs a verity bundle). Both files are optional.
func (o *orin) bundle(t *testing.T, rootfs, firmware string) string {
	t.Helper()
	o.bundles++
	version := fmt.Sprintf("1.%d", o.bundles)
	out := filepath.Join(o.tmp, version+".raucb")
	args := []string{"--format", "plain", "--demo-ca", suite.pki, "--version", version}
	if rootfs != "" {
		args = append(args, "--rootfs", rootfs)
	}
	if firmware != "" {
		args = append(args, "--firmware", firmware)
	}
	tool(t, bundler(), append(args, out)...)
	return out
}

// image is a new root file system, smaller than the partition and different each time.
func (o *orin) image(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(o.tmp, "content")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "noise"), random(2<<20))
	file := filepath.Join(o.tmp, "rootfs.ext4")
	_ = os.Remove(file)
	tool(t, "mkfs.ext4", "-q", "-d", dir, file, "4096k")
	return file
}

// capsule builds firmware for this module, or another, at an L4T version.
func (o *orin) capsule(t *testing.T, l4t string, options ...string) string {
	t.Helper()
	file := filepath.Join(o.tmp, "TEGRA_BL.Cap")
	tool(t, suite.orin, append([]string{"capsule", "-o", file, "--l4t", l4t}, options...)...)
	return file
}

// versions rise: the firmware admits nothing below the last capsule.
var versions = []string{"36.4.3", "36.4.4", "36.4.7", "36.5.0", "36.5.1"}

func (o *orin) nextVersion(t *testing.T) string {
	t.Helper()
	s := o.status(t)
	running := s.Slots[s.Current].Firmware
	if running == nil {
		t.Fatal("the running firmware's version is not known")
	}
	for i, v := range versions[:len(versions)-1] {
		if v == *running {
			return versions[i+1]
		}
	}
	return versions[0]
}

// release is an update of root file system and newer firmware that must succeed, and what the slot then holds.
func (o *orin) release(t *testing.T) (bundle string, image []byte) {
	t.Helper()
	file := o.image(t)
	return o.bundle(t, file, o.capsule(t, o.nextVersion(t))), read(t, file)
}

// random returns n bytes that no compressor shortens.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}

// digest returns SHA-256 in hexadecimal.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// holds fails unless the slot's root file system is the image.
func (o *orin) holds(t *testing.T, slot string, image []byte) {
	t.Helper()
	if got := read(t, o.app(slot)); !bytes.Equal(got[:len(image)], image) {
		t.Errorf("slot %s does not hold the image", slot)
	}
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// program writes a shell script.
func program(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}
