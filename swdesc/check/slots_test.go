package check_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/check"
)

// What an entry that every device takes may name.
func TestFixedSlot(t *testing.T) {
	for _, c := range []struct {
		attributes string
		fixed      bool
	}{
		{`device = "/dev/nvme0n1p1";`, true},
		{`device = "/dev/mmcblk0p12";`, true},
		{`device = "/dev/sda2";`, true},
		{`device = "/dev/mtd3"; type = "flash";`, true},
		{`device = "/dev/disk/by-partlabel/APP";`, true},
		{`device = "/dev/disk/by-partlabel/APP_b";`, true},
		{`device = "/dev/disk/by-partlabel/A_kernel";`, true},
		{`device = "/dev/disk/by-partlabel/B_kernel-dtb";`, true},
		{`device = "/dev/disk/by-partlabel/kernel_b";`, true},
		{`device = "PARTLABEL=APP";`, true},
		{`device = "/dev/disk/by-label/rootfs-b";`, true},
		{`device = "/dev/disk/by-partuuid/8b0e1bc1-1f4c-4a3d-9a1c-000000000001";`, true},
		{`device = "/dev/disk/by-uuid/8b0e1bc1-1f4c-4a3d-9a1c-000000000001";`, true},
		{`device = "/dev/disk/by-id/nvme-SAMSUNG-part1";`, true},
		{`device = "/dev/mapper/vg0-rootfs_a";`, true},
		{`volume = "rootfs_b"; device = "mtd1"; type = "ubivol";`, true},
		{`volume = "APP"; device = "/dev/nvme0n1"; type = "gptpart";`, true},
		{`mtdname = "A_cpu-bootloader"; type = "flash";`, true},
		{`type = "archive"; path = "/"; filesystem = "ext4"; device = "/dev/nvme0n1p2";`, true},
		{`type = "archive"; path = "/"; properties: { partition = "APP_b"; };`, true},
		{`type = "archive"; path = "/"; properties: { device = "/dev/nvme0n1p1"; };`, true},
		{`type = "rawfile"; path = "/dev/nvme0n1p1";`, true},

		{`volume = "kernel"; device = "mtd1"; type = "ubivol";`, false},
		{`mtdname = "kernel"; type = "flash";`, false},
		{`device = "/dev/nvme0n1"; offset = "8M";`, true},
		{`device = "/dev/ubi0_2";`, true},
		{`device = "/dev/dm-1";`, true},
		{`device = "/dev/block/179:2";`, true},
		{`device = "//dev/sda2";`, true},
		{`device = "/dev/sda2 ";`, true},
		{`device = "/dev/disk/by-partlabel/../../mmcblk0p1";`, true},
		{`device = "/dev/nvme0n1"; type = "swuforward";`, false},
		{`device = "/dev/disk/by-partlabel/esp";`, false},
		{`device = "/dev/disk/by-partlabel/UDA";`, false},
		{`device = "/dev/disk/by-partlabel/data";`, false},
		{`device = "/dev/disk/by-label/home";`, false},
		{`device = "/dev/mapper/data";`, false},
		{`device = "/dev/mapper/kernel";`, false},
		{`device = "/dev/mmcblk0boot0";`, false},
		{`device = "/dev/null";`, false},
		{`volume = "data"; device = "mtd1"; type = "ubivol";`, false},
		{`type = "rawfile"; path = "/etc/APP";`, false},
		{`type = "archive"; path = "/"; properties: { partition = "data"; };`, false},
	} {
		r := rule{name: c.attributes, src: software("images: ( " + entry("a", c.attributes) + " );")}
		if c.fixed {
			r.want, r.says = []string{"error fixed-slot"}, "half the fleet"
		}
		r.run(t)
	}
}

