package partition_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, m *device.Machine, path, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(m.Path(path)), 0o755))
	must(t, os.WriteFile(m.Path(path), []byte(content), 0o644))
}

func link(t *testing.T, m *device.Machine, target, path string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(m.Path(path)), 0o755))
	must(t, os.Symlink(target, m.Path(path)))
}

const (
	uuidA = "aaaaaaaa-0000-4000-8000-000000000001"
	uuidB = "aaaaaaaa-0000-4000-8000-000000000002"
)

func uevent(dev string, n int, label, uuid string) string {
	s := fmt.Sprintf("MAJOR=259\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=%d\nPARTNAME=%s\n", n, dev, n, label)
	if uuid != "" {
		s += "PARTUUID=" + uuid + "\n"
	}
	return s
}

// orin makes a folder with two partitions in a flat sysfs, as stand-ins have it.
func orin(t *testing.T) *device.Machine {
	t.Helper()
	m := device.New(t.TempDir())
	write(t, m, "/sys/class/block/nvme0n1/uevent", "DEVNAME=nvme0n1\nDEVTYPE=disk\nPARTNAME=APP\n")
	for n, p := range map[int][2]string{1: {"APP", uuidA}, 2: {"APP_b", uuidB}} {
		name := fmt.Sprintf("nvme0n1p%d", n)
		write(t, m, "/dev/"+name, p[0])
		write(t, m, "/sys/class/block/"+name+"/uevent", uevent(name, n, p[0], p[1]))
		link(t, m, "../../"+name, "/dev/disk/by-partlabel/"+p[0])
		link(t, m, "../../"+name, "/dev/disk/by-partuuid/"+p[1])
	}
	return m
}

func host(t *testing.T, m *device.Machine, path string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(m.Root())
	must(t, err)
	return filepath.Join(root, path)
}

func appB(t *testing.T, m *device.Machine) partition.Partition {
	return partition.Partition{
		Label: "APP_b", Device: "/dev/nvme0n1p2", Node: "/dev/disk/by-partlabel/APP_b", Host: host(t, m, "/dev/nvme0n1p2"),
		UUID: uuidB, Disk: "/dev/nvme0n1", Number: 2,
	}
}

