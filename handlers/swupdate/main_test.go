// Package swupdate_test runs whole updates through Debian's real swupdate, with the Lua glue of this folder, on virtual
// Orins. Nothing here is skipped: a machine that lacks something fails in the first line.
package swupdate_test

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// suite is what all cases share: the programs under test and two signing keys, of which the device trusts the first.
var suite struct {
	dir     string
	libexec string // tegra-ota under all its names
	orin    string // virtual-orin
	glue    string // the folder of swupdate_handlers.lua
	keys    [2]key

	build    sync.Once
	buildErr error
}

type key struct{ cert, key string }

func TestMain(m *testing.M) {
	if err := prerequisites(); err != nil {
		fmt.Fprintln(os.Stderr, "handlers/swupdate cannot be tested here:", err)
		os.Exit(1)
	}
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "handlers/swupdate cannot be tested here:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	if suite.dir, err = os.MkdirTemp("", "tegra-ota-swupdate"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(suite.dir)
	if suite.glue, err = os.Getwd(); err != nil {
		return 1, err
	}
	for i := range suite.keys {
		k := key{cert: filepath.Join(suite.dir, fmt.Sprintf("cert%d.pem", i)), key: filepath.Join(suite.dir, fmt.Sprintf("key%d.pem", i))}
		out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", k.key, "-out", k.cert,
			"-days", "3650", "-subj", fmt.Sprintf("/CN=fleet %d", i)).CombinedOutput()
		if err != nil {
			return 1, fmt.Errorf("cannot make a signing key: %w: %s", err, out)
		}
		suite.keys[i] = k
	}
	return m.Run(), nil
}

// prerequisites names everything that is missing at once.
func prerequisites() error {
	return orintest.Refuse(orintest.Missing("swupdate", "swupdate-client", "openssl", "zstd", "cpio", "lua5.3", "lua5.4", "losetup", "mount",
		"umount", "unshare", "mkfs.ext4", "bash", "make", "systemd-analyze"))
}

// programs builds tegra-ota and virtual-orin once, as they are shipped.
func programs(t *testing.T) {
	t.Helper()
	suite.build.Do(func() {
		if suite.buildErr = sources(); suite.buildErr != nil {
			return
		}
		bin := filepath.Join(suite.dir, "bin")
		suite.libexec = filepath.Join(suite.dir, "libexec")
		for _, dir := range []string{bin, suite.libexec} {
			if suite.buildErr = os.Mkdir(dir, 0o755); suite.buildErr != nil {
				return
			}
		}
		build := exec.Command("go", "build", "-trimpath", "-o", bin+"/", "./cmd/tegra-ota", "./cmd/virtual-orin")
		build.Dir = filepath.Join(suite.glue, "..", "..")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			suite.buildErr = fmt.Errorf("%w\n%s", err, out)
			return
		}
		suite.orin = filepath.Join(bin, "virtual-orin")
		for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify", "tegra-slotd"} {
			if suite.buildErr = os.Symlink(filepath.Join(bin, "tegra-ota"), filepath.Join(suite.libexec, name)); suite.buildErr != nil {
				return
			}
		}
	})
	if suite.buildErr != nil {
		t.Fatalf("cannot build the executables: %v", suite.buildErr)
	}
}

// sources looks at every file the executables are built from: go test then knows that a cached result is stale when one
// changes, although they are built by another process.
func sources() error {
	for _, folder := range []string{"backends", "cmd", "dbusapi", "formats", "handlers", "internal", "examples", "init", "swdesc"} {
		err := filepath.WalkDir(filepath.Join(suite.glue, "..", "..", folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lanes keeps the load bearable: every case runs an installer, a decompressor and a writer.
var lanes = make(chan struct{}, 3)

func parallel(t *testing.T) {
	t.Helper()
	t.Parallel()
	lanes <- struct{}{}
	t.Cleanup(func() { <-lanes })
}

// random returns n bytes that no compressor shortens.
func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return b
}
