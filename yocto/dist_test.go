package yocto_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dist makes the tarball of HEAD, or of another commit, in a fresh clone, as somebody else would, and returns its bytes.
func dist(t *testing.T, umask, zone, commit string) []byte {
	t.Helper()
	clone := filepath.Join(t.TempDir(), "clone")
	must(t, nil, "git", "clone", "-q", "..", clone)
	must(t, nil, "cp", "dist", filepath.Join(clone, "yocto/dist"))
	must(t, []string{"GO=go", "TZ=" + zone}, "sh", "-euc", `cd "$1"; umask "$2"; yocto/dist 0.1.0 "$3"`, "sh", clone, umask, commit)
	data, err := os.ReadFile(filepath.Join(clone, "build/tegra-ota-0.1.0.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDist: whoever makes the source tarball of a commit, it is the same bytes; and it builds without a network, with Yocto scarthgap's
// Go, for the device.
func TestDist(t *testing.T) {
	data := dist(t, "022", "UTC", "HEAD")
	if again := dist(t, "077", "Asia/Tokyo", "HEAD"); !bytes.Equal(data, again) {
		t.Error("another umask and time zone make another tarball")
	}
	names := unpackable(t, data)
	for _, m := range regexp.MustCompile(`file://src/\$\{GO_IMPORT\}/(\S+);md5`).FindAllStringSubmatch(
		read(t, filepath.Join(recipeFolder, "tegra-ota-licenses.inc")), -1) {
		if !slices.Contains(names, "tegra-ota-0.1.0/"+m[1]) {
			t.Errorf("the tarball lacks the licence %s", m[1])
		}
	}

	folder := t.TempDir()
	archive := filepath.Join(folder, "dist.tar.gz")
	if err := os.WriteFile(archive, data, 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, nil, "tar", "-xzf", archive, "-C", folder)
	source := filepath.Join(folder, "tegra-ota-0.1.0")
	goCommand(t, []string{"GOTOOLCHAIN=go1.22.12"}, "version") // the toolchain may come from the network, the modules may not
	must(t, []string{"GOTOOLCHAIN=go1.22.12", "GOFLAGS=-mod=vendor", "GOPROXY=off", "GOARCH=arm64", "CGO_ENABLED=0", "GOMODCACHE=" + toolchains(t)},
		"sh", "-euc", `cd "$1"; go build -buildvcs=false -o "$2/" ./cmd/...`, "sh", source, folder)
	for _, name := range []string{"tegra-ota", "swdesc", "virtual-orin"} {
		f, err := elf.Open(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if f.Machine != elf.EM_AARCH64 {
			t.Errorf("%s is for %s", name, f.Machine)
		}
		f.Close()
	}
	if _, installed := installTree(t, source); len(installed) < 30 {
		t.Errorf("make install-tree of the tarball installs %d files", len(installed))
	}
}

// toolchains is a module cache with Go's releases and nothing else: what is not in vendor/ is not found.
func toolchains(t *testing.T) string {
	t.Helper()
	cache, from := t.TempDir(), goCommand(t, nil, "env", "GOMODCACHE")
	for _, name := range []string{"golang.org", "cache/download/golang.org/toolchain", "cache/download/sumdb"} {
		if err := os.MkdirAll(filepath.Join(cache, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if name != "golang.org" {
			if err := os.Symlink(filepath.Join(from, name), filepath.Join(cache, name)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.Mkdir(filepath.Join(cache, name), 0o755); err != nil {
			t.Fatal(err)
		}
		releases, err := filepath.Glob(filepath.Join(from, "golang.org/toolchain@*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, release := range releases {
			if err := os.Symlink(release, filepath.Join(cache, name, filepath.Base(release))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cache
}

// unpackable checks owners, order, times and what has no business in the tarball, and returns the names.
func unpackable(t *testing.T, data []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if !z.ModTime.IsZero() || z.Name != "" {
		t.Errorf("gzip's head has a time or a name: %v %q", z.ModTime, z.Name)
	}
	var names []string
	times := map[int64]bool{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		times[h.ModTime.Unix()] = true
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Mode&0o022 != 0 {
			t.Errorf("%s belongs to %d:%d (%q), mode %o", h.Name, h.Uid, h.Gid, h.Uname, h.Mode)
		}
		rest, ok := strings.CutPrefix(h.Name, "tegra-ota-0.1.0/")
		if !ok || strings.HasPrefix(rest, "yocto") || strings.HasPrefix(rest, ".git/") || strings.HasPrefix(rest, "build") {
			t.Errorf("%s has no business there", h.Name)
		}
	}
	if len(times) != 1 || !slices.Contains(names, "tegra-ota-0.1.0/vendor/modules.txt") {
		t.Errorf("%d times, %d files", len(times), len(names))
	}
	return names
}

// TestRecipeHasItsChecksum: the tarball of the commit that the recipe names has the checksum that the recipe names. Both change together,
// in a commit of its own after the change: yocto/ is not in the tarball.
func TestRecipeHasItsChecksum(t *testing.T) {
	commit := load(t, "recipes-bsp/tegra-ota/tegra-ota_git.bb").get("SRCREV")
	want := load(t, "recipes-bsp/tegra-ota/tegra-ota_0.1.0.bb").get("SRC_URI[sha256sum]")
	if out, err := run(t, nil, "git", "-C", "..", "cat-file", "-e", commit); err != nil {
		t.Fatalf("commit %s, of which the recipe has the checksum, is not in this clone; it needs the whole history: %s", commit, out)
	}
	path := filepath.Join(t.TempDir(), "dist.tar.gz")
	if err := os.WriteFile(path, dist(t, "022", "UTC", commit), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := strings.Cut(must(t, nil, "sha256sum", path), " "); got != want {
		t.Errorf("the tarball of %s has the checksum %s, the recipe says %s", commit, got, want)
	}
}
