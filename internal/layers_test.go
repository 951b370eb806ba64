// Package internal_test holds what concerns the whole tree and no single package.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tegra-ota/tegra-ota/"

// layers says what the packages of each top-level folder may import of ours. A new folder needs a row.
var layers = map[string][]string{
	"formats":  {"formats"},
	"internal": {"formats", "internal"},
	"backends": {"formats", "internal", "backends"},
	"handlers": {"formats", "internal", "backends", "handlers"},
	"swdesc":   {"formats", "internal", "swdesc"},
	"rauc":     {"formats", "internal", "backends", "handlers", "rauc"},
	"dbusapi":  {"formats", "internal", "backends", "handlers", "dbusapi"},
	"cmd":      {"formats", "internal", "backends", "handlers", "swdesc", "rauc", "dbusapi"},
	"vm":       {"formats", "internal", "backends", "vm"},
}

// private are packages that only the named folders import: the model of the firmware has no business on a device, and only a
// program's entry sees arguments.
var private = map[string][]string{
	"backends/virtual": {"backends/virtual", "cmd/virtual-orin"},
	"internal/cli":     {"internal/cli", "cmd/tegra-ota", "cmd/virtual-orin", "cmd/swdesc"},
}

// allowed says whether a package in folder may import ours, both relative to the module.
func allowed(folder, ours string) bool {
	if folders, ok := private[ours]; ok {
		return within(folder, folders)
	}
	top, _, _ := strings.Cut(folder, "/")
	return within(ours, layers[top])
}

func within(folder string, list []string) bool {
	for _, f := range list {
		if folder == f || strings.HasPrefix(folder, f+"/") {
			return true
		}
	}
	return false
}

// Imports run one way. Tests may look further: the model of the firmware judges what backends did.
func TestImportsRunOneWay(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel("..", path)
		if e.IsDir() && (rel == "build" || e.Name() == "testdata" || len(e.Name()) > 2 && e.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		folder := filepath.ToSlash(filepath.Dir(rel))
		top, _, _ := strings.Cut(folder, "/")
		if layers[top] == nil {
			t.Errorf("%s: the table of layers has no row for %s", rel, top)
		}
		seen[top] = true
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(name, module); ok && !allowed(folder, ours) {
				t.Errorf("%s imports %s", rel, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"formats", "internal", "backends", "handlers", "cmd"} {
		if !seen[top] {
			t.Errorf("no file of %s was looked at", top)
		}
	}
}

// The table says no where it should.
func TestLayersRefuse(t *testing.T) {
	for _, tt := range [][2]string{
		{"formats/bup", "internal/device"},
		{"internal/chip", "backends"},
		{"backends", "handlers/firmware"},
		{"backends/efivar", "backends/virtual"},
		{"handlers/image", "cmd/tegra-ota"},
		{"handlers/image", "internal/cli"},
		{"cmd/tegra-ota", "backends/virtual"},
		{"swdesc", "backends"},
		{"nowhere", "formats/bup"},
	} {
		if allowed(tt[0], tt[1]) {
			t.Errorf("%s may import %s", tt[0], tt[1])
		}
	}
}
