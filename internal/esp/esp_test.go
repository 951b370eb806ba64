package esp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const (
	espUUID   = "aaaaaaaa-0000-4000-8000-000000000007"
	udaUUID   = "aaaaaaaa-0000-4000-8000-000000000008"
	stickUUID = "bbbbbbbb-0000-4000-8000-000000000001"
)

// fixture is a folder with an NVMe disk (partition 7: ESP, 8: basic data, 9: Linux) and a USB stick (partition 1: ESP).
type fixture struct {
	t      *testing.T
	m      *device.Machine
	mounts []string
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) write(path, content string) {
	f.t.Helper()
	must(f.t, os.MkdirAll(filepath.Dir(f.m.Path(path)), 0o755))
	must(f.t, os.WriteFile(f.m.Path(path), []byte(content), 0o644))
}

// part is a partition: its number, label, sgdisk's code of its type, and GUID.
type part struct {
	number            int
	label, code, uuid string
}

// images are the disks that sgdisk made, by name: it syncs the whole system each time, which takes a second.
var images = map[string][]byte{}

// disk makes a disk with sgdisk and its partitions in sysfs.
func (f *fixture) disk(name, infix string, parts ...part) {
	f.t.Helper()
	args := []string{"--set-alignment=1"}
	for _, p := range parts {
		args = append(args, fmt.Sprintf("--new=%d:%d:+100", p.number, 40+200*p.number), fmt.Sprintf("--change-name=%d:%s", p.number, p.label),
			fmt.Sprintf("--typecode=%d:%s", p.number, p.code), fmt.Sprintf("--partition-guid=%d:%s", p.number, p.uuid))
		dev := fmt.Sprintf("%s%s%d", name, infix, p.number)
		f.write("/dev/"+dev, "")
		f.write("/sys/class/block/"+dev+"/uevent", fmt.Sprintf("DEVNAME=%s\nDEVTYPE=partition\nPARTN=%d\nPARTNAME=%s\nPARTUUID=%s\n", dev, p.number, p.label, p.uuid))
	}
	host := f.m.Path("/dev/" + name)
	if image, ok := images[name]; ok {
		must(f.t, os.WriteFile(host, image, 0o644))
		return
	}
	must(f.t, os.WriteFile(host, make([]byte, 4<<20), 0o644))
	if out, err := exec.Command("sgdisk", append(args, host)...).CombinedOutput(); err != nil {
		f.t.Fatalf("this test needs sgdisk (package gdisk): %v: %s", err, out)
	}
	image, err := os.ReadFile(host)
	must(f.t, err)
	images[name] = image
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, m: device.New(t.TempDir())}
	f.disk("nvme0n1", "p", part{7, "esp", "ef00", espUUID}, part{8, "UDA", "0700", udaUUID}, part{9, "data", "8300", "aaaaaaaa-0000-4000-8000-000000000009"})
	f.disk("sda", "", part{1, "STICK", "ef00", stickUUID})
	must(t, os.MkdirAll(f.m.Path(efivarfs.Dir), 0o755))
	f.mount("/dev/nvme0n1p1", "/", "ext4", "rw")
	return f
}

func (f *fixture) mount(source, point, fstype, options string) {
	f.mounts = append(f.mounts, fmt.Sprintf("24 1 259:1 / %s %s,relatime - %s %s %s\n", point, options, fstype, source, options))
	f.write("/proc/self/mountinfo", strings.Join(f.mounts, ""))
}

func (f *fixture) variable(n efivarfs.Name, data []byte) {
	f.write(efivarfs.Dir+"/"+n.String(), "\x07\x00\x00\x00"+string(data))
}

// bootedFrom sets BootCurrent and an option with a hard drive node (UEFI specification 2.10, section 10.3.5.1).
func (f *fixture) bootedFrom(uuid string) {
	f.t.Helper()
	g, err := guid.Parse(uuid)
	must(f.t, err)
	node := []byte{4, 1, 42, 0}
	node = binary.LittleEndian.AppendUint32(node, 7)
	node = append(node, make([]byte, 16)...)
	node = append(append(node, g[:]...), 2, 2)
	f.option(append(node, 0x7f, 0xff, 4, 0))
}

