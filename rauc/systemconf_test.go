package rauc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

func stockConf() rauc.SystemConf {
	return rauc.SystemConf{
		Compatible: "jetson-orin-nano-devkit", DataDirectory: "/data/rauc", Keyring: "/etc/rauc/ca.cert.pem",
		Libexec: "/usr/libexec/tegra-ota", RootfsType: rauc.TypeExt4,
		Slots: [2]rauc.SystemSlot{
			{Name: "rootfs.0", Bootname: "A", Device: "/dev/disk/by-partlabel/APP", Why: "By label."},
			{Name: "rootfs.1", Bootname: "B", Device: "/dev/disk/by-partlabel/APP_b", Why: "By label."},
		},
	}
}

func renderConf(t *testing.T, c rauc.SystemConf) string {
	t.Helper()
	text, err := c.Render()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// confKeys reads a GKeyFile as "section.key" and value.
func confKeys(t *testing.T, text string) map[string]string {
	t.Helper()
	keys, section := map[string]string{}, ""
	for _, line := range strings.Split(text, "\n") {
		key, value, isKey := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case isKey && section != "":
			if _, twice := keys[section+"."+key]; twice {
				t.Errorf("%s.%s is there twice", section, key)
			}
			keys[section+"."+key] = value
		default:
			t.Errorf("%q is neither comment, section nor key", line)
		}
	}
	return keys
}

// confVerdict is what RAUC's service says of a system.conf when it starts, "" if it takes it. All paths of the file lead below dir;
// RAUC makes the data directory. It ends behind the file, because there is no bus.
func confVerdict(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "system.conf")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "=/", "="+dir+"/")), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rauc", "--conf="+file, "service")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DBUS_SYSTEM_BUS_ADDRESS=unix:path=" + filepath.Join(dir, "no-bus")}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("rauc service ended well without a bus: %s", out)
	}
	_, why, refused := strings.Cut(string(out), "Failed to initialize context: ")
	if !refused && !strings.Contains(string(out), "Connection to the system bus can't be made") {
		t.Fatalf("rauc service: %v: %s", err, out)
	}
	return strings.TrimSpace(why)
}

