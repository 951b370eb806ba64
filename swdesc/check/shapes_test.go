package check_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

// Descriptions of the shapes that people write, each all right, and with one mistake that is easily made.
func TestShapes(t *testing.T) {
	digest := func(n int) string { return fmt.Sprintf("%064x", n+1) }
	demo := fmt.Sprintf(`software = {
	version = "1.0.0";
	description = "Slots as two modes of one set";
	orin-nano: {
		hardware-compatibility: [ "1.0", "#RE:^2\\.[0-9]+$" ];
		system: {
			slot_a: {
				partitions: ( { type = "diskformat"; device = "/dev/disk/by-partlabel/APP"; properties: { fstype = "ext4"; force = "true"; }; } );
				images: ( { filename = "rootfs.tar.gz"; type = "archive"; device = "/dev/disk/by-partlabel/APP"; filesystem = "ext4";
					path = "/"; installed-directly = true; sha256 = "%s"; } );
				files: ( { ref = "#../firmware"; } );
				scripts: ( { filename = "switch.lua"; type = "lua"; data = "a"; sha256 = "%s"; } );
			};
			slot_b: {
				partitions: ( { type = "diskformat"; device = "/dev/disk/by-partlabel/APP_b"; properties: { fstype = "ext4"; force = "true"; }; } );
				images: ( { filename = "rootfs.tar.gz"; type = "archive"; device = "/dev/disk/by-partlabel/APP_b"; filesystem = "ext4";
					path = "/"; installed-directly = true; sha256 = "%s"; } );
				files: ( { ref = "#../firmware"; } );
				scripts: ( { filename = "switch.lua"; type = "lua"; data = "b"; sha256 = "%s"; } );
			};
			firmware: ( { filename = "tegra-bl.cap"; path = "/EFI/UpdateCapsule/TEGRA_BL.Cap"; device = "/dev/disk/by-partlabel/esp";
				filesystem = "vfat"; sha256 = "%s"; } );
		};
	};
}`, digest(0), digest(1), digest(0), digest(1), digest(2))
	hooked := fmt.Sprintf(`{"software": {
	"version": "1.2.3", "hardware-compatibility": ["1.0"],
	"embedded-script": "function pick(image) image.device = other() return true, image end",
	"images": [{"filename": "rootfs.img.zst", "type": "raw", "device": "/dev/null", "hook": "pick", "compressed": "zstd",
		"installed-directly": true, "sha256": "%s"}],
	"bootenv": [{"name": "slot", "value": "${other}"}]
}}`, digest(0))
	boards := fmt.Sprintf(`software = {
	version = "1"; hardware-compatibility = [ "1.0" ];
	xavier: { hardware-compatibility = [ "2.0" ]; images: { ref = "#../common"; }; scripts: { ref = "#../activate"; }; };
	orin: { images: { ref = "#../common"; }; scripts: { ref = "#../activate"; }; };
	common: ( { filename = "rootfs.img"; type = "tegra-image"; sha256 = "%s"; properties: { partition = "APP"; size = "1"; sha256 = "%s"; }; } );
	activate: ( { filename = "go"; type = "tegra-activate"; sha256 = "%s"; } );
}`, digest(0), digest(1), digest(2))
	for _, c := range []struct {
		name, src, old, replacement string
		want                        []string
	}{
		{"two slots", demo, `device = "/dev/disk/by-partlabel/APP_b"; filesystem`, `device = "/dev/disk/by-partlabel/APP_c"; filesystem`,
			nil},
		{"two slots, one twice", demo, `APP_b`, `APP`, []string{"error fixed-slot"}},
		{"two slots, a link one too high", demo, `"#../firmware"`, `"#../../firmware"`, []string{"error link", "error unknown-attribute"}},
		{"two slots, the sign of a regular expression forgotten", demo, `^2`, `2`, []string{"warning hardware-compatibility"}},
		{"two slots, streamed file that both take", demo, `"switch.lua"; type = "lua"; data = "a"`, `"rootfs.tar.gz"; type = "lua"`,
			[]string{"error duplicate"}},
		{"a hook", hooked, `"hook": "pick", `, ``, nil},
		{"a hook misspelt", hooked, `"hook": "pick"`, `"hook": "pik"`, []string{"error hook"}},
		{"a hook forgotten", hooked, `"/dev/null", "hook": "pick"`, `"/dev/nvme0n1p1"`, []string{"error fixed-slot"}},
		{"a hook without its script", hooked, `embedded-script`, `embedded-scrpt`, []string{"error hook", "error unknown-attribute"}},
		{"boards", boards, `[ "2.0" ]`, `[ "3.0" ]`, nil},
		{"boards, one without the last step", boards, `orin: { images: { ref = "#../common"; }; scripts: { ref = "#../activate"; };`,
			`orin: { images: { ref = "#../common"; };`, []string{"error activate-missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(c.src, c.old) {
				t.Fatalf("%q is not there", c.old)
			}
			rule{name: "good", src: c.src}.run(t)
			src := strings.ReplaceAll(c.src, c.old, c.replacement)
			rule{name: "changed", src: src, want: c.want}.run(t)
		})
	}
}

// The names in the JSON of a report stay.
func TestContentsJSON(t *testing.T) {
	contents, _ := look(t, archive(t, file{"sw-description", []byte(software(``))}), check.Options{})
	contents.Members[0].SHA256 = "12"
	b, err := json.Marshal(contents)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"container":"crc","syntax":"libconfig","members":[{"name":"sw-description","offset":0,"size":68,"sha256":"12"}]}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}
