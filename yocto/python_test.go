package yocto_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lib calls a function of the layer's Python that returns sentences. d is made of the variables, as BitBake's is.
const lib = `
import json, sys
sys.path.insert(0, "meta-tegra-ota/lib")
from tegraota import configuration, rootfs
class D:
    def __init__(self, values): self.values = values
    def getVar(self, name): return self.values.get(name)
what, argument = sys.argv[1:]
for sentence in configuration.problems(D(json.loads(argument))) if what == "configuration" else rootfs.problems(argument):
    print(sentence)
`

// sentences compares what was found with the beginnings or middles of what is wanted, one each.
func sentences(t *testing.T, out string, want []string) {
	t.Helper()
	var got []string
	if out != "" {
		got = strings.Split(out, "\n")
	}
	if len(got) != len(want) {
		t.Fatalf("%d sentences, want %d:\n%s", len(got), len(want), out)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%q lacks %q", got[i], want[i])
		}
	}
}

// TestConfiguration: what the sanity class says before a build.
func TestConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes map[string]string
		want    []string
	}{
		{"good", nil, nil},
		{"switched off", map[string]string{"TEGRA_OTA_UPDATER": "", "DISTRO_FEATURES": "", "USE_REDUNDANT_FLASH_LAYOUT": "0"}, nil},
		{"misspelt", map[string]string{"TEGRA_OTA_UPDATER": "swupdat"}, []string{`it must be swupdate, rauc, mender, or empty`}},
		{"no layer", map[string]string{"BBFILE_COLLECTIONS": "core tegra"}, []string{"its layer meta-swupdate is not in bblayers.conf"}},
		{"rauc without its feature", map[string]string{"TEGRA_OTA_UPDATER": "rauc"}, []string{`DISTRO_FEATURES lacks "rauc"`}},
		{"mender", map[string]string{"TEGRA_OTA_UPDATER": "mender"}, []string{"Mender's update module is not part of this release"}},
		{"no systemd", map[string]string{"DISTRO_FEATURES": "sysvinit"}, []string{`lacks "systemd"`}},
		{"one root file system", map[string]string{"USE_REDUNDANT_FLASH_LAYOUT": "0"}, []string{"USE_REDUNDANT_FLASH_LAYOUT is off"}},
		{"another machine", map[string]string{"USE_REDUNDANT_FLASH_LAYOUT": "", "MACHINEOVERRIDES": "qemuall:qemuarm64"}, nil},
		{"signed for nobody", map[string]string{"SWUPDATE_SIGNING": "CMS"}, []string{"does not start without a public key"}},
		{"signed", map[string]string{"SWUPDATE_SIGNING": "CMS", "TEGRA_OTA_SWUPDATE_CERTIFICATE": "cert.pem"}, nil},
		{"a configuration of one's own", map[string]string{"SWUPDATE_SIGNING": "CMS", "TEGRA_OTA_SWUPDATE_CONFIG": "mine"}, nil},
		{"a signature of one's own", map[string]string{"SWUPDATE_SIGNING": "CUSTOM", "TEGRA_OTA_SWUPDATE_CONFIG": "mine"},
			[]string{"only you know which CONFIG_SIGALG"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			values := map[string]string{"TEGRA_OTA_UPDATER": "swupdate", "BBFILE_COLLECTIONS": "core tegra swupdate rauc tegra-ota",
				"DISTRO_FEATURES": "systemd usrmerge", "MACHINEOVERRIDES": "cuda:tegra:tegra234", "USE_REDUNDANT_FLASH_LAYOUT": "1"}
			for name, value := range tt.changes {
				values[name] = value
			}
			data, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			sentences(t, must(t, nil, "python3", "-c", lib, "configuration", string(data)), tt.want)
		})
	}
}

