package chip_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func machine(t *testing.T, compatible, conf string) *device.Machine {
	t.Helper()
	root := t.TempDir()
	for name, content := range map[string]string{"proc/device-tree/compatible": compatible, "etc/nv_boot_control.conf": conf} {
		if content == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return device.New(root)
}

func TestDetect(t *testing.T) {
	for _, tt := range []struct{ name, compatible, conf, want string }{
		{"Orin Nano", "nvidia,p3768-0000+p3767-0005\x00nvidia,p3767-0005\x00nvidia,tegra234\x00", "", "T234"},
		{"Thor", "nvidia,p4071-0000+p3834-0008\x00nvidia,tegra264\x00", "", "T264"},
		{"Xavier", "nvidia,p2972-0000\x00nvidia,tegra194\x00", "", "T194"},
		{"the configuration alone", "", "TNSPEC x\nTEGRA_CHIPID 0x23\n", "T234"},
		{"in capitals", "", "TEGRA_CHIPID 0X19", "T194"},
		{"both", "nvidia,tegra234\x00", "TEGRA_CHIPID 0x23\n", "T234"},
		{"a tree of another board, and the configuration", "vendor,board\x00", "TEGRA_CHIPID 0x26\n", "T264"},
		{"a configuration without it", "nvidia,tegra234\x00", "TNSPEC x\n", "T234"},
	} {
		got, err := chip.Detect(machine(t, tt.compatible, tt.conf))
		if err != nil || got.Name != tt.want {
			t.Errorf("%s: %q, %v", tt.name, got.Name, err)
		}
	}
}

func TestDetectRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, compatible, conf string
		unknown                bool
		want                   []string
	}{
		{"nothing", "", "", true, []string{"/proc/device-tree/compatible", "TEGRA_CHIPID"}},
		{"another computer", "raspberrypi,4-model-b\x00brcm,bcm2711\x00", "", true, []string{"raspberrypi,4-model-b, brcm,bcm2711"}},
		{"an older Tegra", "nvidia,tegra210\x00", "TEGRA_CHIPID 0x21\n", true, []string{"nvidia,tegra210", "0x21"}},
		{"a part of a word is no chip", "nvidia,tegra2345\x00", "", true, []string{"nvidia,tegra2345"}},
		{"a contradiction", "nvidia,tegra234\x00", "TEGRA_CHIPID 0x19\n", false, []string{"T234", "T194", "0x19"}},
	} {
		_, err := chip.Detect(machine(t, tt.compatible, tt.conf))
		if err == nil || errors.Is(err, chip.ErrUnknown) != tt.unknown {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if next := fail.NextOf(err); !strings.Contains(next, "TEGRA_CHIPID") {
			t.Errorf("%s: the next step is %q", tt.name, next)
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v lacks %q", tt.name, err, w)
			}
		}
	}
}

// Chips are data: a row that lacks something would fail on the device.
func TestTableIsComplete(t *testing.T) {
	seen := map[string]string{}
	once := func(chip, key string) {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s share %s", chip, other, key)
		}
		seen[key] = chip
	}
	for _, c := range chip.All {
		if !regexp.MustCompile(`^T\d{3}$`).MatchString(c.Name) || !regexp.MustCompile(`^0x[0-9a-f]{2}$`).MatchString(c.ID) || !strings.HasPrefix(c.Compatible, "nvidia,tegra") {
			t.Errorf("%s: id %q, compatible %q", c.Name, c.ID, c.Compatible)
		}
		for _, key := range []string{c.Name, c.ID, c.Compatible} {
			once(c.Name, key)
		}
		if c.Capsule == (len(c.ImageTypes) == 0) {
			t.Errorf("%s has no image type", c.Name)
		}
		for _, g := range c.ImageTypes {
			once(c.Name, g.String())
		}
		if len(c.Required) < 8 {
			t.Errorf("%s requires %v", c.Name, c.Required)
		}
		for _, name := range c.Required {
			once(c.Name, c.Name+" image "+name)
		}
		for _, p := range c.PMC {
			if !strings.HasPrefix(p, "/sys/devices/") {
				t.Errorf("%s: PMC folder %q", c.Name, p)
			}
		}
		if c.Tested != (c.Name == "T234") {
			t.Errorf("%s: tested %t", c.Name, c.Tested)
		}
		if c.Tested && len(c.PMC) == 0 {
			t.Errorf("%s is tested and has no scratch register", c.Name)
		}
	}
}

func TestRequiredBy(t *testing.T) {
	for _, tt := range []struct {
		chip chip.Chip
		fw   string
		want []string
	}{
		{chip.T234, "35.4.1", bup.RequiredT234R35}, {chip.T234, "35.6.4", bup.RequiredT234R35}, {chip.T234, "36.0.0", bup.RequiredT234},
		{chip.T234, "39.2.1", bup.RequiredT234}, {chip.T194, "35.4.1", bup.RequiredT194}, {chip.T264, "38.2.0", bup.RequiredT264},
	} {
		v, err := capsule.ParseVersion(tt.fw)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, tt.chip.RequiredBy(v)); d != "" {
			t.Errorf("%s, %s: %s", tt.chip.Name, tt.fw, d)
		}
	}
}

func TestBootControl(t *testing.T) {
	conf := "# a comment\nTNSPEC 3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-\n  COMPATIBLE_SPEC   3767--0005--1--x  \nTEGRA_EMMC_ONLY false\nEMPTY\n\n"
	want := map[string]string{"TNSPEC": "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-", "COMPATIBLE_SPEC": "3767--0005--1--x", "TEGRA_EMMC_ONLY": "false"}
	if d := cmp.Diff(want, chip.BootControl(machine(t, "", conf))); d != "" {
		t.Error(d)
	}
	if got := chip.BootControl(machine(t, "", "")); len(got) != 0 {
		t.Error(got)
	}
}
