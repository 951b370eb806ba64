package yocto_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// settings returns the lines of a configuration that mean something.
func settings(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(data), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// TestRAUCFollowsTheExample: what the layer generates is what examples/rauc explains and the tests with the real RAUC use; only what
// the machine says is filled in.
func TestRAUCFollowsTheExample(t *testing.T) {
	got := strings.NewReplacer("@COMPATIBLE@", "jetson-orin-nano-devkit", "@KEYRING@", "/etc/rauc/ca.cert.pem", "@DATA@", "/data/rauc",
		"@DEVICE_A@", "/dev/disk/by-partlabel/APP", "@DEVICE_B@", "/dev/disk/by-partlabel/APP_b").
		Replace(settings(t, "meta-tegra-ota/dynamic-layers/rauc/recipes-core/rauc/files/system.conf"))
	if diff := cmp.Diff(settings(t, "../examples/rauc/system.conf"), got); diff != "" {
		t.Errorf("the layer's system.conf is not the example's (-example +layer):\n%s", diff)
	}
	// Every value that the recipe fills in has a place, and no place is left over.
	recipe := settings(t, "meta-tegra-ota/dynamic-layers/rauc/recipes-core/rauc/rauc-conf_tegra-ota.inc")
	for _, place := range regexp.MustCompile(`@[A-Z_]+@`).FindAllString(
		settings(t, "meta-tegra-ota/dynamic-layers/rauc/recipes-core/rauc/files/system.conf"), -1) {
		if !strings.Contains(recipe, place) {
			t.Errorf("nothing fills in %s", place)
		}
	}
	if strings.Contains(got, "@") {
		t.Errorf("a place is left in %s", got)
	}
}

// TestHookFollowsTheExample: the bundle's hook is the one that the tests with the real RAUC run.
func TestHookFollowsTheExample(t *testing.T) {
	if diff := cmp.Diff(read(t, "../examples/rauc/hook"), read(t, "meta-tegra-ota/files/tegra-ota-hook")); diff != "" {
		t.Error(diff)
	}
}

// TestSWUpdateFollowsTheExample: what the example of swupdate.cfg sets is set by the layer, too.
func TestSWUpdateFollowsTheExample(t *testing.T) {
	const folder = "meta-tegra-ota/dynamic-layers/swupdate/recipes-support/tegra-ota-swupdate-config"
	got := read(t, filepath.Join(folder, "files/swupdate.cfg.in")) + read(t, filepath.Join(folder, "tegra-ota-swupdate-config_1.0.bb"))
	for _, setting := range []string{`preupdatecmd = "/usr/libexec/tegra-ota/tegra-bootctl check";`, `postupdatecmd = `, `public-key-file = `,
		`bootloader = "none";`, "identify : "} {
		if !strings.Contains(got, setting) {
			t.Errorf("the layer does not set %s", setting)
		}
		if word, _, _ := strings.Cut(setting, " "); !strings.Contains(read(t, "../examples/swupdate/swupdate.cfg"), word) {
			t.Errorf("the example does not set %s", word)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
