// Package main_test runs swdesc as it is shipped, and gives what it makes to the programs it is made for: Debian's swupdate, with
// a virtual Orin to install on, openssl and cpio.
package main_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

var (
	update = flag.Bool("update", false, "write what the executables print into the scripts")
	size   = flag.Int("size", 256, "MiB of images that TestSpeed packs; the aim is for 2048")
)

// suite is what all cases share.
var suite struct {
	bin       string // swdesc, virtual-orin and tegra-ota under its names
	source    string // the repository
	key, cert string
}

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cmd/swdesc cannot be tested here:", err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(run func() int) (int, error) {
	missing := orintest.Missing("swupdate", "openssl", "cpio", "zstd", "mkfs.ext4", "debugfs", "sha256sum", "mender-artifact", "rauc")
	if err := orintest.Refuse(missing); err != nil {
		return 1, err
	}
	here, err := os.Getwd()
	if err != nil {
		return 1, err
	}
	suite.source = filepath.Join(here, "..", "..")
	if suite.bin, err = os.MkdirTemp("", "tegra-ota-swdesc"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(suite.bin)
	build := exec.Command("go", "build", "-trimpath", "-o", suite.bin+"/", ".", "../virtual-orin", "../tegra-ota")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("cannot build the executables: %w\n%s", err, out)
	}
	for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify"} {
		if err := os.Symlink("tegra-ota", filepath.Join(suite.bin, name)); err != nil {
			return 1, err
		}
	}
	suite.key, suite.cert = filepath.Join(suite.bin, "key.pem"), filepath.Join(suite.bin, "cert.pem")
	if err := makeKey(suite.key, suite.cert, "rsa:3072"); err != nil {
		return 1, err
	}
	return run(), nil
}

func makeKey(key, cert string, kind ...string) error {
	args := []string{"req", "-x509", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=fleet", "-newkey"}
	if out, err := exec.Command("openssl", append(args, kind...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot make a signing key: %w: %s", err, out)
	}
	return nil
}
