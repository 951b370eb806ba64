package rauc_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

func TestDescribeNamesTheBoard(t *testing.T) {
	const (
		variables = "sys/firmware/efi/efivars"
		conf      = "etc/nv_boot_control.conf"
		compat    = variables + "/TegraPlatformCompatSpec-781e084c-a330-417c-b678-38e696380cb9"
	)
	for _, tt := range []describeCase{
		{name: "no variables", change: func(d described) { d.remove(variables) }},
		{name: "no file of NVIDIA's", change: func(d described) { d.remove(conf) }},
		{
			name: "sources that differ", change: func(d described) { d.replace(conf, "nano-devkit", "nx-devkit") },
			warnings: []string{"is jetson-orin-nano-devkit, from TegraPlatformCompatSpec, although COMPATIBLE_SPEC says jetson-orin-nx-devkit"},
		},
		{
			name: "a variable that cannot be read", change: func(d described) {
				d.remove(compat)
				d.put(compat+"/x", "")
			},
			warnings: []string{"compatible is jetson-orin-nano-devkit, from COMPATIBLE_SPEC: .*TegraPlatformCompatSpec"},
		},
		{
			name: "TNSPEC alone, with a boot device", change: func(d described) {
				d.remove(variables)
				d.put(conf, "TNSPEC 3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-super-mmcblk0p1\n")
			},
			differs: rauc.SystemConf{Compatible: "jetson-agx-orin-devkit-super"},
		},
	} {
		t.Run(tt.name, tt.run)
	}
	for _, spec := range []string{
		"", "-------", "3767--0005--1--", "3767--0005--1---", "jetson-orin-nano-devkit", "3767-300-0005-K.2-1-0-jetson",
	} {
		t.Run("a specification "+spec, refusedCase{want: "say it by --compatible NAME", change: func(d described) {
			d.remove(variables)
			d.put(conf, "TNSPEC "+spec+"\nCOMPATIBLE_SPEC "+spec+"\n")
		}}.run)
	}
}

func TestDescribeKnowsTheFileSystems(t *testing.T) {
	noData := rauc.SystemConf{DataDirectory: "-"}
	for _, tt := range []describeCase{
		{
			name: "no /data", change: func(d described) { d.replace(confMounts, " /data ", " /elsewhere ") }, differs: noData,
			warnings: []string{"there is no data-directory, .*: /data/rauc is on the root file system"},
		},
		{
			name:    "/data is a folder of the root file system",
			change:  func(d described) { d.replace(confMounts, "259:8 / /data", "259:1 /data /data") },
			differs: noData, warnings: []string{"/data/rauc is on the root file system"},
		},
		{
			name: "/data in memory", change: func(d described) { d.replace(confMounts, "- ext4 /dev/nvme0n1p8", "- tmpfs tmpfs") },
			differs: noData, warnings: []string{"/data/rauc is on tmpfs, which does not survive a reboot"},
		},
		{
			name: "/data read-only", change: func(d described) { d.replace(confMounts, "/data rw", "/data ro") },
			differs: noData, warnings: []string{"is mounted read-only"},
		},
		{
			name:    "a read-only root file system",
			change:  func(d described) { d.replace(confMounts, "- ext4 /dev/nvme0n1p1", "- squashfs /dev/nvme0n1p1") },
			differs: rauc.SystemConf{RootfsType: "raw"}, warnings: []string{"the root file system is squashfs"},
		},
		{
			name: "dm-verity", change: func(d described) {
				d.runsFrom("/dev/dm-0")
				d.put("dev/dm-0", "")
				d.put(confUevents+"dm-0/slaves/nvme0n1p1/uevent", "")
			},
			differs: rauc.SystemConf{RootfsType: "raw"}, warnings: []string{"the root file system lies on /dev/dm-0"},
		},
		{
			name: "a handler is missing", change: func(d described) { d.remove("usr/libexec/tegra-ota/tegra-rauc-system-info") },
			warnings: []string{"not in /usr/libexec/tegra-ota yet: tegra-rauc-system-info$"},
		},
	} {
		t.Run(tt.name, tt.run)
	}
}

func TestDescribeTakesWhatIsGiven(t *testing.T) {
	d := newDescribed(t)
	d.remove("sys/firmware/efi/efivars")
	d.remove("etc/nv_boot_control.conf")
	d.replace(confMounts, "- ext4 /dev/nvme0n1p1", "- squashfs /dev/nvme0n1p1")
	given := rauc.SystemConf{Compatible: "acme", DataDirectory: "/var/lib/rauc", Keyring: "/k", Libexec: "/opt/x", RootfsType: "ext4"}
	names := config.RAUC{Bootnames: []string{"slot0", "slot1"}, Slots: []string{"system.0", "system.1"}}
	got, warnings, err := rauc.Describe(device.New(d.dir), names, given)
	if err != nil {
		t.Fatal(err)
	}
	want := given
	want.Slots = [2]rauc.SystemSlot{
		{Name: "system.0", Bootname: "slot0", Device: "/dev/disk/by-partlabel/APP", Why: got.Slots[0].Why},
		{Name: "system.1", Bootname: "slot1", Device: "/dev/disk/by-partlabel/APP_b", Why: got.Slots[1].Why},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	sameWarnings(t, warnings, []string{
		"the data-directory may get lost: /var/lib/rauc is on the root file system",
		"not in /opt/x yet: tegra-boot-handler, tegra-rauc-pre-install, tegra-rauc-post-install, tegra-rauc-system-info",
	})
}

func TestDescribeRefusesNamesOfTheOtherSlot(t *testing.T) {
	names := config.RAUC{Bootnames: []string{"B", "A"}, Slots: []string{"rootfs.0", "rootfs.1"}}
	_, _, err := rauc.Describe(device.New(newDescribed(t).dir), names, givenConf())
	if fail.CodeOf(err) != fail.Usage || !strings.Contains(err.Error(), "it also means slot B") {
		t.Error(err)
	}
}
