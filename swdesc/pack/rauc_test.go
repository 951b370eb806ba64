package pack_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/pack"
)

func writeRAUC(t *testing.T, p *pack.Plan, bundle string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "input")
	err := pack.OutputFolder(dir, func(dir string) error {
		return p.WriteRAUC(context.Background(), dir, pack.RAUCOptions{Bundle: bundle})
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The real rauc makes a bundle of the folder and says what is in it.
func TestRAUCBundle(t *testing.T) {
	dir, text := standard(t)
	pki := t.TempDir()
	key, cert := filepath.Join(pki, "key.pem"), filepath.Join(pki, "cert.pem")
	tool(t, "openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-keyout", key, "-out", cert, "-days", "30", "-subj", "/CN=fleet")
	compressed := filepath.Join(dir, "rootfs.ext4.zst")
	tool(t, "zstd", "-q", filepath.Join(dir, "rootfs.ext4"), "-o", compressed)
	write(t, filepath.Join(dir, "t234.dtb"), deviceTree())
	for name, text := range map[string]string{
		"plain files":         text,
		"with conditions":     everyCondition + "description = \"Über \\\\ all\"\n" + text,
		"a compressed file":   strings.Replace(text, `"rootfs.ext4"`, `"rootfs.ext4.zst"`, 1),
		"firmware alone":      head + component("firmware", "TEGRA_BL.Cap"),
		"an unexpected name":  strings.Replace(text, `compression = "zstd"`, `name = "system"`, 1),
		"kernel, device tree": text + component("kernel", "rootfs.ext4", `name = "boot.img"`) + component("kernel-dtb", "t234.dtb"),
	} {
		for _, format := range []string{"verity", "plain"} {
			p := prepare(t, dir, text, pack.PrepareOptions{Format: pack.RAUC})
			input := writeRAUC(t, p, format)
			bundle := filepath.Join(t.TempDir(), "update.raucb")
			tool(t, "rauc", "bundle", "--cert", cert, "--key", key, input, bundle)
			info := tool(t, "rauc", "info", "--keyring", cert, "--output-format=shell", bundle)
			want := []string{"RAUC_MF_COMPATIBLE='jetson-orin-nano-devkit'", "RAUC_MF_VERSION='1.5.0'"}
			for _, part := range p.Parts {
				want = append(want, "RAUC_IMAGE_DIGEST_", part.Plain.Hex())
			}
			for _, w := range want {
				if !strings.Contains(info, w) {
					t.Errorf("%s, %s: rauc info lacks %s:\n%s", name, format, w, info)
				}
			}
			if strings.Contains(text, "firmware") && !strings.Contains(info, "install") {
				t.Errorf("%s: the firmware has no install hook:\n%s", name, info)
			}
		}
	}
}

// The root file system comes before the firmware, whatever the order of the release.
func TestRAUCOrder(t *testing.T) {
	dir, _ := standard(t)
	p := prepare(t, dir, head+component("firmware", "TEGRA_BL.Cap")+component("rootfs", "rootfs.ext4"), pack.PrepareOptions{Format: pack.RAUC})
	manifest := string(read(t, filepath.Join(writeRAUC(t, p, "verity"), "manifest.raucm")))
	if a, b := strings.Index(manifest, "[image.rootfs]"), strings.Index(manifest, "[image.bootloader]"); a < 0 || b < a {
		t.Errorf("%s", manifest)
	}
}

// The hook compares compatible, which RAUC leaves to it, then asks the conditions; everything else goes to the device's program.
func TestRAUCHook(t *testing.T) {
	dir, text := standard(t)
	text = "minimum_version = \"1.2.0\"\n" + text
	input := writeRAUC(t, prepare(t, dir, text, pack.PrepareOptions{Format: pack.RAUC}), "verity")
	hook := filepath.Join(input, "hook")
	tool(t, "shellcheck", hook)
	root := device(t, map[string]string{"etc/os-release": "VERSION_ID=1.2.0\n"})
	old := device(t, map[string]string{"etc/os-release": "VERSION_ID=1.1.0\n"})
	for _, d := range []string{root, old} {
		write(t, filepath.Join(d, "usr/libexec/tegra-ota/tegra-bup"), []byte("#!/bin/sh\necho \"$0 $*\"\nexit 3\n"))
		if err := os.Chmod(filepath.Join(d, "usr/libexec/tegra-ota/tegra-bup"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, root, verb, system string
		code                     int
		want                     string
	}{
		{"met", root, "install-check", "orin", 0, ""},
		{"another device", root, "install-check", "xavier", 10, "the bundle is for orin, and this is xavier"},
		{"not met", old, "install-check", "orin", 10, "cannot install release 1.5.0: release 1.1.0 runs, and it needs 1.2.0 or newer"},
		{"a slot", old, "slot-install", "orin", 3, "/usr/libexec/tegra-ota/tegra-bup rauc-hook slot-install"},
	} {
		c := exec.Command(hook, tt.verb)
		c.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+tt.root, "RAUC_SYSTEM_COMPATIBLE="+tt.system, "RAUC_MF_COMPATIBLE=orin")
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.want) || tt.want == "" && len(out) > 0 {
			t.Errorf("%s: exit %d, %q; want %d, %q", tt.name, c.ProcessState.ExitCode(), out, tt.code, tt.want)
		}
	}
	// Without conditions RAUC compares compatible itself.
	manifest := filepath.Join(writeRAUC(t, prepare(t, dir, strings.TrimPrefix(text, "minimum_version = \"1.2.0\"\n"),
		pack.PrepareOptions{Format: pack.RAUC}), "verity"), "manifest.raucm")
	if strings.Contains(string(read(t, manifest)), "install-check") {
		t.Error("install-check without conditions")
	}
}

func TestRAUCFolderExists(t *testing.T) {
	dir := t.TempDir()
	err := pack.OutputFolder(dir, func(string) error { t.Error("filled"); return nil })
	if err == nil || !strings.Contains(err.Error(), "it exists") {
		t.Errorf("%v", err)
	}
}