// TestRootfs: what the image class says of a root file system.
func TestRootfs(t *testing.T) {
	const (
		verify = "usr/libexec/tegra-ota/tegra-boot-verify"
		unit   = "[Unit]\nDescription=x\n[Mount]\nWhat=/dev/x\nWhere=/data\nType=ext4\n"
		none   = "no file system is mounted at /data"
	)
	for _, tt := range []struct {
		name  string
		files map[string]string // path: content, or "-> target"
		want  []string
	}{
		{"no tegra-ota", map[string]string{"etc/fstab": ""}, nil},
		{"fstab", map[string]string{verify: "", "etc/fstab": "# x\n/dev/x /data ext4 defaults 0 0\n"}, nil},
		{"mount unit", map[string]string{verify: "", "usr/lib/systemd/system/data.mount": unit}, nil},
		{"mount unit of the administrator", map[string]string{verify: "", "etc/systemd/system/data.mount": unit}, nil},
		{"nothing", map[string]string{verify: ""}, []string{none}},
		{"the root alone", map[string]string{verify: "", "etc/fstab": "/dev/root / auto defaults 1 1\nproc /proc proc defaults 0 0\n"}, []string{none}},
		{"memory", map[string]string{verify: "", "etc/fstab": "tmpfs /data tmpfs defaults 0 0\n"}, []string{none}},
		{"memory by a unit", map[string]string{verify: "", "etc/systemd/system/data.mount": strings.Replace(unit, "ext4", "tmpfs", 1)}, []string{none}},
		{"masked", map[string]string{verify: "", "etc/systemd/system/data.mount": "-> /dev/null"}, []string{none}},
		{"masked over the unit of a package", map[string]string{verify: "", "usr/lib/systemd/system/data.mount": unit,
			"etc/systemd/system/data.mount": "-> /dev/null"}, []string{none}},
		{"commented out", map[string]string{verify: "", "etc/fstab": "#/dev/x /data ext4 defaults 0 0\n"}, []string{none}},
		{"another name", map[string]string{verify: "", "etc/fstab": "/dev/x /database ext4 defaults 0 0\n"}, []string{none}},
		{"elsewhere, mounted", map[string]string{verify: "", "etc/tegra-ota/config.toml": "[boot]\n[journal]\npath = \"/persist/ota\"\n",
			"etc/fstab": "/dev/x /persist ext4 defaults 0 0\n"}, nil},
		{"elsewhere, not mounted", map[string]string{verify: "", "etc/tegra-ota/config.toml": "[journal]\npath = \"/persist/ota\"\n",
			"etc/fstab": "/dev/x /data ext4 defaults 0 0\n"}, []string{"no file system is mounted at /persist/ota"}},
		{"stock service", map[string]string{verify: "", "etc/fstab": "/dev/x /data ext4 defaults 0 0\n",
			"etc/systemd/system/multi-user.target.wants/nv_update_verifier.service": "-> /usr/lib/systemd/system/nv_update_verifier.service"},
			[]string{"nv_update_verifier.service is enabled"}},
		{"stock service with our drop-in", map[string]string{verify: "", "etc/fstab": "/dev/x /data ext4 defaults 0 0\n",
			"usr/lib/systemd/system/nv_update_verifier.service.d/50-tegra-ota.conf": "",
			"etc/systemd/system/multi-user.target.wants/nv_update_verifier.service": "-> /usr/lib/systemd/system/nv_update_verifier.service"}, nil},
		{"stock service masked", map[string]string{verify: "", "etc/fstab": "/dev/x /data ext4 defaults 0 0\n",
			"etc/systemd/system/rauc-mark-good.service":                         "-> /dev/null",
			"etc/systemd/system/multi-user.target.wants/rauc-mark-good.service": "-> /usr/lib/systemd/system/rauc-mark-good.service"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				var err error
				if target, ok := strings.CutPrefix(content, "-> "); ok {
					err = os.Symlink(target, path)
				} else {
					err = os.WriteFile(path, []byte(content), 0o644)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			sentences(t, must(t, nil, "python3", "-c", lib, "rootfs", root), tt.want)
		})
	}
}