func TestSystemConfHasTheseKeys(t *testing.T) {
	stock := map[string]string{
		"system.compatible": "jetson-orin-nano-devkit", "system.bootloader": "custom", "system.data-directory": "/data/rauc",
		"system.mountprefix": "/run/rauc/mnt", "system.bundle-formats": "-plain",
		"keyring.path": "/etc/rauc/ca.cert.pem", "keyring.check-purpose": "codesign",
		"handlers.bootloader-custom-backend": "/usr/libexec/tegra-ota/tegra-boot-handler",
		"handlers.pre-install":               "/usr/libexec/tegra-ota/tegra-rauc-pre-install",
		"handlers.post-install":              "/usr/libexec/tegra-ota/tegra-rauc-post-install",
		"handlers.system-info":               "/usr/libexec/tegra-ota/tegra-rauc-system-info",
		"slot.rootfs.0.device":               "/dev/disk/by-partlabel/APP", "slot.rootfs.0.type": "ext4", "slot.rootfs.0.bootname": "A",
		"slot.rootfs.1.device": "/dev/disk/by-partlabel/APP_b", "slot.rootfs.1.type": "ext4", "slot.rootfs.1.bootname": "B",
		"slot.bootloader.0.device": "/run/tegra-ota/chain-a", "slot.bootloader.0.type": "raw", "slot.bootloader.0.parent": "rootfs.0",
		"slot.bootloader.1.device": "/run/tegra-ota/chain-b", "slot.bootloader.1.type": "raw", "slot.bootloader.1.parent": "rootfs.1",
	}
	for _, tt := range []struct {
		name   string
		change func(c *rauc.SystemConf)
		want   map[string]string // what differs; "" for a key that is not there
	}{
		{"stock", func(*rauc.SystemConf) {}, nil},
		{"another product", func(c *rauc.SystemConf) { c.Compatible = "ACME Rover; 2 #1 = [x]" },
			map[string]string{"system.compatible": "ACME Rover; 2 #1 = [x]"}},
		{"letters", func(c *rauc.SystemConf) { c.Compatible = "Müllwagen" }, map[string]string{"system.compatible": "Müllwagen"}},
		{"no shared folder", func(c *rauc.SystemConf) { c.DataDirectory = "" }, map[string]string{"system.data-directory": ""}},
		{"a backslash", func(c *rauc.SystemConf) { c.Slots[0].Device = `/dev/disk/by-partlabel/A\x20b` },
			map[string]string{"slot.rootfs.0.device": `/dev/disk/by-partlabel/A\\x20b`}},
		{"a backslash in the folder that RAUC makes", func(c *rauc.SystemConf) { c.DataDirectory = `/data/a\sb c` },
			map[string]string{"system.data-directory": `/data/a\\sb c`}},
		{"raw", func(c *rauc.SystemConf) { c.RootfsType = rauc.TypeRaw },
			map[string]string{"slot.rootfs.0.type": "raw", "slot.rootfs.1.type": "raw"}},
		{"names", func(c *rauc.SystemConf) {
			c.Slots[0].Name, c.Slots[0].Bootname, c.Slots[1].Name, c.Slots[1].Bootname = "system.1", "slot0", "system.2", "slot1"
		}, map[string]string{
			"slot.rootfs.0.device": "", "slot.rootfs.0.type": "", "slot.rootfs.0.bootname": "",
			"slot.rootfs.1.device": "", "slot.rootfs.1.type": "", "slot.rootfs.1.bootname": "",
			"slot.system.1.device": "/dev/disk/by-partlabel/APP", "slot.system.1.type": "ext4", "slot.system.1.bootname": "slot0",
			"slot.system.2.device": "/dev/disk/by-partlabel/APP_b", "slot.system.2.type": "ext4", "slot.system.2.bootname": "slot1",
			"slot.bootloader.0.parent": "system.1", "slot.bootloader.1.parent": "system.2",
		}},
		{"a reason that looks like a key", func(c *rauc.SystemConf) { c.Slots[0].Why = "because\n[system]\r\ncompatible=other\n" }, nil},
		{"no reason", func(c *rauc.SystemConf) { c.Slots[0].Why = "" }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := stockConf()
			tt.change(&c)
			want := map[string]string{}
			for _, source := range []map[string]string{stock, tt.want} {
				for k, v := range source {
					want[k] = v
					if v == "" {
						delete(want, k)
					}
				}
			}
			text := renderConf(t, c)
			if diff := cmp.Diff(want, confKeys(t, text)); diff != "" {
				t.Error(diff)
			}
			for _, line := range strings.Split(text, "\n") {
				if strings.HasPrefix(line, "#") && len(line) > 118 {
					t.Errorf("too long: %s", line)
				}
			}
			dir := t.TempDir()
			if why := confVerdict(t, dir, text); why != "" {
				t.Errorf("RAUC refuses it: %s\n%s", why, text)
			}
			// The folder that RAUC made is the value as RAUC read it.
			if st, err := os.Stat(filepath.Join(dir, c.DataDirectory)); err != nil || !st.IsDir() {
				t.Errorf("RAUC read another data-directory than %s: %v", c.DataDirectory, err)
			}
		})
	}
}

