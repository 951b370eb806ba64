package nvidia_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/nvidia"
)

// What runs is an executable file of the device, and neither we ourselves nor one of the host.
func TestFind(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "tool")
	write(t, outside, 0o755)
	for _, tt := range []struct {
		name, configured, want string
		make                   func(root string)
	}{
		{"nothing", "", "", func(string) {}},
		{"usual", "", "/usr/sbin/tool", func(root string) { write(t, root+"/usr/sbin/tool", 0o755); write(t, root+"/bin/tool", 0o755) }},
		{"on the path", "", "/bin/tool", func(root string) { write(t, root+"/bin/tool", 0o755) }},
		{"not executable", "", "/bin/tool", func(root string) { write(t, root+"/usr/sbin/tool", 0o644); write(t, root+"/bin/tool", 0o755) }},
		{"a folder", "", "", func(root string) { write(t, root+"/usr/sbin/tool/x", 0o755) }},
		{"configured", "/opt/t", "/opt/t", func(root string) { write(t, root+"/usr/sbin/tool", 0o755); write(t, root+"/opt/t", 0o755) }},
		{"configured and missing", "/opt/t", "", func(root string) { write(t, root+"/usr/sbin/tool", 0o755) }},
		{"ourselves", "", "/bin/tool", func(root string) {
			link(t, self, root+"/usr/sbin/tool")
			write(t, root+"/bin/tool", 0o755)
		}},
		{"the host's", "", "", func(root string) { link(t, outside, root+"/usr/sbin/tool") }},
	} {
		root := t.TempDir()
		tt.make(root)
		if got := nvidia.Find(device.New(root), "tool", tt.configured); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// Also on the running system, where every link may be followed, a link to ourselves is not NVIDIA's.
func TestFindNeverNamesUs(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ours, other := filepath.Join(t.TempDir(), "tool"), filepath.Join(t.TempDir(), "tool")
	link(t, self, ours)
	write(t, other, 0o755)
	if got := nvidia.Find(device.New("/"), "tool", ours); got != "" {
		t.Errorf("found ourselves at %s", got)
	}
	if got := nvidia.Find(device.New("/"), "tool", other); got != other {
		t.Errorf("%q, want %q", got, other)
	}
}

func write(t *testing.T, host string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte("#!/bin/sh\n"), mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, host string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, host); err != nil {
		t.Fatal(err)
	}
}
