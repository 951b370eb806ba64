// Package dbusapi_test runs tegra-slotd as it is installed, on a real dbus-daemon, on virtual Orins, and asks it with programs
// that were not written here: busctl, gdbus, dbus-send. Nothing is skipped: a machine that lacks something fails in the first line.
package dbusapi_test

import (
	"fmt"
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
	bin    string // virtual-orin, and tegra-ota under its names

	build    sync.Once
	buildErr error
}

func TestMain(m *testing.M) {
	err := orintest.Refuse(orintest.Missing("dbus-daemon", "busctl", "gdbus", "dbus-send", "dbus-monitor", "strace", "systemd-analyze",
		"systemd-sysusers", "make", "sh", "unshare", "setpriv", "flock", "timeout",
		"/usr/lib/polkit-1/polkitd"))
	if err == nil {
		suite.dir, err = os.MkdirTemp("", "tegra-ota-dbusapi")
	}
	var here string
	if err == nil {
		here, err = os.Getwd()
	}
	if err == nil {
		err = os.Chmod(suite.dir, 0o755) // other users run what lies there
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dbusapi cannot be tested here:", err)
		os.Exit(1)
	}
	suite.source = filepath.Dir(here)
	code := m.Run()
	_ = os.RemoveAll(suite.dir)
	os.Exit(code)
}

// programs builds the executables once, as they are shipped.
func programs(t *testing.T) {
	t.Helper()
	suite.build.Do(func() {
		suite.bin = filepath.Join(suite.dir, "bin")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X github.com/tegra-ota/tegra-ota/internal/cli.Version=test",
			"-o", suite.bin+"/", "./cmd/tegra-ota", "./cmd/virtual-orin")
		build.Dir = suite.source
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			suite.buildErr = fmt.Errorf("%w\n%s", err, out)
			return
		}
		for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify", "tegra-slotd"} {
			if suite.buildErr = os.Symlink("tegra-ota", filepath.Join(suite.bin, name)); suite.buildErr != nil {
				return
			}
		}
	})
	if suite.buildErr != nil {
		t.Fatalf("cannot build the executables: %v", suite.buildErr)
	}
}
