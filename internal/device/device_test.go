package device_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"golang.org/x/sys/unix"
)

func TestRoot(t *testing.T) {
	for in, want := range map[string]string{"": "/", "/": "/", "/x/": "/x", "/x/../y": "/y"} {
		m := device.New(in)
		if m.Root() != want || m.IsPrefixed() != (want != "/") {
			t.Errorf("%q: %q, %v", in, m.Root(), m.IsPrefixed())
		}
	}
	if got := device.New("/x").Path("/etc/../a"); got != "/x/a" {
		t.Error(got)
	}
	if got := device.New("/x").Path("/../../etc"); got != "/x/etc" {
		t.Error(got)
	}
}

func TestReading(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/sys/value", " 42\n")
	write(t, root, "/proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n")
	must(t, os.Symlink("absent", filepath.Join(root, "dangling")))
	m := device.New(root)
	if text, err := m.ReadText("/sys/value"); err != nil || text != "42" {
		t.Errorf("%q, %v", text, err)
	}
	if id, err := m.BootID(); err != nil || id != "11111111-2222-3333-4444-555555555555" {
		t.Errorf("%q, %v", id, err)
	}
	if !m.Exists("/sys/value") || !m.Exists("/dangling") || m.Exists("/absent") {
		t.Error("Exists")
	}
	if entries, err := m.ReadDir("/sys"); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if n, err := m.FreeBytes("/"); err != nil || n <= 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := m.FreeBytes("/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	write(t, root, "/proc/sys/kernel/random/boot_id", "\n")
	if _, err := m.BootID(); err == nil {
		t.Error("an empty boot identity was accepted")
	}
}

func TestResolve(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/dev/nvme0n1p2", "")
	must(t, os.MkdirAll(filepath.Join(root, "dev/disk/by-partlabel"), 0o755))
	link := func(target, name string) {
		must(t, os.Symlink(target, filepath.Join(root, "dev/disk/by-partlabel", name)))
	}
	link("../../nvme0n1p2", "APP_b")
	link("/dev/null", "host")
	link("gone", "dangling")
	m := device.New(root)
	real, err := filepath.EvalSymlinks(root)
	must(t, err)
	for name, want := range map[string]string{"APP_b": filepath.Join(real, "dev/nvme0n1p2"), "host": "/dev/null"} {
		if got, err := m.Resolve("/dev/disk/by-partlabel/" + name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if _, err := m.Resolve("/dev/disk/by-partlabel/dangling"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	m := device.New(root)
	must(t, m.MkdirAll("/a/b/", 0o755))
	must(t, m.MkdirAll("/a/b", 0o755))
	f, err := m.Create("/a/b/f", 0o600)
	must(t, err)
	for _, part := range []string{"one ", "two"} {
		_, err := f.Write([]byte(part))
		must(t, err)
	}
	must(t, f.Sync())
	f.DropCache()
	b := make([]byte, 3)
	if _, err := f.ReadAt(b, 4); err != nil || string(b) != "two" {
		t.Errorf("%q, %v", b, err)
	}
	must(t, f.Close())
	must(t, m.Rename("/a/b/f", "/a/g"))
	must(t, m.SyncDir("/a"))
	must(t, m.SyncFS("/a"))
	must(t, m.WriteAttribute("/a/g", "v"))
	must(t, m.ReplaceFile("/a/h", []byte("h"), 0o644))
	if d := cmp.Diff(map[string]string{"/a/g": "v", "/a/h": "h"}, tree(t, root)); d != "" {
		t.Error(d)
	}
	if err := m.MkdirAll("/a/g", 0o755); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file in a folder's place: %v", err)
	}
	if err := m.WriteAttribute("/a/absent", "v"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteAttribute made a file: %v", err)
	}
	must(t, os.Symlink("g", filepath.Join(root, "a/link")))
	if _, err := m.Create("/a/link", 0o644); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Create followed a link: %v", err)
	}
}

func TestVolatileFiles(t *testing.T) {
	root := t.TempDir()
	fault := &device.Fault{}
	m := device.New(root).WithFault(fault)
	must(t, m.ReplaceVolatile("/run/x/status", []byte("1"), 0o644))
	must(t, m.ReplaceVolatile("/run/x/status", []byte("2"), 0o644))
	if d := cmp.Diff(map[string]string{"/run/x/status": "2"}, tree(t, root)); d != "" {
		t.Error(d)
	}
	must(t, m.RemoveVolatile("/run/x/status"))
	must(t, m.RemoveVolatile("/run/x/status"))
	if fault.Count() != 0 {
		t.Errorf("%d changes counted", fault.Count())
	}
}
