package virtual_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// sgdisk is the judge of the partition table; without it the test fails, for nothing else would notice a bad table.
func TestPartitionTable(t *testing.T) {
	for _, size := range []int64{64 << 10, 64 << 20} {
		o := create(t, virtual.CreateOptions{AppSize: size})
		disk := filepath.Join(o.Dir(), "dev/nvme0n1")
		out, err := exec.Command("sgdisk", "-v", disk).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "No problems found") {
			t.Fatalf("sgdisk -v: %v\n%s", err, out)
		}
		out, err = exec.Command("sgdisk", "-p", disk).CombinedOutput()
		if err != nil {
			t.Fatalf("sgdisk -p: %v\n%s", err, out)
		}
		var got []string
		for _, line := range strings.Split(string(out), "\n") {
			if f := strings.Fields(line); len(f) == 7 && len(f[0]) == 1 {
				got = append(got, f[0]+" "+f[5]+" "+f[6])
			}
		}
		want := []string{"1 8300 APP", "2 8300 APP_b", "3 8300 A_kernel", "4 8300 A_kernel-dtb", "5 8300 B_kernel", "6 8300 B_kernel-dtb", "7 EF00 esp", "8 8300 UDA"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("partitions of a disk with %d bytes of APP (-want +got):\n%s", size, diff)
		}
		out, err = exec.Command("sgdisk", "-i", "7", disk).CombinedOutput()
		id, _ := o.PARTUUID("esp")
		if err != nil || !strings.Contains(string(out), strings.ToUpper(id.String())) {
			t.Errorf("sgdisk -i 7: %v, want GUID %s\n%s", err, id, out)
		}
	}
}

func TestPartitionNodes(t *testing.T) {
	o := create(t, virtual.CreateOptions{AppSize: 1 << 20})
	for number, label := range map[string]string{"1": "APP", "2": "APP_b", "3": "A_kernel", "4": "A_kernel-dtb", "5": "B_kernel", "6": "B_kernel-dtb", "7": "esp", "8": "UDA"} {
		id, _ := o.PARTUUID(label)
		for _, link := range []string{"by-partlabel/" + label, "by-partuuid/" + id.String()} {
			target, err := os.Readlink(filepath.Join(o.Dir(), "dev/disk", link))
			if want := "../../nvme0n1p" + number; err != nil || target != want {
				t.Errorf("%s leads to %q, %v, want %s", link, target, err, want)
			}
		}
		dir := "sys/class/block/nvme0n1p" + number + "/"
		want := "MAJOR=259\nMINOR=" + number + "\nDEVNAME=nvme0n1p" + number + "\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=" + number + "\nPARTNAME=" + label + "\nPARTUUID=" + id.String() + "\n"
		if got := read(t, o, dir+"uevent"); got != want {
			t.Errorf("%suevent = %q, want %q", dir, got, want)
		}
		if got := read(t, o, dir+"partition"); got != number+"\n" {
			t.Errorf("%spartition = %q", dir, got)
		}
		info, err := os.Stat(filepath.Join(o.Dir(), "dev/disk/by-partlabel", label))
		if err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v", label, err)
		} else if label == "APP" && info.Size() != 1<<20 {
			t.Errorf("APP has %d bytes", info.Size())
		}
	}
}

