// Package rauc_test runs whole updates through Debian's real rauc, its service on a bus of its own, with the files of
// examples/rauc, on virtual Orins as make install lays them out. Nothing here is skipped: a machine that lacks something
// fails in the first line.
package rauc_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// kind is a row of the table of backends: a device, what controls its slots, and how firmware gets into its flash.
type kind struct {
	name     string
	create   []string // options of virtual-orin create
	config   string   // config.toml; the chip decides where it is empty
	controls string   // the backend
	says     string   // what tegra-bootctl status says of the choice
	firmware []string // virtual-orin's command for firmware that the device takes
	versions []string // the device's, and newer ones
	tries    int      // boots of a slot on trial, without a word from userspace
	metadata bool     // slot metadata in flash count them, and outlive a power cut; else a scratch register does
}

var orinVersions = append([]string{"36.4.0"}, versions...)

var kinds = []kind{
	{
		name: "Orin, UEFI variables", controls: "efivar", says: "UEFI variables",
		firmware: []string{"capsule"}, versions: orinVersions, tries: 3,
	},
	{
		name: "Orin, nvbootctrl of R36", create: []string{"--nvbootctrl", "r36"}, config: "backend = \"nvbootctrl\"\n",
		controls: "nvbootctrl", says: "configuration", firmware: []string{"capsule"}, versions: orinVersions, tries: 3,
	},
	jetPack4,
}

const xavierNX = "p3668-0001"

var jetPack4 = kind{
	name: "Xavier NX, JetPack 4", create: []string{"--module", xavierNX, "--l4t", "32.7.5"}, controls: "nvbootctrl", says: "slot metadata",
	firmware: []string{"bup", "--module", xavierNX}, versions: []string{"32.7.5", "32.7.6", "32.7.7", "32.7.8"}, tries: 7, metadata: true,
}

// release is an update of root file system and newer firmware.
func (u *unit) release(t *testing.T) (bundle string, image []byte, version string) {
	t.Helper()
	u.sent++
	version = u.versions[u.sent]
	file := u.image(t)
	return u.bundle(t, file, u.payload(t, version)), read(t, file), version
}

// payload builds firmware of a version as the device takes it.
func (u *unit) payload(t *testing.T, version string) string {
	t.Helper()
	file := u.path("../firmware")
	tool(t, suite.orin, append(append([]string{}, u.kind.firmware...), "-o", file, "--l4t", version)...)
	return file
}

// hardware is what the device holds, seen past Linux and past us.
type hardware struct {
	Active string `json:"active"`
	Chains map[string]struct {
		Whole     bool   `json:"whole"`
		Startable bool   `json:"startable"`
		Version   string `json:"version"`
	} `json:"chains"`
	Metadata *struct {
		Slots [2]slotRecord `json:"slots"`
	} `json:"slot_metadata"`
}

type slotRecord struct {
	Priority   int  `json:"priority"`
	Retry      int  `json:"retry"`
	Successful bool `json:"successful"`
}

func (u *unit) hardware(t *testing.T) hardware {
	t.Helper()
	var h hardware
	if err := json.Unmarshal([]byte(tool(t, suite.orin, "status", u.dir, "--json")), &h); err != nil {
		t.Fatal(err)
	}
	if u.metadata != (h.Metadata != nil) {
		t.Fatalf("slot metadata: %+v", h.Metadata)
	}
	return h
}

// written fails unless a chain holds whole firmware of a version.
func (u *unit) written(t *testing.T, slot, version string) {
	t.Helper()
	if got := u.hardware(t).Chains[slot]; !got.Whole || !got.Startable || got.Version != version {
		t.Errorf("chain %s is %+v, want firmware %s, whole", slot, got, version)
	}
}

// updates installs a good update into the slot that does not run, and boots it.
func (u *unit) updates(t *testing.T) {
	t.Helper()
	to := other(u.status(t).Current)
	bundle, image, version := u.release(t)
	u.rauc(t, "install", bundle).want(t, 0)
	u.holds(t, to, image)
	u.accepts(t, to, version)
}

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
