package virtual_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

const xavierNX, xavierAGX, tx2 = "p3668-0001", "p2888-0001", "p3310-1000"

// jetPack4 is a JetPack 4 device whose partitions cost nothing.
func jetPack4(module string) virtual.CreateOptions {
	opts := small()
	opts.Module, opts.L4T = module, "32.7.5"
	return opts
}

// slots is the slot metadata in short: priority, retries and + for success of A and B.
func slots(t testing.TB, o *virtual.Orin) string {
	t.Helper()
	m, err := o.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, s := range m.Slots {
		mark := "-"
		if s.Successful {
			mark = "+"
		}
		words = append(words, fmt.Sprintf("%d/%d%s", s.Priority, s.Retry, mark))
	}
	return strings.Join(words, " ")
}

func machineOf(o *virtual.Orin) *device.Machine { return device.New(o.Dir()) }

func TestJetPack4DeviceHasWhatItsReleaseHas(t *testing.T) {
	for _, tt := range []struct{ module, chip, boot, gpt, spec string }{
		{xavierNX, "T194", "/dev/mtdblock0", "/dev/mtdblock0", "3668-200-0001-G.0-1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1"},
		{xavierAGX, "T194", "/dev/mmcblk0boot0", "/dev/mmcblk0boot1", "2888-400-0001-E.0-1-2-jetson-agx-xavier-devkit-mmcblk0p1"},
		{tx2, "T186", "/dev/mmcblk0boot0", "/dev/mmcblk0boot1", "3310-B02-1000-E.0-1-0-jetson-tx2-devkit-mmcblk0p1"},
	} {
		o := create(t, jetPack4(tt.module))
		m := machineOf(o)
		if c, err := chip.Detect(m); err != nil || c.Name != tt.chip {
			t.Errorf("%s: chip %s, %v", tt.module, c.Name, err)
		}
		conf := chip.BootControl(m)
		if conf["TNSPEC"] != tt.spec || conf["TEGRA_OTA_BOOT_DEVICE"] != tt.boot || conf["TEGRA_OTA_GPT_DEVICE"] != tt.gpt {
			t.Errorf("%s: configuration %v", tt.module, conf)
		}
		var labels []string
		entries, err := m.ReadDir("/dev/disk/by-partlabel")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			labels = append(labels, e.Name())
		}
		if d := cmp.Diff(strings.Fields("APP APP_b SMD SMD_b UDA kernel kernel-dtb kernel-dtb_b kernel_b"), labels); d != "" {
			t.Errorf("%s: %s", tt.module, d)
		}
		for _, path := range []string{"/sys/firmware/efi", "/boot/efi", "/qspi/BR-BCT"} {
			if m.Exists(path) {
				t.Errorf("%s has %s", tt.module, path)
			}
		}
		if text := read(t, o, "proc/self/mountinfo"); strings.Contains(text, "efi") || !strings.Contains(text, " /data rw,relatime ") ||
			!strings.Contains(text, " 179:1 / / rw,relatime shared:1 - ext4 /dev/mmcblk0p1 rw\n") {
			t.Errorf("%s: mountinfo\n%s", tt.module, text)
		}
		if line := read(t, o, "etc/nv_tegra_release"); !strings.HasPrefix(line, "# R32 (release), REVISION: 7.5, GCID: ") {
			t.Errorf("%s: release %q", tt.module, line)
		}
		if s, err := o.Status(); err != nil || !s.Chains[virtual.A].Whole || !s.Chains[virtual.B].Whole || s.Active != virtual.A {
			t.Errorf("%s: status %+v, %v", tt.module, s, err)
		}
	}
}

