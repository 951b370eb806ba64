package device_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Lines as proc(5) describes them: optional fields (none, one, two), escaped names, a bind mount, a mount that covers another.
const mountinfo = `24 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
25 24 0:5 / /dev rw,nosuid - devtmpfs devtmpfs rw,size=4k
30 24 259:7 / /boot/efi rw,relatime shared:2 master:1 - vfat /dev/nvme0n1p7 rw,fmask=0022
31 24 259:15 / /data ro,relatime - ext4 /dev/nvme0n1p15 rw
32 24 259:15 /a\040b /mnt/with\040blank\134and\011tab rw - ext4 /dev/nvme0n1p15 ro
33 24 0:40 / /empty rw - tmpfs  rw
34 24 259:16 / /data rw,relatime - ext4 /dev/nvme0n1p16 rw
35 24 0:41 / /mnt/nbsp` + "\u00a0" + `x rw - tmpfs - rw
a line that is none
36 24 x:y / /odd\9 rw - tmpfs \04
`

func TestMounts(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/proc/self/mountinfo", mountinfo)
	m := device.New(root)
	got, err := m.Mounts()
	must(t, err)
	want := []device.Mount{
		{Point: "/", Root: "/", Type: "ext4", Source: "/dev/root", Major: 259, Minor: 1},
		{Point: "/dev", Root: "/", Type: "devtmpfs", Source: "devtmpfs", Minor: 5},
		{Point: "/boot/efi", Root: "/", Type: "vfat", Source: "/dev/nvme0n1p7", Major: 259, Minor: 7},
		{Point: "/data", Root: "/", Type: "ext4", Source: "/dev/nvme0n1p15", ReadOnly: true, Major: 259, Minor: 15},
		{Point: "/mnt/with blank\\and\ttab", Root: "/a b", Type: "ext4", Source: "/dev/nvme0n1p15", ReadOnly: true, Major: 259, Minor: 15},
		{Point: "/empty", Root: "/", Type: "tmpfs", Minor: 40},
		{Point: "/data", Root: "/", Type: "ext4", Source: "/dev/nvme0n1p16", Major: 259, Minor: 16},
		{Point: "/mnt/nbsp\u00a0x", Root: "/", Type: "tmpfs", Source: "-", Minor: 41},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for path, source := range map[string]string{
		"/":               "/dev/root",
		"/boot":           "/dev/root",
		"/boot/efi":       "/dev/nvme0n1p7",
		"/boot/efi/EFI/x": "/dev/nvme0n1p7",
		"/boot/efix":      "/dev/root",
		"/data/x/":        "/dev/nvme0n1p16",
		"/data/../dev/x":  "devtmpfs",
	} {
		mt, found, err := m.MountOf(path)
		if err != nil || !found || mt.Source != source {
			t.Errorf("%s: %q, %v, %v; want %q", path, mt.Source, found, err, source)
		}
	}
}

func TestMountsWithoutProc(t *testing.T) {
	m := device.New(t.TempDir())
	if _, err := m.Mounts(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := m.MountOf("/"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestMountsOfThisSystem(t *testing.T) {
	mt, found, err := device.New("/").MountOf("/proc/self")
	if err != nil || !found || mt.Type != "proc" || mt.Point != "/proc" {
		t.Errorf("%+v, %v, %v", mt, found, err)
	}
}