func TestSelections(t *testing.T) {
	to := func(device string) string {
		return fmt.Sprintf("images: ( %s );", entry("a", `type = "raw"; device = "`+device+`";`))
	}
	set := func(modes ...string) string {
		s := ""
		for i, m := range modes {
			s += fmt.Sprintf("m%d: { %s }; ", i, m)
		}
		return "system: { " + s + "};"
	}
	const p1, p2, p3 = "/dev/nvme0n1p1", "/dev/nvme0n1p2", "/dev/nvme0n1p3"
	app, appB := to("/dev/disk/by-partlabel/APP"), to("/dev/disk/by-partlabel/APP_b")
	for _, r := range []rule{
		{name: "one per slot", src: software(set(to(p1), to(p2)))},
		{name: "one per slot, by label", src: software(set(app, appB))},
		{name: "one per slot, of a board", src: software(`orin: { ` + set(app, appB) + ` };`)},
		{name: "one per slot, behind links", src: software(`a: ( ` + entry("a", `device = "`+p1+`";`) + ` ); b: ( ` +
			entry("a", `device = "`+p2+`";`) + ` );` +
			set(`images: { ref = "#../../a"; };`, `images: { ref = "#../../b"; };`))},
		{name: "by a hook", src: software(`embedded-script = "function pick(i) end"; images: ( ` +
			entry("a", `device = "`+p1+`"; hook = "pick";`) + ` );`)},
		{name: "of a board only", src: software(`orin: { ` + to(p1) + ` };`), want: []string{"error fixed-slot"}},
		{name: "selections, and a list that devices without one take", src: software(set(to(p1), to(p2)) + to(p1)),
			want: []string{"error fixed-slot"}},
		{name: "a list that every selection takes", src: software(set(`scripts: ( `+entry("s", `type = "shellscript";`)+` );`) + to(p1)),
			want: []string{"error fixed-slot"}},
		{name: "one selection", src: software(set(to(p1))), want: []string{"warning fixed-slot"}, says: "software.system.m0"},
		{name: "one selection of two partitions",
			src:  software(set(`images: ( ` + entry("a", `device = "`+p1+`";`) + `, ` + entry("b", `device = "`+p3+`";`) + ` );`)),
			want: []string{"warning fixed-slot"}},
		{name: "twice the same", src: software(set(to(p1), to(p1))), want: []string{"warning fixed-slot"}},
		{name: "twice the same label", src: software(set(app, app)), want: []string{"error fixed-slot"}},
		{name: "another label", src: software(set(app, to("/dev/disk/by-partlabel/B_kernel"))), want: []string{"warning fixed-slot"}},
		{name: "in two sets", src: software(set(app) + `other: { m: { ` + appB + ` }; };`), want: []string{"warning fixed-slot"}},
		{name: "tegra-image finds the slot", src: software(`images: ( ` + rootfs(``) + ` ); scripts: ( ` + activateEntry + ` );`)},
	} {
		r.run(t)
	}
}

// Selections that all write the same slot are no selections, whether each says so or they share a list.
func TestSameSlotInAllSelections(t *testing.T) {
	a, b := `device = "/dev/disk/by-partlabel/rootfs_a";`, `device = "/dev/disk/by-partlabel/rootfs_b";`
	selections := func(one, two string) string {
		return fmt.Sprintf("stable: { copy1: { images: ( %s ); }; copy2: { images: ( %s ); }; };", entry("x", one), entry("x", two))
	}
	shared := `stable: { copy1: { images: { ref = "#../../both"; }; }; copy2: { images: { ref = "#../../both"; }; }; }; both: ( ` + entry("x", a) + ` );`
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"each its own":   {selections(a, b), nil},
		"both the same":  {selections(a, a), []string{"error fixed-slot", "error fixed-slot"}},
		"a shared list":  {shared, []string{"error fixed-slot"}},
		"only one there": {"stable: { copy1: { images: ( " + entry("x", a) + " ); }; };", []string{"warning fixed-slot"}},
	} {
		list, err := check.Description("f", []byte(software(tt.body)), signed)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range list {
			if p.Check == "fixed-slot" {
				got = append(got, string(p.Severity)+" "+p.Check)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nin full:%s", name, diff, lines(list))
		}
	}
}