// The model has its own codec; what it writes is what the client's reads.
func TestSlotMetadataIsReadable(t *testing.T) {
	for _, tt := range []struct {
		l4t        string
		redundancy virtual.Redundancy
		version    uint8
		flags      smd.Flags
		slots      uint16
	}{
		{"32.3.1", virtual.RootfsAB, 3, smd.Bootloader | smd.User, 2},
		{"32.4.4", virtual.RootfsAB, 4, smd.Bootloader | smd.User, 2},
		{"32.6.1", virtual.RootfsAB, 5, smd.Bootloader | smd.User | smd.Rootfs | smd.Unified, 2},
		{"32.7.5", virtual.RootfsOnly, 5, smd.Bootloader | smd.Rootfs, 2},
		{"32.7.5", virtual.BootOnly, 5, smd.Bootloader, 2},
		{"32.7.5", virtual.NoVariables, 5, 0, 1},
	} {
		opts := jetPack4(xavierNX)
		opts.L4T, opts.Redundancy = tt.l4t, tt.redundancy
		o := create(t, opts)
		got, from, err := smd.Read(machineOf(o))
		if err != nil || from != "/dev/disk/by-partlabel/SMD" {
			t.Fatalf("%s, redundancy %s: from %s, %v", tt.l4t, tt.redundancy, from, err)
		}
		if got.Version != tt.version || got.Flags != tt.flags || got.MaxSlots != tt.slots || (got.Extension != nil) != (tt.version > 3) ||
			got.Slots[0] != (smd.Slot{Priority: 15, Suffix: "_a", Retry: 7, Successful: true}) {
			t.Errorf("%s, redundancy %s: %+v", tt.l4t, tt.redundancy, got)
		}
	}
}

func TestCreateRefusesReleasesThatAChipNeverHad(t *testing.T) {
	for _, tt := range []struct {
		module, l4t string
		redundancy  virtual.Redundancy
	}{
		{tx2, "35.4.1", ""}, {tx2, "", ""}, {xavierNX, "36.4.0", ""}, {xavierAGX, "34.1.1", ""}, {"p3767-0005", "32.7.5", ""},
		{"p3767-0005", "36.4.0", virtual.RootfsOnly}, {xavierNX, "32.3.1", virtual.RootfsOnly},
	} {
		_, err := virtual.Create(filepath.Join(t.TempDir(), "x"), virtual.CreateOptions{Module: tt.module, L4T: tt.l4t, Redundancy: tt.redundancy})
		if fail.CodeOf(err) != fail.Usage {
			t.Errorf("%s with %s %s: %v", tt.module, tt.l4t, tt.redundancy, err)
		}
	}
}

// Xavier with R35 has UEFI: a capsule of its chip goes the way that it goes on Orin.
func TestXavierTakesACapsuleWithR35(t *testing.T) {
	for _, module := range []string{xavierNX, xavierAGX} {
		opts := small()
		opts.Module, opts.L4T = module, "35.4.1"
		o := create(t, opts)
		if c, err := chip.Detect(machineOf(o)); err != nil || c.Name != "T194" {
			t.Fatalf("%s: %v", module, err)
		}
		if _, err := os.Stat(filepath.Join(o.Dir(), "dev/disk/by-partlabel/kernel_b")); err != nil {
			t.Error(err)
		}
		arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "35.6.0"}))
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" || r.Capsule.Processed {
			t.Errorf("%s takes Orin's capsule: %s", module, where(r))
		}
		arm(t, o, capsuleOf(t, virtual.CapsuleOptions{L4T: "35.6.0", ImageType: "be3f5d68-7654-4ed2-838c-2a2faf901a78"}))
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" || r.Capsule.Status != 0 {
			t.Errorf("%s: %s, status %d\n%s", module, where(r), r.Capsule.Status, strings.Join(r.Timeline, "\n"))
		}
		damaged := o.PartitionPath(virtual.B, "mb2")
		if err := os.WriteFile(damaged, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if c, err := o.Chain(virtual.B); err != nil || len(c.Problems) != 1 || c.Problems[0] != "mb2_b: it is erased" {
			t.Errorf("%s: %v, %v", module, c.Problems, err)
		}
	}
}
