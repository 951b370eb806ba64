package swupdate_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeInstall lays out an image's files, and the build host's tool, and lets systemd judge the units.
func TestMakeInstall(t *testing.T) {
	parallel(t)
	dest := t.TempDir()
	tool(t, filepath.Join(suite.glue, "..", ".."), "make", "--no-print-directory", "install", "install-swdesc", "DESTDIR="+dest, "PREFIX=/usr", "LUA_VERSION=5.4")
	handlers := map[string]bool{"tegra-rauc-pre-install": true, "tegra-rauc-post-install": true, "tegra-rauc-system-info": true}
	for _, name := range []string{"tegra-bup", "tegra-image", "tegra-bootctl", "tegra-boot-verify", "tegra-boot-handler", "tegra-slotd",
		"tegra-rauc-pre-install", "tegra-rauc-post-install", "tegra-rauc-system-info"} {
		link := filepath.Join(dest, "usr/libexec/tegra-ota", name)
		if to, err := os.Readlink(link); err != nil || to != "tegra-ota" {
			t.Errorf("%s leads to %q, %v; want the relative tegra-ota", link, to, err)
		}
		program := name
		if handlers[name] { // names of RAUC's handlers for the boot handler's verbs
			program = "tegra-boot-handler"
		}
		if out, err := exec.Command(link, "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), program+" ") {
			t.Errorf("%s --version: %v: %s", name, err, out)
		}
	}
	for _, name := range []string{"tegra-bootctl", "swdesc"} {
		if out, err := exec.Command(filepath.Join(dest, "usr/bin", name), "--version").CombinedOutput(); err != nil {
			t.Errorf("/usr/bin/%s: %v: %s", name, err, out)
		}
	}
	for _, file := range []string{"usr/share/lua/5.4/swupdate_handlers.lua", "etc/tegra-ota/config.toml.example", "etc/tegra-ota/health.d",
		"usr/lib/tmpfiles.d/tegra-ota.conf", "usr/share/doc/tegra-ota/examples/rauc/system.conf",
		"usr/share/doc/tegra-ota/examples/release/release.toml"} {
		if _, err := os.Stat(filepath.Join(dest, file)); err != nil {
			t.Error(err)
		}
	}
	verifyUnits(t, dest)
}

// stockUnits are called good by others at every boot; a drop-in keeps each from running beside tegra-boot-verify.
var stockUnits = []string{"nv-l4t-bootloader-config", "nv_update_verifier", "l4t-rootfs-validation-config", "rauc-mark-good"}

func verifyUnits(t *testing.T, dest string) {
	t.Helper()
	units := filepath.Join(dest, "usr/lib/systemd/system")
	// RAUC's own unit, of Debian's rauc-service, gets the drop-in of the examples.
	dropIn := filepath.Join(units, "rauc.service.d")
	if err := os.Mkdir(dropIn, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dropIn, "50-tegra-ota.conf"),
		read(t, filepath.Join(dest, "usr/share/doc/tegra-ota/examples/rauc/rauc.service.d/50-tegra-ota.conf")))
	// systemd-analyze looks for the programs on this machine.
	err := filepath.WalkDir(units, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			text := strings.ReplaceAll(string(read(t, path)), "ExecStart=/usr/libexec/", "ExecStart="+dest+"/usr/libexec/")
			write(t, path, []byte(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"verify", "--man=no"}
	for _, unit := range []string{"tegra-boot-count.service", "tegra-boot-verify.service",
		"tegra-ota-committed.target", "tegra-ota-committed.path",
		"tegra-rauc-mark-good.service"} {
		args = append(args, filepath.Join(units, unit))
	}
	for _, unit := range stockUnits {
		write(t, filepath.Join(units, unit+".service"), []byte("[Service]\nType=oneshot\nExecStart=/bin/true\n"))
		args = append(args, filepath.Join(units, unit+".service"))
		dropIn := string(read(t, filepath.Join(units, unit+".service.d/50-tegra-ota.conf")))
		if !strings.Contains(dropIn, "\nConditionPathExists=!/usr/libexec/tegra-ota/tegra-boot-verify\n") {
			t.Errorf("the drop-in of %s does not disable it:\n%s", unit, dropIn)
		}
	}
	c := exec.Command("systemd-analyze", append(args, "swupdate.service", "rauc.service")...)
	c.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+units+":")
	if out, err := c.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestExampleConfiguration: the example, with every line uncommented, is accepted; the demo uses the other examples.
func TestExampleConfiguration(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	var lines []string
	for _, line := range strings.Split(string(read(t, filepath.Join(suite.glue, "../../examples/swupdate/config.toml"))), "\n") {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		lines = append(lines, line)
	}
	if err := os.MkdirAll(o.path("etc/tegra-ota"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, o.path("etc/tegra-ota/config.toml"), []byte(strings.Join(lines, "\n")))
	if code, _, log := o.control(t, "tegra-bootctl", "status"); code != 0 {
		t.Errorf("tegra-bootctl status exits %d with the example configuration: %s", code, log)
	}
}
