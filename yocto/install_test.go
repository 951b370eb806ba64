package yocto_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// places are BitBake's names of folders, as both releases have them with systemd.
var places = strings.NewReplacer("${PN}", "tegra-ota", "${systemd_system_unitdir}", "/usr/lib/systemd/system", "${prefix}", "/usr",
	"${datadir}", "/usr/share", "${nonarch_libdir}", "/usr/lib", "${sysconfdir}", "/etc", "${bindir}", "/usr/bin")

// packages says which package has which files, in words of the recipe's FILES: what is not in a special one is in tegra-ota or -doc.
var packages = map[string][]string{
	"tegra-ota-swupdate": {"/usr/share/lua/5.4/swupdate_handlers.lua", "/usr/lib/systemd/system/swupdate.service.d/50-tegra-ota.conf"},
	"tegra-ota-rauc": {"/usr/libexec/tegra-ota/tegra-boot-handler", "/usr/libexec/tegra-ota/tegra-rauc-post-install",
		"/usr/libexec/tegra-ota/tegra-rauc-pre-install", "/usr/libexec/tegra-ota/tegra-rauc-system-info",
		"/usr/lib/systemd/system/rauc-mark-good.service.d/50-tegra-ota.conf", "/usr/lib/systemd/system/tegra-rauc-mark-good.service"},
	"tegra-ota-dbus": {"/usr/libexec/tegra-ota/tegra-slotd", "/usr/lib/sysusers.d/tegra-ota.conf", "/usr/lib/systemd/system/tegra-slotd.service",
		"/usr/share/dbus-1/interfaces/io.github.tegra_ota.Slot.xml", "/usr/share/dbus-1/interfaces/io.github.tegra_ota.SlotManager.xml",
		"/usr/share/dbus-1/system-services/io.github.tegra_ota.SlotManager.service",
		"/usr/share/dbus-1/system.d/io.github.tegra_ota.SlotManager.conf", "/usr/share/polkit-1/actions/io.github.tegra-ota.policy"},
	"tegra-ota": {"/etc/tegra-ota/config.toml.example", "/usr/bin/tegra-bootctl", "/usr/bin/tegra-bup",
		"/usr/libexec/tegra-ota/tegra-boot-verify", "/usr/libexec/tegra-ota/tegra-bootctl", "/usr/libexec/tegra-ota/tegra-bup",
		"/usr/libexec/tegra-ota/tegra-image", "/usr/libexec/tegra-ota/tegra-ota",
		"/usr/lib/systemd/system/l4t-rootfs-validation-config.service.d/50-tegra-ota.conf",
		"/usr/lib/systemd/system/nv-l4t-bootloader-config.service.d/50-tegra-ota.conf",
		"/usr/lib/systemd/system/nv_update_verifier.service.d/50-tegra-ota.conf",
		"/usr/lib/systemd/system/tegra-boot-count.service", "/usr/lib/systemd/system/tegra-boot-verify.service",
		"/usr/lib/systemd/system/tegra-ota-committed.path", "/usr/lib/systemd/system/tegra-ota-committed.target",
		"/usr/lib/tmpfiles.d/tegra-ota.conf"},
}

// installTree lays out what the recipe lays out, with the same target of the Makefile, and returns every file and link.
func installTree(t *testing.T, source string) (string, []string) {
	t.Helper()
	root, binary := t.TempDir(), filepath.Join(t.TempDir(), "tegra-ota")
	if err := os.WriteFile(binary, []byte("binary"), 0o755); err != nil {
		t.Fatal(err)
	}
	must(t, nil, "make", "-s", "-C", source, "install-tree", "DESTDIR="+root, "PREFIX=/usr", "LUA_VERSION=5.4", "BINARY="+binary)
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			found = append(found, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return root, found
}

// TestPackages: make install, the recipe's FILES and units, and the table above agree about every file.
func TestPackages(t *testing.T) {
	inc := load(t, "recipes-bsp/tegra-ota/tegra-ota.inc")
	files, order := map[string][]string{}, []string{}
	for _, name := range inc.all("PACKAGES") {
		order = append(order, places.Replace(name))
	}
	order = append(order, "tegra-ota-doc", "tegra-ota")
	// The defaults of bitbake.conf.
	files["tegra-ota-doc"] = []string{"/usr/share/doc"}
	files["tegra-ota"] = []string{"/usr/bin", "/etc"}
	for _, a := range inc.values {
		kind, name, _ := strings.Cut(a.name, ":")
		name = places.Replace(name)
		for _, word := range strings.Fields(a.value) {
			switch kind {
			case "FILES":
				files[name] = append(files[name], places.Replace(word))
			case "SYSTEMD_SERVICE": // systemd.bbclass packs them
				files[name] = append(files[name], "/usr/lib/systemd/system/"+word)
			}
		}
	}
	root, installed := installTree(t, "..")
	got, used := map[string][]string{}, map[string]bool{}
	for _, file := range installed {
		pack := ""
		for _, name := range order {
			if i := slices.IndexFunc(files[name], func(pattern string) bool { return covers(pattern, file) }); i >= 0 {
				pack, used[files[name][i]] = name, true
				break
			}
		}
		if pack == "" {
			t.Errorf("%s is in no package", file)
		}
		got[pack] = append(got[pack], file)
	}
	for _, list := range packages {
		slices.Sort(list)
	}
	delete(got, "tegra-ota-doc")
	for _, list := range got {
		slices.Sort(list)
	}
	if diff := cmp.Diff(packages, got); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	for name, patterns := range files {
		for _, pattern := range patterns {
			if !used[pattern] {
				t.Errorf("%s of FILES:%s is nothing that make install installs", pattern, name)
			}
		}
	}
	units(t, root, installed, inc)
}

// covers says whether a pattern of FILES is a file or a folder above it.
func covers(pattern, file string) bool {
	for ; file != "/"; file = filepath.Dir(file) {
		if ok, _ := filepath.Match(pattern, file); ok {
			return true
		}
	}
	return false
}

// units: each unit that can be enabled is, and each unit and executable that a document names exists.
func units(t *testing.T, root string, installed []string, inc recipe) {
	t.Helper()
	enabled := inc.all("SYSTEMD_SERVICE")
	exists := map[string]bool{}
	for _, file := range installed {
		exists[filepath.Base(file)] = true
		if ext := filepath.Ext(file); ext != ".service" && ext != ".path" && ext != ".target" || strings.Contains(file, "dbus-1") {
			continue
		}
		if install := strings.Contains(read(t, root+file), "\n[Install]\n"); install != slices.Contains(enabled, filepath.Base(file)) {
			t.Errorf("%s has an [Install] section: %v; SYSTEMD_SERVICE names it: %v", file, install, !install)
		}
	}
	for _, document := range []string{layer + "/README.md", "../README.md", "../CONTRIBUTING.md"} {
		for _, unit := range regexp.MustCompile(`\btegra-[a-z-]+\.(?:service|path|target)\b`).FindAllString(read(t, document), -1) {
			if !exists[unit] {
				t.Errorf("%s names %s, which is not installed", document, unit)
			}
		}
	}
	for _, name := range layerFiles(t, ".conf", ".in", ".inc") {
		for _, m := range regexp.MustCompile(`libexec/tegra-ota/([a-z*-]+)`).FindAllStringSubmatch(read(t, filepath.Join(layer, name)), -1) {
			if program := m[1]; !strings.Contains(program, "*") && !exists[program] {
				t.Errorf("%s names %s, which is not installed", name, program)
			}
		}
	}
}
