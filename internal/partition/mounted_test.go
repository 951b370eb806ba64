package partition_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// mounts writes a mountinfo of "SOURCE POINT TYPE" lines.
func mounts(t *testing.T, m *device.Machine, lines ...string) {
	t.Helper()
	var b strings.Builder
	for _, l := range lines {
		f := strings.Split(l, " ")
		b.WriteString("24 1 259:1 / " + f[1] + " rw,relatime - " + f[2] + " " + f[0] + " rw\n")
	}
	write(t, m, "/proc/self/mountinfo", b.String())
}

// mapper puts a device mapper's device upon a partition.
func mapper(t *testing.T, m *device.Machine, name string, below ...string) {
	t.Helper()
	write(t, m, "/dev/"+name, "")
	for _, b := range below {
		must(t, os.MkdirAll(m.Path("/sys/class/block/"+name+"/slaves/"+b), 0o755))
	}
}

func TestMountedAt(t *testing.T) {
	tests := []struct {
		name    string
		mounts  []string
		cmdline string
		change  func(m *device.Machine)
		want    []string
	}{
		{name: "not mounted", mounts: []string{"/dev/nvme0n1p1 / ext4", "tmpfs /tmp tmpfs", "none /none tmpfs"}},
		{name: "by the kernel's name", mounts: []string{"/dev/nvme0n1p2 / ext4"}, want: []string{"/"}},
		{name: "by label", mounts: []string{"/dev/disk/by-partlabel/APP_b /mnt ext4"}, want: []string{"/mnt"}},
		{name: "by GUID, twice", mounts: []string{"/dev/disk/by-partuuid/" + uuidB + " /mnt ext4", "/dev/nvme0n1p2 /mnt/b ext4"}, want: []string{"/mnt", "/mnt/b"}},
		{name: "another partition with a longer name", mounts: []string{"/dev/nvme0n1p21 / ext4"}},
		{name: "/dev/root by PARTUUID", mounts: []string{"/dev/root / ext4"}, cmdline: "a root=PARTUUID=" + strings.ToUpper(uuidB) + " b", want: []string{"/"}},
		{name: "/dev/root by PARTLABEL", mounts: []string{"/dev/root / ext4"}, cmdline: "root=PARTLABEL=APP_b", want: []string{"/"}},
		{name: "/dev/root by name", mounts: []string{"/dev/root / ext4"}, cmdline: "root=/dev/nvme0n1p2", want: []string{"/"}},
		{name: "/dev/root is the other", mounts: []string{"/dev/root / ext4"}, cmdline: "root=/dev/nvme0n1p1"},
		{name: "the last root= counts", mounts: []string{"/dev/root / ext4"}, cmdline: "root=/dev/nvme0n1p1 root=/dev/nvme0n1p2", want: []string{"/"}},
		{name: "below a device mapper", mounts: []string{"/dev/mapper/rootfs / ext4"}, want: []string{"/"}, change: func(m *device.Machine) {
			mapper(t, m, "dm-0", "nvme0n1p1", "nvme0n1p2")
			link(t, m, "../dm-0", "/dev/mapper/rootfs")
		}},
		{name: "below two device mappers", mounts: []string{"/dev/dm-1 / ext4"}, want: []string{"/"}, change: func(m *device.Machine) {
			mapper(t, m, "dm-1", "dm-0")
			mapper(t, m, "dm-0", "nvme0n1p2")
		}},
		{name: "device mappers in a circle", mounts: []string{"/dev/dm-1 / ext4"}, change: func(m *device.Machine) {
			mapper(t, m, "dm-1", "dm-0")
			mapper(t, m, "dm-0", "dm-1")
		}},
		{name: "a label that leads to the host", mounts: []string{"/dev/nvme0n1p2 / ext4"}, want: []string{"/"}, change: func(m *device.Machine) {
			must(t, os.Remove(m.Path("/dev/disk/by-partlabel/APP_b")))
			link(t, m, "/dev/null", "/dev/disk/by-partlabel/APP_b")
		}},
		{name: "mounted by the host's name", mounts: []string{"/dev/null / ext4"}, want: []string{"/"}, change: func(m *device.Machine) {
			must(t, os.Remove(m.Path("/dev/disk/by-partlabel/APP_b")))
			link(t, m, "/dev/null", "/dev/disk/by-partlabel/APP_b")
			link(t, m, "/dev/null", "/dev/null")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := orin(t)
			mounts(t, m, tt.mounts...)
			write(t, m, "/proc/cmdline", tt.cmdline+"\n")
			if tt.change != nil {
				tt.change(m)
			}
			p, err := partition.Find(m, "APP_b")
			must(t, err)
			got, err := partition.MountedAt(m, p)
			must(t, err)
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// What cannot be told is an error: "not mounted" would let the running slot be written.
func TestMountedAtRefusesToGuess(t *testing.T) {
	m := orin(t)
	p, err := partition.Find(m, "APP_b")
	must(t, err)
	if _, err := partition.MountedAt(m, p); fail.CodeOf(err) != fail.IO {
		t.Errorf("no mountinfo: %v", err)
	}
	mounts(t, m, "/dev/root / ext4")
	for _, cmdline := range []string{"", "root=", "root=PARTUUID=00000000-0000-0000-0000-000000000000", "root=PARTLABEL=none", "root=/nfs", "root=UUID=0", "root=254:1"} {
		write(t, m, "/proc/cmdline", cmdline)
		if points, err := partition.MountedAt(m, p); fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("%q: %v, %v", cmdline, points, err)
		}
	}
}

func TestRoot(t *testing.T) {
	tests := []struct {
		name    string
		mounts  []string
		cmdline string
		want    string
	}{
		{"plain", []string{"/dev/nvme0n1p1 / ext4", "/dev/nvme0n1p2 /mnt ext4"}, "", "/dev/nvme0n1p1"},
		{"of two the later", []string{"rootfs / rootfs", "/dev/nvme0n1p2 / ext4"}, "", "/dev/nvme0n1p2"},
		{"a link", []string{"/dev/disk/by-partlabel/APP_b / ext4"}, "", "/dev/nvme0n1p2"},
		{"/dev/root", []string{"/dev/root / ext4"}, "root=PARTLABEL=APP", "/dev/nvme0n1p1"},
		{"/dev/root by GUID without sysfs's help", []string{"/dev/root / ext4"}, "root=PARTUUID=cccccccc-0000-4000-8000-000000000002", "/dev/nvme0n1p2"},
		{"/dev/root by file system", []string{"/dev/root / ext4"}, "root=UUID=0123", "/dev/nvme0n1p2"},
		{"an overlay", []string{"overlay / overlay"}, "root=/dev/disk/by-partlabel/APP_b", "/dev/nvme0n1p2"},
		{"dm-crypt", []string{"/dev/dm-0 / ext4"}, "", "/dev/nvme0n1p2"},
		{"dm-verity with hashes elsewhere", []string{"/dev/dm-1 / ext4"}, "", "/dev/dm-1"},
		{"a device that is gone", []string{"/dev/sda1 / ext4"}, "", "/dev/sda1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := orin(t)
			link(t, m, "../../nvme0n1p2", "/dev/disk/by-partuuid/cccccccc-0000-4000-8000-000000000002")
			link(t, m, "../../nvme0n1p2", "/dev/disk/by-uuid/0123")
			mapper(t, m, "dm-0", "nvme0n1p2")
			mapper(t, m, "dm-1", "nvme0n1p1", "nvme0n1p2")
			mounts(t, m, tt.mounts...)
			write(t, m, "/proc/cmdline", tt.cmdline+"\n")
			got, err := partition.Root(m)
			if err != nil || got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	m := orin(t)
	mounts(t, m, "/dev/nvme0n1p1 /mnt ext4")
	if _, err := partition.Root(m); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("no root: %v", err)
	}
	mounts(t, m, "overlay / overlay")
	if _, err := partition.Root(m); err == nil || fail.CodeOf(err) == fail.Internal {
		t.Errorf("no command line: %v", err)
	}
}