func TestFreshDevice(t *testing.T) {
	o := create(t, small())
	for path, want := range map[string]string{
		"sys/firmware/efi/esrt/entries/entry0/fw_class":                    "bf0d4599-20d4-414e-b2c5-3595b1cda402\n",
		"sys/firmware/efi/esrt/entries/entry0/fw_type":                     "1\n",
		"sys/firmware/efi/esrt/entries/entry0/fw_version":                  "2360320\n",
		"sys/firmware/efi/esrt/entries/entry0/lowest_supported_fw_version": "2360320\n",
		"sys/firmware/efi/esrt/entries/entry0/capsule_flags":               "0x0\n",
		"sys/firmware/efi/esrt/entries/entry0/last_attempt_version":        "0\n",
		"sys/firmware/efi/esrt/entries/entry0/last_attempt_status":         "0\n",
		pmc + "rootfs_sr_magic":                                            "0xface\n",
		pmc + "rootfs_current":                                             "0x0\n",
		pmc + "rootfs_retry_count_a":                                       "0x3\n",
		pmc + "rootfs_retry_count_b":                                       "0x3\n",
		pmc + "boot_chain_status_a":                                        "0x0\n",
		pmc + "boot_chain_status_b":                                        "0x0\n",
		pmc + "boot_chain_current":                                         "0x0\n",
		"proc/device-tree/model":                                           "NVIDIA Jetson Orin Nano Developer Kit\x00",
		"proc/device-tree/compatible":                                      "nvidia,p3768-0000+p3767-0005\x00nvidia,p3767-0005\x00nvidia,tegra234\x00",
		"etc/nv_boot_control.conf": "TNSPEC 3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-\nCOMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-\n" +
			"TEGRA_BOOT_STORAGE nvme0n1\nTEGRA_CHIPID 0x23\nTEGRA_OTA_BOOT_DEVICE /dev/mtdblock0\nTEGRA_OTA_GPT_DEVICE /dev/mtdblock0\n",
		"sys/firmware/efi/efivars/BootChainFwCurrent-" + public:      "\x06\x00\x00\x00\x00\x00\x00\x00",
		"sys/firmware/efi/efivars/BootChainOsCurrent-" + public:      "\x06\x00\x00\x00\x00\x00\x00\x00",
		"sys/firmware/efi/efivars/RootfsStatusSlotA-" + public:       "\x07\x00\x00\x00\x00\x00\x00\x00",
		"sys/firmware/efi/efivars/RootfsStatusSlotB-" + public:       "\x07\x00\x00\x00\x00\x00\x00\x00",
		"sys/firmware/efi/efivars/RootfsRetryCountMax-" + public:     "\x06\x00\x00\x00\x03\x00\x00\x00",
		"sys/firmware/efi/efivars/RootfsRedundancyLevel-" + public:   "\x06\x00\x00\x00\x01\x00\x00\x00",
		"sys/firmware/efi/efivars/SystemFwVersions-" + public:        "\x06\x00\x00\x00\x00\x04\x24\x00\x00\x04\x24\x00",
		"sys/firmware/efi/efivars/TegraPlatformSpec-" + public:       "\x07\x00\x00\x003767-300-0005-K.2-1-0-jetson-orin-nano-devkit-",
		"sys/firmware/efi/efivars/TegraPlatformCompatSpec-" + public: "\x07\x00\x00\x003767--0005--1--jetson-orin-nano-devkit-",
		"sys/firmware/efi/efivars/OsIndicationsSupported-" + global:  "\x06\x00\x00\x00\x4f\x00\x00\x00\x00\x00\x00\x00",
		"sys/firmware/efi/efivars/BootCurrent-" + global:             "\x06\x00\x00\x00\x01\x00",
		"sys/firmware/efi/efivars/BootOrder-" + global:               "\x07\x00\x00\x00\x01\x00",
	} {
		if got := read(t, o, path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"boot/efi/EFI/UpdateCapsule", "sys/firmware/efi/efivars/BootNext-" + global, "sys/firmware/efi/efivars/OsIndications-" + global} {
		if _, err := os.Lstat(filepath.Join(o.Dir(), path)); err == nil {
			t.Errorf("%s exists", path)
		}
	}
	for _, s := range []virtual.Slot{virtual.A, virtual.B} {
		if c, err := o.Chain(s); err != nil || !c.Whole || !c.Startable || c.VersionText != "36.4.0" {
			t.Errorf("Chain(%s) = %+v, %v", s, c, err)
		}
	}
}

// The load option must lead to the ESP by its GUID, for that is how a client finds the disk that was booted.
func TestLoadOption(t *testing.T) {
	o := create(t, small())
	raw := []byte(read(t, o, "sys/firmware/efi/efivars/Boot0001-"+global))[4:]
	at := 6
	for binary.LittleEndian.Uint16(raw[at:]) != 0 {
		at += 2
	}
	path := raw[at+2:]
	if n := int(binary.LittleEndian.Uint16(raw[4:])); n != len(path) {
		t.Fatalf("device path of %d bytes, the option says %d", len(path), n)
	}
	id, _ := o.PARTUUID("esp")
	if path[0] != 4 || path[1] != 1 || path[2] != 42 || path[4] != 7 || path[40] != 2 || path[41] != 2 || !bytes.Equal(path[24:40], id[:]) {
		t.Errorf("hard drive node % x, want partition 7 with GUID %s", path[:42], id)
	}
	if path[42] != 4 || path[43] != 4 {
		t.Errorf("second node is of type %d.%d, want a file path", path[42], path[43])
	}
	end := 42 + int(binary.LittleEndian.Uint16(path[44:]))
	if !bytes.Equal(path[end:], []byte{0x7f, 0xff, 4, 0}) {
		t.Errorf("device path ends with % x", path[end:])
	}
}

func TestMountinfo(t *testing.T) {
	o := create(t, small())
	text := read(t, o, "proc/self/mountinfo")
	for _, want := range []string{
		" / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw\n",
		" / /boot/efi rw,relatime shared:7 - vfat /dev/nvme0n1p7 rw,",
		" / /data rw,relatime shared:8 - ext4 /dev/nvme0n1p8 rw\n",
		" - efivarfs efivarfs rw\n", " - proc proc rw\n", " - sysfs sysfs rw\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("mountinfo lacks %q:\n%s", want, text)
		}
	}
}