// RAUC judges: what it must not take it does not take.
func TestRAUCRefusesAnUnknownKey(t *testing.T) {
	text := renderConf(t, stockConf())
	for _, tt := range []struct{ name, old, new, want string }{
		{"misspelt", "mountprefix=", "mount-prefix=", "Invalid key 'mount-prefix' in group '[system]'"},
		{"of RAUC 1.12", "bootloader=custom", "min-bundle-version=1\nbootloader=custom", "Invalid key 'min-bundle-version' in group '[system]'"},
		{"in a slot", "bootname=A", "boot-name=A", "Invalid key 'boot-name' in group '[slot.rootfs.0]'"},
		{"a type", "type=ext4", "type=squashfs", "Unsupported slot type 'squashfs'"},
		{"a format", "=-plain", "=-plain # no", "Invalid bundle format '#'"},
	} {
		changed := strings.Replace(text, tt.old, tt.new, 1)
		if changed == text {
			t.Fatalf("%s: there is no %q", tt.name, tt.old)
		}
		if why := confVerdict(t, t.TempDir(), changed); !strings.Contains(why, tt.want) {
			t.Errorf("%s: RAUC says %q, want %q", tt.name, why, tt.want)
		}
	}
}

func TestSystemConfRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(c *rauc.SystemConf)
		want   string
	}{
		{"nothing", func(c *rauc.SystemConf) { c.Compatible = "" }, `compatible "" to a system.conf: it is empty`},
		{"a blank before", func(c *rauc.SystemConf) { c.Compatible = " x" }, "begins or ends with a blank"},
		{"a blank behind", func(c *rauc.SystemConf) { c.Keyring = "/x " }, "begins or ends with a blank"},
		{"a line", func(c *rauc.SystemConf) { c.Compatible = "x\nbootloader=noop" }, "control character"},
		{"a return", func(c *rauc.SystemConf) { c.Libexec = "/x\ry" }, "control character"},
		{"NUL", func(c *rauc.SystemConf) { c.Slots[0].Device = "/dev/a\x00" }, "control character"},
		{"bytes", func(c *rauc.SystemConf) { c.Compatible = "x\xff" }, "not UTF-8"},
		{"a relative keyring", func(c *rauc.SystemConf) { c.Keyring = "a" }, `keyring "a" to a system.conf: it must be an absolute path`},
		{"a relative folder", func(c *rauc.SystemConf) { c.DataDirectory = "rauc" }, "data-directory"},
		{"a relative libexec", func(c *rauc.SystemConf) { c.Libexec = "." }, "libexec"},
		{"a relative device", func(c *rauc.SystemConf) { c.Slots[1].Device = "APP" }, "device"},
		{"a type", func(c *rauc.SystemConf) { c.RootfsType = "squashfs" }, "it is ext4 or raw"},
		{"a slot without an index", func(c *rauc.SystemConf) { c.Slots[0].Name = "rootfs" }, "named CLASS.INDEX"},
		{"a slot of three parts", func(c *rauc.SystemConf) { c.Slots[0].Name = "rootfs.0.1" }, "named CLASS.INDEX"},
		{"a slot that ends its section", func(c *rauc.SystemConf) { c.Slots[0].Name = "rootfs].0" }, "named CLASS.INDEX"},
		{"two classes", func(c *rauc.SystemConf) { c.Slots[0].Name = "system.0" }, "different classes"},
		{"the firmware's class", func(c *rauc.SystemConf) { c.Slots[0].Name = "bootloader.7" }, "the class bootloader is the boot firmware's"},
		{"a bootname of two words", func(c *rauc.SystemConf) { c.Slots[0].Bootname = "slot 0" }, "no blanks"},
		{"one bootname", func(c *rauc.SystemConf) { c.Slots[0].Bootname = "B" }, "share name, bootname or device"},
		{"one name", func(c *rauc.SystemConf) { c.Slots[0].Name = "rootfs.1" }, "share name, bootname or device"},
		{"one device", func(c *rauc.SystemConf) { c.Slots[0].Device = c.Slots[1].Device }, "share name, bootname or device"},
	} {
		c := stockConf()
		tt.change(&c)
		text, err := c.Render()
		if text != "" || fail.CodeOf(err) != fail.Usage || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q and exit %d; %q", tt.name, err, tt.want, fail.Usage, text)
		}
	}
}