func (f *fixture) option(path []byte) {
	f.variable(efivarfs.BootCurrent, []byte{1, 0})
	data := []byte{1, 0, 0, 0, byte(len(path)), 0, 'U', 0, 0, 0}
	f.variable(efivarfs.BootOption(1), append(data, path...))
}

func (f *fixture) find(opts esp.Options) (esp.ESP, error) {
	return esp.Find(f.m, efivarfs.New(f.m), opts)
}

func right(point string) esp.ESP {
	return esp.ESP{MountPoint: point, Device: "/dev/nvme0n1p7", Disk: "/dev/nvme0n1", UUID: espUUID, Label: "esp"}
}

func TestFind(t *testing.T) {
	stick := esp.ESP{MountPoint: "/media/stick", Device: "/dev/sda1", Disk: "/dev/sda", UUID: stickUUID, Label: "STICK"}
	tests := []struct {
		name  string
		setup func(f *fixture)
		opts  esp.Options
		want  esp.ESP
		note  string // a part of it
	}{
		{"stock", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw"); f.bootedFrom(espUUID) }, esp.Options{}, right("/boot/efi"), ""},
		{"older OE4T", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/opt/nvidia/esp", "vfat", "rw"); f.bootedFrom(espUUID) }, esp.Options{}, right("/opt/nvidia/esp"), ""},
		{"by a link", func(f *fixture) {
			must(f.t, os.MkdirAll(f.m.Path("/dev/disk/by-partlabel"), 0o755))
			must(f.t, os.Symlink("../../nvme0n1p7", f.m.Path("/dev/disk/by-partlabel/esp")))
			f.mount("/dev/disk/by-partlabel/esp", "/efi", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/efi"), ""},
		{"anywhere", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/mnt/x", "vfat", "rw"); f.bootedFrom(espUUID) }, esp.Options{}, right("/mnt/x"), ""},
		{"where the configuration says", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/mnt/x", "vfat", "rw"); f.bootedFrom(espUUID) }, esp.Options{MountPoint: "/mnt/x"}, right("/mnt/x"), ""},
		{"beside a stick", func(f *fixture) {
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/boot/efi"), ""},
		{"the stick, when it was booted", func(f *fixture) {
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.bootedFrom(stickUUID)
		}, esp.Options{}, stick, ""},
		{"beside a FAT of another type at /boot", func(f *fixture) {
			f.mount("/dev/nvme0n1p8", "/boot", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
		}, esp.Options{}, right("/boot/efi"), "no BootCurrent"},
		{"beside a FAT without a partition", func(f *fixture) {
			f.write("/dev/sdb", "")
			f.mount("/dev/sdb", "/media/camera", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
		}, esp.Options{}, right("/boot/efi"), "no BootCurrent"},
		{"mounted twice, once read-only", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "ro")
			f.mount("/dev/nvme0n1p7", "/mnt/x", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/mnt/x"), ""},
		{"mounted twice", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/mnt/x", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
		}, esp.Options{}, right("/boot/efi"), "no BootCurrent"},
		{"over another one", func(f *fixture) {
			f.mount("/dev/sda1", "/boot/efi", "vfat", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
		}, esp.Options{}, right("/boot/efi"), "no BootCurrent"},
		{"an automount that is mounted", func(f *fixture) {
			f.mount("systemd-1", "/boot/efi", "autofs", "rw")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/boot/efi"), ""},
		{"an option for the whole disk", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.option([]byte{3, 0x17, 16, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0x7f, 0xff, 4, 0})
		}, esp.Options{}, right("/boot/efi"), "Boot0001 (U), names no partition"},
		{"an option that is gone", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.variable(efivarfs.BootCurrent, []byte{3, 0})
		}, esp.Options{}, right("/boot/efi"), "Boot0003, no longer exists"},
		{"a damaged option", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.variable(efivarfs.BootCurrent, []byte{3, 0})
			f.variable(efivarfs.BootOption(3), []byte{1})
		}, esp.Options{}, right("/boot/efi"), "Boot0003: cannot parse load option"},
		{"a damaged BootCurrent", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.variable(efivarfs.BootCurrent, []byte{3})
		}, esp.Options{}, right("/boot/efi"), "1 bytes"},
		{"no variables at all", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			must(f.t, os.RemoveAll(f.m.Path("/sys/firmware")))
		}, esp.Options{}, right("/boot/efi"), "no BootCurrent"},
		{"a kernel that tells no PARTUUID", func(f *fixture) {
			f.write("/sys/class/block/nvme0n1p7/uevent", "DEVNAME=nvme0n1p7\nDEVTYPE=partition\nPARTN=7\nPARTNAME=esp\n")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/boot/efi"), ""},
		{"a damaged primary table", func(f *fixture) {
			host := f.m.Path("/dev/nvme0n1")
			b, err := os.ReadFile(host)
			must(f.t, err)
			b[600] ^= 1
			b[512] ^= 1
			must(f.t, os.WriteFile(host, b, 0o644))
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, right("/boot/efi"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			tt.setup(f)
			got, err := f.find(tt.opts)
			must(t, err)
			if (got.Note == "") != (tt.note == "") || !strings.Contains(got.Note, tt.note) {
				t.Errorf("note %q, want %q in it", got.Note, tt.note)
			}
			got.Note = ""
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFindRefuses(t *testing.T) {
	tests := []struct {
		name  string
		setup func(f *fixture)
		opts  esp.Options
		want  string // a part of the error
		next  string // a part of the next step
	}{
		{"not mounted", func(*fixture) {}, esp.Options{}, "no FAT file system is mounted at /boot/efi, /opt/nvidia/esp", "mount it at /boot/efi"},
		{"not where the configuration says", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw") }, esp.Options{MountPoint: "/esp"}, "mounted at /esp", "mount it at /esp"},
		{"no FAT where the configuration says", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/esp", "ext4", "rw") }, esp.Options{MountPoint: "/esp"}, "type ext4", "configured"},
		{"no FAT at all", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/boot/efi", "ext4", "rw") }, esp.Options{}, "no FAT file system", "mount it"},
		{"read-only", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "ro"); f.bootedFrom(espUUID) }, esp.Options{}, "read-only", "remount,rw /boot/efi"},
		{"read-only, and not verified", func(f *fixture) { f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "ro") }, esp.Options{}, "read-only", "fsck.vfat /dev/nvme0n1p7"},
		{"read-only beside a writable stick", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "ro")
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{}, "read-only", "/boot/efi"},
		{"covered", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.mount("tmpfs", "/boot/efi", "tmpfs", "rw")
		}, esp.Options{}, "no FAT file system", "mount it"},
		{"basic data", func(f *fixture) { f.mount("/dev/nvme0n1p8", "/boot/efi", "vfat", "rw") }, esp.Options{},
			"basic data, ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "sgdisk --typecode=8:ef00 /dev/nvme0n1"},
		{"basic data that the firmware booted", func(f *fixture) { f.mount("/dev/nvme0n1p8", "/boot/efi", "vfat", "rw"); f.bootedFrom(udaUUID) }, esp.Options{}, "basic data", "sgdisk"},
		{"Linux", func(f *fixture) { f.mount("/dev/nvme0n1p9", "/boot/efi", "vfat", "rw") }, esp.Options{}, "Linux file system", "typecode=9:ef00"},
		{"basic data anywhere else is no candidate", func(f *fixture) { f.mount("/dev/nvme0n1p8", "/mnt", "vfat", "rw") }, esp.Options{}, "no FAT file system", "mount it"},
		{"two, and nothing tells them apart", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
		}, esp.Options{}, "/boot/efi and /media/stick are mounted", "unmount"},
		{"two, one read-only, and nothing tells them apart", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "ro")
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
		}, esp.Options{}, "cannot tell which", "unmount"},
		{"not the one that was booted", func(f *fixture) { f.mount("/dev/sda1", "/boot/efi", "vfat", "rw"); f.bootedFrom(espUUID) }, esp.Options{}, "booted from partition " + espUUID, "mount the"},
		{"configured, but not the one that was booted", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
			f.bootedFrom(espUUID)
		}, esp.Options{MountPoint: "/media/stick"}, "booted from partition " + espUUID, "mount the"},
		{"a stick, while /boot/efi cannot be judged", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			f.mount("/dev/sda1", "/media/stick", "vfat", "rw")
			must(f.t, os.WriteFile(f.m.Path("/dev/nvme0n1"), make([]byte, 1<<20), 0o644))
		}, esp.Options{}, "cannot judge disk /dev/nvme0n1", ""},
		{"no table", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			must(f.t, os.WriteFile(f.m.Path("/dev/nvme0n1"), make([]byte, 1<<20), 0o644))
		}, esp.Options{}, "block 1 holds no header", ""},
		{"no disk", func(f *fixture) {
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
			must(f.t, os.Remove(f.m.Path("/dev/nvme0n1")))
		}, esp.Options{}, "cannot read the partition table of /dev/nvme0n1", ""},
		{"a table that was changed", func(f *fixture) {
			f.write("/sys/class/block/nvme0n1p7/uevent", "DEVNAME=nvme0n1p7\nDEVTYPE=partition\nPARTN=7\nPARTNAME=esp\nPARTUUID=cccccccc-0000-4000-8000-000000000007\n")
			f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
		}, esp.Options{}, "no entry has its GUID", "partprobe"},
		{"a bound folder of it", func(f *fixture) {
			f.write("/proc/self/mountinfo", "24 1 259:7 /EFI /boot/efi rw - vfat /dev/nvme0n1p7 rw\n")
		}, esp.Options{}, "no FAT file system", "mount it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			tt.setup(f)
			got, err := f.find(tt.opts)
			if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fail.NextOf(err), tt.next) {
				t.Errorf("%+v, %s: %v", got, fail.CodeOf(err), err)
			}
		})
	}
}

// Someone who may not read the disk is told so, not that there is no ESP.
func TestWithoutPrivilege(t *testing.T) {
	f := newFixture(t)
	f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
	must(t, os.Chmod(f.m.Path("/dev/nvme0n1"), 0))
	_, err := withoutCapabilities(t, func() (esp.ESP, error) { return f.find(esp.Options{}) })
	if fail.CodeOf(err) != fail.Permission || !strings.Contains(err.Error(), "cannot read the partition table of /dev/nvme0n1") {
		t.Error(err)
	}
}

func TestNoMountinfo(t *testing.T) {
	f := newFixture(t)
	must(t, os.Remove(f.m.Path("/proc/self/mountinfo")))
	if _, err := f.find(esp.Options{}); fail.CodeOf(err) != fail.IO {
		t.Error(err)
	}
}

// A disk with blocks of 4096 bytes: its table counts in them, and sysfs says so.
func TestBlocksOf4096Bytes(t *testing.T) {
	f := newFixture(t)
	host := f.m.Path("/dev/nvme0n1")
	small, err := os.ReadFile(host)
	must(t, err)
	b := make([]byte, len(small)*8)
	copy(b[4096:], small[512:604])
	copy(b[8192:], small[1024:1024+16384])
	must(t, os.WriteFile(host, b, 0o644))
	f.write("/sys/class/block/nvme0n1/queue/logical_block_size", "4096\n")
	f.mount("/dev/nvme0n1p7", "/boot/efi", "vfat", "rw")
	f.bootedFrom(espUUID)
	got, err := f.find(esp.Options{})
	must(t, err)
	if d := cmp.Diff(right("/boot/efi"), got); d != "" {
		t.Error(d)
	}
	if !bytes.Equal(b[4096:4104], []byte("EFI PART")) {
		t.Error("the test's own disk is wrong")
	}
}