// Every module's compatibility spec is what meta-tegra's rule makes of its spec, and its capsule spec fits it.
func TestModules(t *testing.T) {
	for _, name := range virtual.Modules() {
		if !strings.HasPrefix(name, "p37") {
			continue // T186 and T194 have tests of their own
		}
		t.Run(name, func(t *testing.T) {
			opts := small()
			opts.Module = name
			o := create(t, opts)
			spec := read(t, o, "sys/firmware/efi/efivars/TegraPlatformSpec-"+public)[4:]
			compat := read(t, o, "sys/firmware/efi/efivars/TegraPlatformCompatSpec-"+public)[4:]
			if want, err := bup.CompatSpec(spec); err != nil || compat != want {
				t.Errorf("compat spec %q, want %q (%v)", compat, want, err)
			}
			own, err := virtual.CapsuleSpec(name)
			if err != nil {
				t.Fatal(err)
			}
			arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3", Specs: []string{own}}))
			if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" || r.Capsule.Status != 0 {
				t.Errorf("a capsule for %s ends in %s, status %d", own, where(r), r.Capsule.Status)
			}
		})
	}
}

func TestCreateRefuses(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		dir  string
		opts virtual.CreateOptions
		want fail.Code
	}{
		{"module", t.TempDir(), virtual.CreateOptions{Module: "p3448-0000"}, fail.Usage},
		{"version", t.TempDir(), virtual.CreateOptions{L4T: "new"}, fail.Usage},
		{"lowest", t.TempDir(), virtual.CreateOptions{Lowest: "old"}, fail.Usage},
		{"redundancy", t.TempDir(), virtual.CreateOptions{Redundancy: "2"}, fail.Usage},
		{"size", t.TempDir(), virtual.CreateOptions{AppSize: 1000}, fail.Usage},
		{"not empty", full, virtual.CreateOptions{}, fail.Unavailable},
	} {
		if _, err := virtual.Create(c.dir, c.opts); fail.CodeOf(err) != c.want {
			t.Errorf("%s: Create = %v, want code %v", c.name, err, c.want)
		}
	}
	if _, err := virtual.Open(t.TempDir()); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("Open of an empty folder = %v", err)
	}
}

