package yocto_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLayerConf: what other layers and yocto-check-layer rely on.
func TestLayerConf(t *testing.T) {
	conf := load(t, "conf/layer.conf")
	for name, want := range map[string]string{
		"LAYERSERIES_COMPAT_tegra-ota": "scarthgap wrynose",
		"LAYERDEPENDS_tegra-ota":       "core",
		"LAYERRECOMMENDS_tegra-ota":    "tegra swupdate rauc",
		"BBFILE_PATTERN_tegra-ota":     "^${LAYERDIR}/",
		"TEGRA_OTA_UPDATER":            "",
	} {
		if got := conf.get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, a := range conf.values {
		if slices.Contains([]string{"DISTRO", "MACHINE", "DISTRO_FEATURES", "IMAGE_INSTALL"}, a.name) {
			t.Errorf("layer.conf sets %s", a.name)
		}
	}
	// Every recipe and append is found by exactly one pattern, and one of another layer's folder only beside that layer.
	patterns := map[string]string{}
	for _, glob := range conf.all("BBFILES") {
		patterns[strings.TrimPrefix(glob, "${LAYERDIR}/")] = ""
	}
	for _, entry := range conf.all("BBFILES_DYNAMIC") {
		collection, glob, _ := strings.Cut(entry, ":${LAYERDIR}/")
		patterns[glob] = collection
	}
	used := map[string]bool{}
	for _, name := range layerFiles(t, ".bb", ".bbappend") {
		var collections []string
		for glob, collection := range patterns {
			if ok, _ := filepath.Match(glob, name); ok {
				collections = append(collections, collection)
				used[glob] = true
			}
		}
		want := ""
		if parts := strings.Split(name, "/"); parts[0] == "dynamic-layers" {
			want = parts[1]
		}
		if diff := cmp.Diff([]string{want}, collections); diff != "" {
			t.Errorf("%s is found for these collections (-want +got):\n%s", name, diff)
		}
	}
	for glob, collection := range patterns {
		if !used[glob] && collection != "" {
			t.Errorf("nothing matches %s", glob)
		}
	}
}

// TestAppendsAreSwitchedOff: an append does nothing but require a file beside it, and only once an updater is chosen: adding the layer
// must not change another recipe's signature.
func TestAppendsAreSwitchedOff(t *testing.T) {
	line := regexp.MustCompile(`^require \$\{@'([a-z_-]+\.inc)' if d\.getVar\('TEGRA_OTA_UPDATER'\)(?: == '(?:swupdate|rauc)')? else ''\}\n$`)
	appends := layerFiles(t, ".bbappend")
	for _, name := range appends {
		m := line.FindStringSubmatch(read(t, filepath.Join(layer, name)))
		if m == nil {
			t.Errorf("%s is more than one conditional require", name)
			continue
		}
		if _, err := os.Stat(filepath.Join(layer, filepath.Dir(name), m[1])); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(appends) < 5 {
		t.Errorf("%d appends only", len(appends))
	}
}

// TestFilesExist: every local file that a recipe fetches, and every file that one requires, is in the layer.
func TestFilesExist(t *testing.T) {
	for _, name := range layerFiles(t, ".bb", ".inc", ".bbclass") {
		folder := filepath.Join(layer, filepath.Dir(name))
		base := regexp.MustCompile(`[_.].*$`).ReplaceAllString(filepath.Base(name), "")
		text := read(t, filepath.Join(layer, name))
		for _, m := range regexp.MustCompile(`file://([A-Za-z0-9_.-]+)`).FindAllStringSubmatch(text, -1) {
			if m[1] == "src" || m[1] == "pkg" || m[1] == "sw-description" || strings.HasSuffix(m[1], "-") {
				continue // licences in the sources; what a user may bring; a name that is put together
			}
			found := false
			for _, place := range []string{folder, filepath.Join(folder, "files"), filepath.Join(folder, base), layer + "/files"} {
				if _, err := os.Stat(filepath.Join(place, m[1])); err == nil {
					found = true
				}
			}
			if !found {
				t.Errorf("%s fetches %s, which is nowhere", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`(?m)^require ([a-z0-9_.-]+)$`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(folder, m[1])); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if strings.Contains(text, ":forcevariable") {
			t.Errorf("%s uses forcevariable, which nobody can override", name)
		}
	}
}

// TestInherits: a class is one of ours, or one that openembedded-core, meta-swupdate or meta-rauc has.
func TestInherits(t *testing.T) {
	known := []string{"go-mod", "systemd", "useradd", "ptest", "pkgconfig", "features_check", "swupdate", "bundle"}
	for _, name := range layerFiles(t, ".bb", ".inc", ".bbclass") {
		for _, line := range load(t, name).statements {
			classes, ok := strings.CutPrefix(line, "inherit ")
			if !ok {
				continue
			}
			for _, class := range strings.Fields(classes) {
				_, err := os.Stat(filepath.Join(layer, "classes-recipe", class+".bbclass"))
				if err != nil && !slices.Contains(known, class) {
					t.Errorf("%s inherits %s, which is no class that this test knows", name, class)
				}
			}
		}
	}
}

// TestNoKeys: a layer with a key in it is a layer whose key is in every product.
func TestNoKeys(t *testing.T) {
	kas, err := filepath.Glob("kas/*")
	if err != nil {
		t.Fatal(err)
	}
	names := layerFiles(t)
	for _, name := range kas {
		names = append(names, "../"+name)
	}
	for _, name := range names {
		if slices.Contains([]string{".pem", ".key", ".p12", ".crt", ".cer", ".der"}, filepath.Ext(name)) {
			t.Errorf("%s looks like a key", name)
		}
		if text := read(t, filepath.Join(layer, name)); strings.Contains(text, "PRIVATE KEY") || strings.Contains(text, "BEGIN CERT") {
			t.Errorf("%s has key material", name)
		}
	}
}

// TestDocuments: yocto-check-layer's rules, and the README's table of variables, which must be complete.
func TestDocuments(t *testing.T) {
	readme := read(t, layer+"/README.md")
	for _, word := range []string{"maintainer", "patch"} {
		if !strings.Contains(strings.ToLower(readme), word) {
			t.Errorf("README.md lacks the word %s", word)
		}
	}
	if !regexp.MustCompile(`[a-z]+@[a-z-]+\.[a-z]+`).MatchString(readme) {
		t.Error("README.md has no e-mail address")
	}
	if len(read(t, layer+"/SECURITY.md")) == 0 {
		t.Error("SECURITY.md is empty")
	}
	if read(t, layer+"/COPYING") != read(t, "../LICENSE") {
		t.Error("COPYING is not the project's licence")
	}
	variable := regexp.MustCompile(`\bTEGRA_OTA_[A-Z_]+[A-Z]\b`)
	used, told := map[string]bool{}, map[string]bool{}
	for _, name := range layerFiles(t, ".bb", ".inc", ".bbclass", ".conf", ".bbappend", ".py") {
		for _, word := range variable.FindAllString(read(t, filepath.Join(layer, name)), -1) {
			used[word] = true
		}
	}
	for _, word := range variable.FindAllString(readme, -1) {
		told[word] = true
	}
	if diff := cmp.Diff(used, told); diff != "" {
		t.Errorf("variables that README.md does not name, or that are none (-layer +README):\n%s", diff)
	}
}
