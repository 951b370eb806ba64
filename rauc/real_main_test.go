// Package rauc_test runs whole updates through Debian's real rauc, its service on a bus of its own, with the files of
// examples/rauc, on virtual Orins as make install lays them out. Nothing here is skipped: a machine that lacks something
// fails in the first line.
package rauc_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// suite is what all cases share.
var suite struct {
	source string // the repository
	dir    string
	orin   string // virtual-orin
	layout string // what make install lays out
	pki    string // the demo CA of bundle.sh

	build    sync.Once
	buildErr error
}

func TestMain(m *testing.M) {
	if err := prerequisites(); err != nil {
		fmt.Fprintln(os.Stderr, "rauc cannot be tested here:", err)
		os.Exit(1)
	}
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "rauc cannot be tested here:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (code int, err error) {
	if suite.dir, err = os.MkdirTemp("", "tegra-ota-rauc"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(suite.dir)
	// A case asks as a user without privilege, too.
	if err := os.Chmod(suite.dir, 0o755); err != nil {
		return 1, err
	}
	here, err := os.Getwd()
	if err != nil {
		return 1, err
	}
	suite.source = filepath.Dir(here)
	return m.Run(), nil
}

// prerequisites names everything that is missing at once.
func prerequisites() error {
	missing := orintest.Missing("rauc", "dbus-daemon", "busctl", "systemd-tmpfiles", "mksquashfs", "openssl", "losetup", "mount",
		"unshare", "mkfs.ext4", "make", "sh")
	if _, err := os.Stat(debianUnit); err != nil {
		missing = append(missing, debianUnit+" (package rauc-service)")
	}
	return orintest.Refuse(missing)
}

// installed runs make install once, in a copy of the sources: other packages' tests build in the original's build folder.
func installed(t *testing.T) {
	t.Helper()
	suite.build.Do(func() { suite.buildErr = makeInstall() })
	if suite.buildErr != nil {
		t.Fatalf("cannot lay out a device's files: %v", suite.buildErr)
	}
}

func makeInstall() error {
	sources := filepath.Join(suite.dir, "source")
	// Reading all of it in this process tells go test that a cached result is stale when a file changes.
	for _, name := range []string{".ci", "Makefile", "go.mod", "go.sum",
		"backends", "cmd", "dbusapi", "examples", "formats", "handlers", "init", "internal", "rauc", "swdesc"} {
		if err := copyTree(filepath.Join(suite.source, name), filepath.Join(sources, name)); err != nil {
			return err
		}
	}
	suite.layout = filepath.Join(suite.dir, "layout")
	install := exec.Command("make", "--no-print-directory", "install", "DESTDIR="+suite.layout, "VERSION=test")
	install.Dir = sources
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("make install: %w\n%s", err, out)
	}
	suite.orin = filepath.Join(sources, "build", "virtual-orin")
	return makePKI()
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, info.Mode().Perm())
	})
}

// lanes keeps the load bearable: every case runs a bus, a service, an installer and a writer.
var lanes = make(chan struct{}, 3)

func parallel(t *testing.T) {
	t.Helper()
	t.Parallel()
	lanes <- struct{}{}
	t.Cleanup(func() { <-lanes })
}