func TestOldReleases(t *testing.T) {
	opts := small()
	opts.L4T = "35.5.0"
	o := create(t, opts)
	if got := read(t, o, "sys/devices/platform/c360000.pmc/rootfs_sr_magic"); got != "0xface\n" {
		t.Errorf("rootfs_sr_magic = %q", got)
	}
	for _, path := range []string{"sys/devices/platform/bus@0", "sys/firmware/efi/efivars/SystemFwVersions-" + public} {
		if _, err := os.Lstat(filepath.Join(o.Dir(), path)); err == nil {
			t.Errorf("%s exists with L4T 35.5.0", path)
		}
	}
	arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"}))
	if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" {
		t.Errorf("35.5.0 to 36.4.3: %s", where(r))
	}
	if got := words(t, o, "BootChainFwCurrent"); got != "1" {
		t.Errorf("BootChainFwCurrent = %s", got)
	}
	read(t, o, "sys/firmware/efi/efivars/SystemFwVersions-"+public)
}

// snapshot reads a whole folder; of the large disk files the size counts.
func snapshot(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			all[rel], err = os.Readlink(path)
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() > 32<<20 {
			all[rel] = fmt.Sprint(info.Size())
			return nil
		}
		raw, err := os.ReadFile(path)
		all[rel] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDeterminism(t *testing.T) {
	raw := capsuleOf(t, virtual.CapsuleOptions{L4T: "36.4.3"})
	run := func() (map[string]string, []virtual.BootReport) {
		o := create(t, small())
		arm(t, o, raw)
		reports := []virtual.BootReport{boot(t, o, virtual.BootOptions{CutAt: 20}), boot(t, o, virtual.BootOptions{Cold: true}), boot(t, o, virtual.BootOptions{})}
		return snapshot(t, o.Dir()), reports
	}
	firstTree, firstReports := run()
	secondTree, secondReports := run()
	if diff := cmp.Diff(firstReports, secondReports); diff != "" {
		t.Errorf("two runs report differently:\n%s", diff)
	}
	if diff := cmp.Diff(firstTree, secondTree); diff != "" {
		t.Errorf("two runs leave different devices:\n%s", diff)
	}
}

func TestClone(t *testing.T) {
	o := create(t, virtual.CreateOptions{AppSize: 16 << 20})
	app, err := os.OpenFile(filepath.Join(o.Dir(), "dev/nvme0n1p2"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.WriteAt([]byte("in the middle"), 8<<20); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	c := clone(t, o)
	if diff := cmp.Diff(snapshot(t, o.Dir()), snapshot(t, c.Dir())); diff != "" {
		t.Errorf("the clone differs:\n%s", diff)
	}
	if !strings.Contains(read(t, c, "dev/nvme0n1p2"), "in the middle") {
		t.Error("the clone lost what was written to a sparse partition")
	}
	set32(t, c, "BootChainFwNext", 1)
	if got := words(t, o, "BootChainFwNext"); got != "-" {
		t.Error("a change of the clone reached the original")
	}
	put(t, c, "data/more", "x")
	if err := os.Remove(filepath.Join(c.Dir(), "qspi/B/mb1")); err != nil {
		t.Fatal(err)
	}
	app, err = os.OpenFile(filepath.Join(c.Dir(), "dev/nvme0n1p2"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.WriteAt([]byte("elsewhere"), 1<<20); err != nil {
		t.Fatal(err)
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.CopyFrom(o); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(snapshot(t, o.Dir()), snapshot(t, c.Dir())); diff != "" {
		t.Errorf("the clone differs after CopyFrom:\n%s", diff)
	}
	if _, err := virtual.Clone(o.Dir(), c.Dir()); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("Clone into a device = %v", err)
	}
}
