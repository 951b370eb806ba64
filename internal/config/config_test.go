package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func load(t *testing.T, text string) (config.Config, error) {
	t.Helper()
	root := t.TempDir()
	file := filepath.Join(root, "c.toml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return config.LoadFile(file)
}

func TestLoad(t *testing.T) {
	with := func(change func(*config.Config)) config.Config {
		c := config.Default()
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name, text string
		want       config.Config
	}{
		{"nothing", "", config.Default()},
		{"a comment", "# tries = 7\n[boot]\n", config.Default()},
		{"everything", `
backend = "nvbootctrl"
nvbootctrl = "/opt/nvbootctrl"
[journal]
path = "/persist"
[boot]
tries = 5
reboot_command = ["/sbin/reboot", "-f"]
allow_without_fallback = true
health_folder = "/health"
health_timeout = "1m30s"
[firmware]
method = "mtd"
update_engine = "/opt/nv_update_engine"
update_timeout = "1h"
capsule_trust = "/etc/trust.pem"
allow_older_chain = true
[esp]
mount_point = "/efi"
[rauc]
bootnames = ["system0", "system1"]
slots = ["os.0", "os.1"]
[dbus]
group = "updaters"
swupdate_progress = ["/run/progress"]
`, config.Config{
			Backend: "nvbootctrl", NVBootctrl: "/opt/nvbootctrl", Journal: config.Journal{Path: "/persist"},
			Boot: config.Boot{
				Tries: 5, RebootCommand: []string{"/sbin/reboot", "-f"}, AllowWithoutFallback: true,
				HealthFolder: "/health", HealthTimeout: config.Duration(90 * time.Second),
			},
			Firmware: config.Firmware{
				Method: "mtd", UpdateEngine: "/opt/nv_update_engine", UpdateTimeout: config.Duration(time.Hour),
				CapsuleTrust: "/etc/trust.pem", AllowOlderChain: true,
			}, ESP: config.ESP{MountPoint: "/efi"},
			RAUC: config.RAUC{Bootnames: []string{"system0", "system1"}, Slots: []string{"os.0", "os.1"}},
			DBus: config.DBus{Group: "updaters", SWUpdateProgress: []string{"/run/progress"}},
		}},
		{"RAUC's bootnames alone", "[rauc]\nbootnames = ['slot-ä', 'B']\n", with(func(c *config.Config) {
			c.RAUC.Bootnames = []string{"slot-ä", "B"}
		})},
		{"RAUC's slots alone", "[rauc]\nslots = [\"system.1\", \"system.0\"]\n", with(func(c *config.Config) {
			c.RAUC.Slots = []string{"system.1", "system.0"}
		})},
		{"the bounds", "[boot]\ntries = 100\nhealth_timeout = \"1s\"\n", with(func(c *config.Config) { c.Boot.Tries, c.Boot.HealthTimeout = 100, config.Duration(time.Second) })},
	} {
		got, err := load(t, tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown key", "[boot]\ntries = 1\n  trys = 2\n", `/c.toml:3:3: unknown key "boot.trys"`},
		{"an unknown table", "[bot]\ntries = 1\n", `/c.toml:1:2: unknown key "bot"`},
		{"a key in the wrong table", "tries = 1\n", `/c.toml:1:1: unknown key "tries"`},
		{"no value", "[boot]\ntries =\n", "/c.toml:2:"},
		{"a word for a number", "[boot]\n\ntries = \"two\"\n", "/c.toml:3:"},
		{"a key twice", "[boot]\ntries = 1\ntries = 2\n", "/c.toml"},
		{"a duration that is none", "[boot]\nhealth_timeout = \"soon\"\n", "/c.toml"},
		{"another backend", "backend = \"grub\"\n", "/c.toml: backend = grub must be empty or one of: efivar"},
		{"no tries", "[boot]\ntries = 0\n", "/c.toml: boot.tries = 0 is too small, the least is 1"},
		{"many tries", "[boot]\ntries = 101\n", "/c.toml: boot.tries = 101 is too large, the most is 100"},
		{"a short timeout", "[boot]\nhealth_timeout = \"10ms\"\n", "/c.toml: boot.health_timeout = 10ms is too small, the least is 1s"},
		{"a timeout below zero", "[boot]\nhealth_timeout = \"-1m\"\n", "boot.health_timeout"},
		{"a relative path", "[journal]\npath = \"data\"\n", "/c.toml: journal.path = data must be an absolute path"},
		{"an unknown method", "[firmware]\nmethod = \"flashrom\"\n", "firmware.method = flashrom must be empty or one of: capsule engine mtd"},
		{"an engine without time", "[firmware]\nupdate_timeout = \"1ms\"\n", "firmware.update_timeout = 1ms is too small, the least is 1s"},
		{"a relative engine", "[firmware]\nupdate_engine = \"nv_update_engine\"\n", "firmware.update_engine = nv_update_engine must be an absolute path"},
		{"a relative certificate", "[firmware]\ncapsule_trust = \"x.pem\"\n", "firmware.capsule_trust = x.pem must be an absolute path"},
		{"a relative mount point", "[esp]\nmount_point = \"efi\"\n", "esp.mount_point"},
		{"no health folder", "[boot]\nhealth_folder = \"\"\n", "boot.health_folder =  must not be empty"},
		{"no reboot command", "[boot]\nreboot_command = []\n", "boot.reboot_command"},
		{"an empty word", "[boot]\nreboot_command = [\"/sbin/reboot\", \"\"]\n", "boot.reboot_command[1]"},
		{"one bootname", "[rauc]\nbootnames = [\"A\"]\n", "/c.toml: rauc.bootnames = [A] must name both slots, A's first"},
		{"three bootnames", "[rauc]\nbootnames = [\"A\", \"B\", \"C\"]\n", "/c.toml: rauc.bootnames = [A B C] must name both slots, A's first"},
		{"no bootnames", "[rauc]\nbootnames = []\n", "/c.toml: rauc.bootnames = [] must name both slots, A's first"},
		{"one bootname for both", "[rauc]\nbootnames = [\"A\", \"A\"]\n", "/c.toml: rauc.bootnames = [A A] must not name both slots alike"},
		{"an empty bootname", "[rauc]\nbootnames = [\"A\", \"\"]\n", "/c.toml: rauc.bootnames[1] =  must not be empty"},
		// RAUC allows no blanks in a bootname, and strips them from an answer.
		{"a blank in a bootname", "[rauc]\nbootnames = [\"slot A\", \"B\"]\n", "/c.toml: rauc.bootnames[0] = slot A must not contain blanks"},
		{"a blank behind a bootname", "[rauc]\nbootnames = [\"A\", \"B \"]\n", "rauc.bootnames[1] = B  must not contain blanks"},
		{"a tab in a bootname", "[rauc]\nbootnames = [\"A\", \"B\\t\"]\n", "must not contain blanks"},
		{"a carriage return in a bootname", "[rauc]\nbootnames = [\"A\\r\", \"C\"]\n", "must not contain blanks"},
		{"one slot", "[rauc]\nslots = [\"rootfs.0\"]\n", "/c.toml: rauc.slots = [rootfs.0] must name both slots, A's first"},
		{"one slot for both", "[rauc]\nslots = [\"rootfs.0\", \"rootfs.0\"]\n", "must not name both slots alike"},
		{"an empty slot", "[rauc]\nslots = [\"\", \"rootfs.1\"]\n", "/c.toml: rauc.slots[0] =  must not be empty"},
		{"a blank in a slot", "[rauc]\nslots = [\"rootfs 0\", \"rootfs.1\"]\n", "must not contain blanks"},
		{"a word for both bootnames", "[rauc]\nbootnames = \"AB\"\n", "/c.toml"},
		{"numbers for bootnames", "[rauc]\nbootnames = [0, 1]\n", "/c.toml"},
		{"a misspelt key", "[rauc]\nbootname = [\"A\", \"B\"]\n", `/c.toml:2:1: unknown key "rauc.bootname"`},
		{"a relative socket", "[dbus]\nswupdate_progress = [\"progress\"]\n", "/c.toml: dbus.swupdate_progress[0] = progress must be an absolute path"},
		{"a group that is a number", "[dbus]\ngroup = 7\n", "/c.toml"},
		// Run prefixes the root, so a bare name would be looked for in / and fail only when a roll-back needs it.
		{"a program without its path", "[boot]\nreboot_command = [\"reboot\"]\n", "boot.reboot_command[0] = reboot must be an absolute path"},
	} {
		_, err := load(t, tt.text)
		if err == nil || fail.CodeOf(err) != fail.Usage || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want usage: ...%s...", tt.name, err, tt.want)
		}
	}
}

func TestLoadAbsent(t *testing.T) {
	m := device.New(t.TempDir())
	got, err := config.Load(m)
	if d := cmp.Diff(config.Default(), got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := config.LoadFile(m.Path("/c.toml")); fail.CodeOf(err) != fail.Usage {
		t.Error(err)
	}
}

// The example that is installed names every key with its default.
func TestExampleIsTheDefault(t *testing.T) {
	text, err := os.ReadFile("../../examples/swupdate/config.toml")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, line := range strings.Split(string(text), "\n") {
		if key, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(key, " ") {
			line = key
		}
		b.WriteString(line + "\n")
	}
	got, err := load(t, b.String())
	if d := cmp.Diff(config.Default(), got); d != "" || err != nil {
		t.Error(d, err)
	}
}
