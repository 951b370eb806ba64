package rootfs_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
	"pgregory.net/rapid"
)

// texts are the findings without their next steps.
func texts(list problem.List) []string {
	var out []string
	for _, p := range list {
		p.NextStep = ""
		out = append(out, p.String())
	}
	return out
}

func TestCheckRelease(t *testing.T) {
	for _, tt := range []struct{ image, line, firmware, want string }{
		{"36.4.3", "", "36.4.3", ""},
		{"36.4.3", "", "", ""},
		{"", "", "", ""},
		{"36.4.3", "", "35.5.0", "error (l4t-release): /etc/nv_tegra_release: the root file system is of L4T 36.4.3, the firmware of 35.5.0"},
		{"36.4.0", "", "36.3.0", "error (l4t-release): /etc/nv_tegra_release: the root file system is of L4T 36.4.0, the firmware of 36.3.0"},
		{"36.4.7", "", "36.4.4", "warning (l4t-release): /etc/nv_tegra_release: the root file system is of L4T 36.4.7, the firmware of 36.4.4"},
		{"", "", "36.4.4", "warning (l4t-release): /etc/nv_tegra_release: the root file system has no /etc/nv_tegra_release: " +
			"whether it belongs to firmware 36.4.4 cannot be told"},
		{"", "R\x1bX", "36.4.4", `warning (l4t-release): /etc/nv_tegra_release: /etc/nv_tegra_release names no L4T version: "R\x1bX"`},
	} {
		img := &rootfs.Image{L4TLine: tt.line}
		if tt.image != "" {
			img.L4T = version(tt.image)
		}
		var got string
		if tt.firmware == "" {
			got = strings.Join(texts(rootfs.CheckRelease(img, nil)), "\n")
		} else {
			got = strings.Join(texts(rootfs.CheckRelease(img, version(tt.firmware))), "\n")
		}
		if got != tt.want {
			t.Errorf("%s and %s:\n got %s\nwant %s", tt.image, tt.firmware, got, tt.want)
		}
	}
}