func TestFind(t *testing.T) {
	tests := []struct {
		name   string
		change func(m *device.Machine)
		want   func(p *partition.Partition, m *device.Machine)
	}{
		{"as it is", func(*device.Machine) {}, func(*partition.Partition, *device.Machine) {}},
		{"upper-case GUID", func(m *device.Machine) {
			write(t, m, "/sys/class/block/nvme0n1p2/uevent", uevent("nvme0n1p2", 2, "APP_b", strings.ToUpper(uuidB)))
		}, func(*partition.Partition, *device.Machine) {}},
		{"a kernel that tells no PARTUUID", func(m *device.Machine) {
			write(t, m, "/sys/class/block/nvme0n1p2/uevent", uevent("nvme0n1p2", 2, "APP_b", ""))
		}, func(*partition.Partition, *device.Machine) {}},
		{"nor udev", func(m *device.Machine) {
			write(t, m, "/sys/class/block/nvme0n1p2/uevent", uevent("nvme0n1p2", 2, "APP_b", ""))
			must(t, os.RemoveAll(m.Path("/dev/disk/by-partuuid")))
		}, func(p *partition.Partition, _ *device.Machine) { p.UUID = "" }},
		{"no links (an initramfs)", func(m *device.Machine) { must(t, os.RemoveAll(m.Path("/dev/disk"))) },
			func(p *partition.Partition, _ *device.Machine) { p.Node = p.Device }},
		{"a link to the host", func(m *device.Machine) {
			must(t, os.Remove(m.Path("/dev/disk/by-partlabel/APP_b")))
			link(t, m, "/dev/null", "/dev/disk/by-partlabel/APP_b")
		}, func(p *partition.Partition, _ *device.Machine) { p.Host = "/dev/null" }},
		{"a file by label", func(m *device.Machine) {
			must(t, os.Remove(m.Path("/dev/disk/by-partlabel/APP_b")))
			write(t, m, "/dev/disk/by-partlabel/APP_b", "")
		}, func(p *partition.Partition, m *device.Machine) { p.Host = host(t, m, p.Node) }},
		{"a file by label without sysfs", func(m *device.Machine) {
			must(t, os.RemoveAll(m.Path("/sys")))
			must(t, os.Remove(m.Path("/dev/disk/by-partlabel/APP_b")))
			write(t, m, "/dev/disk/by-partlabel/APP_b", "")
		}, func(p *partition.Partition, m *device.Machine) {
			*p = partition.Partition{Label: p.Label, Device: p.Node, Node: p.Node, Host: host(t, m, p.Node)}
		}},
		{"links without sysfs", func(m *device.Machine) { must(t, os.RemoveAll(m.Path("/sys"))) },
			func(p *partition.Partition, m *device.Machine) { p.Device, p.Disk, p.Number = p.Node, "", 0 }},
		{"the kernel's own sysfs, whose entries are links", func(m *device.Machine) {
			must(t, os.MkdirAll(m.Path("/sys/devices/nvme0/mmc!strange"), 0o755))
			must(t, os.Rename(m.Path("/sys/class/block/nvme0n1p2"), m.Path("/sys/devices/nvme0/mmc!strange/nvme0n1p2")))
			link(t, m, "../../devices/nvme0/mmc!strange/nvme0n1p2", "/sys/class/block/nvme0n1p2")
		}, func(p *partition.Partition, _ *device.Machine) { p.Disk = "/dev/mmc/strange" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := orin(t)
			tt.change(m)
			want := appB(t, m)
			tt.want(&want, m)
			got, err := partition.Find(m, "APP_b")
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFindRefuses(t *testing.T) {
	m := orin(t)
	if _, err := partition.Find(m, "A_kernel"); !errors.Is(err, fs.ErrNotExist) || fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("absent: %v", err)
	}
	if _, err := partition.Find(m, ""); fail.CodeOf(err) != fail.Internal {
		t.Errorf("no label: %v", err)
	}
	if _, err := partition.Find(device.New(t.TempDir()), "APP"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	// A second disk, an SD card from flashing say, whose partitions have the same labels; udev's link shows only one of them.
	write(t, m, "/sys/class/block/mmcblk0p2/uevent", uevent("mmcblk0p2", 2, "APP_b", "bbbbbbbb-0000-4000-8000-000000000002"))
	_, err := partition.Find(m, "APP_b")
	if fail.CodeOf(err) != fail.Unavailable || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "/dev/mmcblk0p2 and /dev/nvme0n1p2") {
		t.Errorf("twice: %v", err)
	}
	must(t, os.Remove(m.Path("/dev/nvme0n1p1")))
	if _, err := partition.Find(m, "APP"); fail.CodeOf(err) != fail.Unavailable || fail.NextOf(err) == "" {
		t.Errorf("a dangling link: %v", err)
	}
}

func TestLabelsThatUdevEscapes(t *testing.T) {
	m := orin(t)
	label := `my "data"=ä/#`
	write(t, m, "/dev/nvme0n1p3", "")
	write(t, m, "/sys/class/block/nvme0n1p3/uevent", uevent("nvme0n1p3", 3, label, ""))
	link(t, m, "../../nvme0n1p3", `/dev/disk/by-partlabel/my\x20\x22data\x22=ä\x2f#`)
	p, err := partition.Find(m, label)
	must(t, err)
	if p.Node != `/dev/disk/by-partlabel/my\x20\x22data\x22=ä\x2f#` || p.Label != label {
		t.Errorf("%+v", p)
	}
}

func TestOfDevice(t *testing.T) {
	m := orin(t)
	link(t, m, "../nvme0n1p2", "/dev/other/name")
	for _, dev := range []string{"/dev/nvme0n1p2", "/dev/other/name", "/dev/disk/by-partlabel/APP_b", "/dev/disk/by-partuuid/" + uuidB} {
		p, err := partition.OfDevice(m, dev)
		must(t, err)
		if d := cmp.Diff(appB(t, m), p); d != "" {
			t.Errorf("%s: %s", dev, d)
		}
	}
	// The same label on another disk: the one link belongs to the NVMe's partition.
	write(t, m, "/dev/mmcblk0p2", "")
	write(t, m, "/sys/class/block/mmcblk0p2/uevent", uevent("mmcblk0p2", 2, "APP_b", "bbbbbbbb-0000-4000-8000-000000000002"))
	p, err := partition.OfDevice(m, "/dev/mmcblk0p2")
	must(t, err)
	if p.Node != "/dev/mmcblk0p2" || p.Host != host(t, m, "/dev/mmcblk0p2") || p.Disk != "/dev/mmcblk0" {
		t.Errorf("%+v", p)
	}
	write(t, m, "/dev/sda", "")
	for _, dev := range []string{"/dev/sda", "/dev/absent"} {
		if _, err := partition.OfDevice(m, dev); !errors.Is(err, fs.ErrNotExist) || fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("%s: %v", dev, err)
		}
	}
}

func TestDiskOfAPartition(t *testing.T) {
	for name, disk := range map[string]string{
		"mmcblk0p1": "/dev/mmcblk0", "nvme1n1p15": "/dev/nvme1n1", "sda1": "/dev/sda", "sdab12": "/dev/sdab", "vda3": "/dev/vda",
		"loop0p1": "/dev/loop0", "strange": "",
	} {
		m := device.New(t.TempDir())
		write(t, m, "/dev/"+name, "")
		write(t, m, "/sys/class/block/"+name+"/uevent", uevent(name, 1, "APP", ""))
		p, err := partition.Find(m, "APP")
		must(t, err)
		if p.Disk != disk {
			t.Errorf("%s: %q, want %q", name, p.Disk, disk)
		}
	}
}

// The kernel's word, on a real disk: a loop device that sgdisk laid out.
func TestFindOnTheRunningSystem(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk")
	must(t, os.WriteFile(image, make([]byte, 8<<20), 0o644))
	label := fmt.Sprintf("tegra-ota-test-%d", os.Getpid())
	run := func(args ...string) string {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("this test needs root, loop devices and sgdisk: %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	run("sgdisk", "--new=1:2048:4095", "--change-name=1:"+label, "--partition-guid=1:"+uuidA, image)
	dev := run("losetup", "--find", "--show", "--partscan", image)
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
	if _, err := os.Stat("/dev/" + filepath.Base(dev) + "p1"); err != nil {
		// Without a devtmpfs or udev (a container) nobody makes the node, and then a refusal that says so is right.
		_, err := partition.Find(device.New("/"), label)
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "/dev lacks") && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without a node: %v", err)
		}
		return
	}
	p, err := partition.Find(device.New("/"), label)
	must(t, err)
	if p.Device != dev+"p1" || p.Disk != dev || p.Number != 1 || p.UUID != "" && p.UUID != uuidA {
		t.Errorf("%+v", p)
	}
	if points, err := partition.MountedAt(device.New("/"), p); err != nil || len(points) != 0 {
		t.Errorf("%v, %v", points, err)
	}
}
