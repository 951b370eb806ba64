package rootfs_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

const releaseLine = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 01:49:37 UTC 2025"

// tree is what goes into an image: text, or a link's target behind "-> ", or a folder if the name ends with a slash.
type tree map[string]string

// mkfs makes an image of a real folder: what mke2fs read there is what Look has to find.
func mkfs(t *testing.T, files tree, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := dir + "/" + name
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(target, path))
		} else if !strings.HasSuffix(name, "/") {
			must(t, os.WriteFile(path, []byte(content), 0o644))
		}
	}
	img := filepath.Join(t.TempDir(), "root.img")
	args = append(append([]string{"-q", "-F", "-d", dir}, args...), img, "8M")
	if out, err := exec.Command("/usr/sbin/mke2fs", args...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs (package e2fsprogs): %v\n%s", err, out)
	}
	return img
}

// debugfs changes an image as mke2fs cannot.
func debugfs(t *testing.T, img, command string) {
	t.Helper()
	if out, err := exec.Command("/usr/sbin/debugfs", "-w", "-R", command, img).CombinedOutput(); err != nil {
		t.Fatalf("debugfs (package e2fsprogs): %v\n%s", err, out)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func look(t *testing.T, path string) *rootfs.Image {
	t.Helper()
	img, err := rootfs.Look(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func version(s string) *capsule.Version {
	v, err := capsule.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return &v
}

const conf = "TIMEOUT 30\nDEFAULT primary\nMENU TITLE L4T boot options\nLABEL primary\n      MENU LABEL primary kernel\n" +
	"      LINUX /boot/Image\n      INITRD /boot/initrd\n      APPEND ${cbootargs} root=PARTUUID=1234 rw rootwait\n"

var entry = rootfs.Entry{Label: "primary", Root: "PARTUUID=1234", Line: 8, Default: true, Linux: "/boot/Image"}

// stock is a whole small image, with a kernel of more than a pipe's buffer.
func stock() tree {
	return tree{
		"etc/nv_tegra_release":                   releaseLine + "\n# KERNEL_VARIANT: oot\n",
		"boot/extlinux/extlinux.conf":            conf,
		"boot/Image":                             string(image("5.15.148-tegra", 300<<10)),
		"lib/modules/5.15.148-tegra/modules.dep": "",
	}
}

func TestLook(t *testing.T) {
	whole := func() *rootfs.Image {
		return &rootfs.Image{L4T: version("36.4.3"), L4TLine: releaseLine, Modules: []string{"5.15.148-tegra"},
			Kernel: "5.15.148-tegra", KernelPath: "/boot/Image", KernelFound: true, Extlinux: []rootfs.Entry{entry}}
	}
	nothing := func() *rootfs.Image { return &rootfs.Image{KernelPath: "/boot/Image"} }
	long := strings.Repeat("a/../", 50) // a target that does not fit into an inode
	for name, tt := range map[string]struct {
		change tree
		gone   []string
		want   func() *rootfs.Image
		adjust func(*rootfs.Image)
	}{
		"plain": {want: whole},
		"usr-merged": {
			change: tree{"lib": "-> usr/lib", "usr/lib/modules/5.15.148-tegra/kernel/x.ko": ""},
			gone:   []string{"lib/modules/5.15.148-tegra/modules.dep"}, want: whole,
		},
		"absolute link to lib": {
			change: tree{"lib": "-> /usr/lib/", "usr/lib/modules/5.15.148-tegra/modules.dep": ""},
			gone:   []string{"lib/modules/5.15.148-tegra/modules.dep"}, want: whole,
		},
		"links": {
			change: tree{"boot/Image": "-> Image-5", "boot/Image-5": "-> /x/kernel", "x": "-> ./y/../y",
				"y/kernel": "-> ../" + long + "z", "a/": "",
				"z": string(image("5.15.148-tegra", 300<<10)), "etc/nv_tegra_release": "-> ../usr/share/r", "usr/share/r": "\n" + releaseLine},
			want: whole,
		},
		"link out of the image": {
			change: tree{"boot/Image": "-> ../../../../../../../../etc/hostname"}, want: whole,
			adjust: func(i *rootfs.Image) { i.Kernel, i.KernelFound = "", false },
		},
		"circles": {
			change: tree{"boot": "-> boot2", "boot2": "-> /boot", "lib/modules": "-> modules", "etc": "-> ."},
			gone:   []string{"boot/extlinux/extlinux.conf", "boot/Image", "lib/modules/5.15.148-tegra/modules.dep", "etc/nv_tegra_release"},
			want:   nothing,
		},
		"link that grows": {
			change: tree{"boot/Image": "-> Image/Image/Image/Image"}, want: whole,
			adjust: func(i *rootfs.Image) { i.Kernel, i.KernelFound = "", false },
		},
		"nothing": {
			gone: []string{"etc/nv_tegra_release", "boot/extlinux/extlinux.conf", "boot/Image", "lib/modules/5.15.148-tegra/modules.dep"},
			want: nothing,
		},
		"folders instead of files, files instead of folders": {
			change: tree{"etc/nv_tegra_release/": "", "boot": "", "lib/modules": ""},
			gone:   []string{"etc/nv_tegra_release", "boot/extlinux/extlinux.conf", "boot/Image", "lib/modules/5.15.148-tegra/modules.dep"},
			want:   nothing,
		},
		"hostile names": {
			change: tree{"lib/modules/a b/modules.dep": "", `lib/modules/"; rm -rf /modules.dep`: "", "lib/modules/x\ny/modules.dep": "",
				"lib/modules/-V/modules.dep": "", "lib/modules/<2>/modules.dep": "", "lib/modules/\x1b[2J/modules.dep": "",
				"lib/modules/6.8.12-tegra+/kernel/": "", "lib/modules/empty/": "", "lib/modules/linked": "-> 6.8.12-tegra+",
				"lib/modules/file": "", "lib/modules/kernel-file/kernel": "", "lib/modules/dangling": "-> nowhere"},
			want:   whole,
			adjust: func(i *rootfs.Image) { i.Modules = []string{"5.15.148-tegra", "6.8.12-tegra+", "linked"} },
		},
		"another kernel in extlinux.conf": {
			change: tree{"boot/extlinux/extlinux.conf": "LABEL a\nLINUX /boot/own\n", "boot/own": string(image("5.10.0", 0))},
			want:   whole,
			adjust: func(i *rootfs.Image) {
				i.Extlinux = []rootfs.Entry{{Label: "a", Line: 1, Default: true, Linux: "/boot/own"}}
				i.Kernel, i.KernelPath = "5.10.0", "/boot/own"
			},
		},
		"unknown kernel and release": {
			change: tree{"boot/Image": "vermagic=5.15.148-tegra SMP", "etc/nv_tegra_release": "R\n"}, want: whole,
			adjust: func(i *rootfs.Image) { i.Kernel, i.L4T, i.L4TLine = "", nil, "R" },
		},
		"large extlinux.conf": {
			change: tree{"boot/extlinux/extlinux.conf": strings.Repeat("#", 1<<20-len(conf)-1) + "\n" + conf}, want: whole,
			adjust: func(i *rootfs.Image) { i.Extlinux[0].Line++ },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := stock()
			for _, f := range tt.gone {
				delete(files, f)
			}
			for f, content := range tt.change {
				files[f] = content
			}
			want := tt.want()
			if tt.adjust != nil {
				tt.adjust(want)
			}
			if diff := cmp.Diff(want, look(t, mkfs(t, files))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The same folder in every kind of file system gives the same answer.
func TestLookAtFormats(t *testing.T) {
	files := stock()
	files["lib"] = "-> " + strings.Repeat("usr/../", 20) + "usr/lib"
	files["usr/lib/modules/5.15.148-tegra/modules.dep"] = ""
	delete(files, "lib/modules/5.15.148-tegra/modules.dep")
	for _, args := range [][]string{
		{"-t", "ext2"}, {"-t", "ext3"}, {"-t", "ext4"}, {"-t", "ext4", "-b", "1024"}, {"-t", "ext4", "-b", "4096"},
		{"-t", "ext4", "-O", "inline_data", "-I", "256"}, {"-t", "ext4", "-O", "inline_data,64bit", "-I", "1024"},
		{"-t", "ext4", "-O", "^metadata_csum,^64bit,^has_journal,^extent"}, {"-t", "ext4", "-O", "bigalloc,casefold"},
		{"-t", "ext4", "-O", "verity,project"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			img := look(t, mkfs(t, files, args...))
			if img.Kernel != "5.15.148-tegra" || len(img.Modules) != 1 || img.L4T == nil || len(img.Extlinux) != 1 {
				t.Errorf("%+v", img)
			}
		})
	}
}