func TestCheckKernel(t *testing.T) {
	const a, b = "5.15.148-tegra", "5.15.136-tegra"
	named := []rootfs.Entry{{Label: "x", Linux: "/boot/Image", Default: true}}
	other := []rootfs.Entry{{Label: "x", Linux: "/boot/Image"}, {Label: "y", Default: true}}
	absent := func(what, release, there string) string {
		return "error (kernel-modules): " + what + " is " + release + ", but the image has no /lib/modules/" + release + ": " + there
	}
	inImage := "/boot/Image: the image's kernel /boot/Image"
	const noKernel = "warning (kernel-modules): there is no kernel in the image and none in the update: " +
		"whether the modules fit the one on the device cannot be told"
	const lost = "warning (kernel-modules): /boot/extlinux/extlinux.conf: " +
		"the kernel that /boot/extlinux/extlinux.conf names is not in the image: /boot/Image"
	const silent = "warning (kernel-modules): /boot/Image: " +
		"the kernel /boot/Image does not tell its release: whether its modules are there cannot be told"
	but := func(there ...string) string { return "there are those of " + strings.Join(there, ", ") }
	for name, tt := range map[string]struct {
		modules  []string
		kernel   string // in the image; "-" if there is none
		extlinux []rootfs.Entry
		update   string
		want     []string
	}{
		"all fits":                      {[]string{a}, a, named, "", nil},
		"all fits twice":                {[]string{a}, a, named, a, nil},
		"several":                       {[]string{b, a}, a, named, b, nil},
		"image's kernel without":        {[]string{b}, a, named, "", []string{absent(inImage, a, but(b))}},
		"no modules":                    {nil, a, nil, "", []string{absent(inImage, a, "there are no modules at all")}},
		"update's kernel without":       {[]string{b, "x"}, "-", nil, a, []string{absent("the update's kernel", a, but(b, "x"))}},
		"both the same without":         {nil, a, named, a, []string{absent("the update's kernel", a, "there are no modules at all")}},
		"named one boots first":         {[]string{b}, a, named, b, []string{absent(inImage, a, but(b))}},
		"unnamed one does not boot":     {[]string{b}, a, nil, b, nil},
		"named by another label":        {[]string{b}, a, other, b, nil},
		"no kernel":                     {[]string{b}, "-", nil, "", []string{noKernel}},
		"no kernel, but an update's":    {[]string{b}, "-", nil, b, nil},
		"named one is missing":          {[]string{b}, "-", named, b, []string{lost}},
		"does not tell":                 {[]string{b}, "", nil, "", []string{silent}},
		"does not tell, does not boot":  {[]string{b}, "", nil, b, nil},
		"part of a name is not a match": {[]string{a + "+", "5.15.148"}, a, nil, "", []string{absent(inImage, a, but(a+"+", "5.15.148"))}},
	} {
		img := &rootfs.Image{Modules: tt.modules, KernelPath: "/boot/Image", Extlinux: tt.extlinux}
		if img.KernelFound = tt.kernel != "-"; img.KernelFound {
			img.Kernel = tt.kernel
		}
		if diff := cmp.Diff(tt.want, texts(rootfs.CheckKernel(img, tt.update))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCheckExtlinux(t *testing.T) {
	const one, both, unknown = "is one slot's partition", "comes with the image", "of a form that swdesc does not know"
	for root, want := range map[string]string{
		"": "", "/dev/ram0": "", "/dev/mapper/vroot": "", "/dev/dm-0": "",
		"PARTUUID=9d4f3bcf-0bd3-4d25-ae2c-1105fbc02a98": one, "PARTUUID=9d4f3bcf/PARTNROFF=1": one, "partuuid=1": one,
		"PARTLABEL=APP": one, "PARTLABEL=APP_b": one, "PARTLABEL=A_APP": one, "/dev/disk/by-partlabel/APP": one, "/dev/disk/by-partuuid/1": one,
		"/dev/disk/by-path/platform-14160000.pcie-part1": one, "/dev/disk/by-id/nvme-x-part1": one, "/dev/disk/by-partlabel/a=b": one,
		"/dev/nvme0n1p1": one, "/dev/nvme0n1": one, "/dev/mmcblk0p1": one, "/dev/mmcblk1p2": one, "/dev/sda1": one, "/dev/vda": one,
		"179:1": one, "b301": one, "10301": one,
		"UUID=36b7c5f0-5d63-4a1f-9b42-1d5e9b2b8c11": both, "LABEL=rootfs": both, "/dev/disk/by-uuid/1": both, "/dev/disk/by-label/rootfs": both,
		"gpt-auto": unknown, "${rootdev}": unknown, "/dev/disk/by-slot/active": unknown, "/dev/root": unknown, "nfs": unknown, "x=y": unknown,
		"/dev/mapperx": unknown, "zz/dev/sda1": unknown,
	} {
		list := rootfs.CheckExtlinux(&rootfs.Image{Extlinux: []rootfs.Entry{{Label: "primary", Root: root, Line: 7}}})
		if want == "" && len(list) == 0 {
			continue
		}
		severity := problem.Error
		if want == unknown {
			severity = problem.Warning
		}
		if len(list) != 1 || want == "" {
			t.Errorf("root=%s: %+v, want %q", root, list, want)
			continue
		}
		p := list[0]
		if !strings.HasPrefix(p.Reason, "root="+root+" of label \"primary\" ") || !strings.Contains(p.Reason, want) || p.NextStep == "" ||
			p.Severity != severity || p.Check != "extlinux-root" || p.Where != "/boot/extlinux/extlinux.conf:7" {
			t.Errorf("root=%s: %+v, want %q", root, p, want)
		}
	}
	// Each label counts, and what the image says does not act on the terminal.
	list := rootfs.CheckExtlinux(&rootfs.Image{Extlinux: []rootfs.Entry{
		{Root: "LABEL=\x1b[2J"}, {Label: "ok"}, {Label: "\x1b", Root: "/dev/sda1", Default: true}}})
	if len(list) != 2 || strings.ContainsRune(list[0].String()+list[1].String(), 0x1b) {
		t.Errorf("%q", texts(list))
	}
}

// Whatever the value is, there is at most one finding, on one line.
func TestCheckExtlinuxOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root := rapid.String().Draw(t, "root")
		list := rootfs.CheckExtlinux(&rootfs.Image{Extlinux: []rootfs.Entry{{Label: root, Root: root}}})
		if len(list) > 1 || len(list) == 1 && (strings.ContainsAny(list[0].Reason, "\n\r\x1b") || len(list[0].Reason) > 1500) {
			t.Fatalf("%q", texts(list))
		}
	})
}
