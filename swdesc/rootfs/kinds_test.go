package rootfs_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
	"pgregory.net/rapid"
)

// unreadable is what a file is found to be, with its next step.
func unreadable(t *testing.T, path string) problem.Problem {
	t.Helper()
	img, err := rootfs.Look(context.Background(), path)
	p, ok := rootfs.Unreadable(err)
	if img != nil || !errors.Is(err, rootfs.ErrNotExt4) || !ok {
		t.Fatalf("%+v, %v, %v", img, err, ok)
	}
	return p
}

// The programs that make what people name by mistake.
func TestUnreadableOfPrograms(t *testing.T) {
	const mkfsNext = "make an ext4 image of its content: mkfs.ext4 -d FOLDER IMAGE SIZE"
	const zstdNext = `; compression = "zstd" in the release is what makes the update small`
	const disk, alone = "sgdisk -a 1 -n 1:34:100 -c 1:APP out", "take the image of partition APP alone"
	for script, want := range map[string][2]string{
		"gzip -c ext4 >out":               {"compressed with gzip", "decompress it with gunzip" + zstdNext},
		"xz -0 -c ext4 >out":              {"compressed with xz", "decompress it with unxz" + zstdNext},
		"xz -0 --format=lzma -c ext4>out": {"compressed with lzma", "decompress it with unlzma" + zstdNext},
		"bzip2 -c ext4 >out":              {"compressed with bzip2", "decompress it with bunzip2" + zstdNext},
		"lz4 -c ext4 >out":                {"compressed with lz4", "decompress it with unlz4" + zstdNext},
		"lz4 -l -c ext4 >out":             {"compressed with lz4", "decompress it with unlz4" + zstdNext},
		"zstd -c ext4 >out":               {"compressed with zstd once more", "decompress it with unzstd" + zstdNext},
		"tar cf out ext4":                 {"a tar archive", mkfsNext},
		"tar --format=v7 -cf - ext4 | tar --format=pax -cf out ext4": {"a tar archive", mkfsNext},
		"echo ext4 | cpio -o -H newc >out":                           {"a cpio archive, as a .swu is", mkfsNext},
		"echo ext4 | cpio -o -H crc >out":                            {"a cpio archive, as a .swu is", mkfsNext},
		"echo ext4 | cpio -o -H odc >out":                            {"a cpio archive", mkfsNext},
		"echo ext4 | cpio -o -H bin >out":                            {"a cpio archive", mkfsNext},
		"truncate -s 1M out; " + disk:                                {"a whole disk with a GPT", alone},
		"truncate -s 1M out; " + disk + "; sgdisk -m 1 out":          {"a whole disk with an MBR", alone},
		"openssl enc -aes-256-cbc -pbkdf2 -k x -in ext4 -out out": {"encrypted with openssl enc",
			"name the plain image, and set encrypt = true in the release"},
		": >out": {"empty", mkfsNext},
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			p := unreadable(t, made(t, script))
			wanted := problem.Errorf("rootfs", "it is no root file system: it is %s", want[0]).Then("%s", want[1])
			if diff := cmp.Diff(wanted, p); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("mksquashfs", func(t *testing.T) {
		wanted := problem.Warnf("rootfs", "it is squashfs: UEFI's launcher reads /boot/extlinux/extlinux.conf from ext4 only, "+
			"and nothing in it was checked").
			Then("make sure that the devices boot from their partition kernel, with an initramfs that mounts it; else use ext4")
		if diff := cmp.Diff(wanted, unreadable(t, made(t, "mksquashfs ext4 out -quiet -no-progress"))); diff != "" {
			t.Error(diff)
		}
	})
}

// made runs a script in a folder with a small image named ext4, and returns the path of the file out.
func made(t *testing.T, script string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", "PATH=$PATH:/usr/sbin:/sbin; mke2fs -q -t ext4 ext4 1M; "+script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return dir + "/out"
}

// at is a file of n bytes of noise with magics in it.
func at(n int, magics map[int]string) string {
	b := bytes.Repeat([]byte{0xA7}, n)
	for offset, magic := range magics {
		copy(b[offset:], magic)
	}
	return string(b)
}

func TestUnreadable(t *testing.T) {
	const n = 68 << 10
	boot := map[int]string{510: "\x55\xaa"}
	with := func(offset int, magic string) map[int]string { return map[int]string{510: boot[510], offset: magic} }
	for _, tt := range []struct {
		name     string
		content  string
		severity problem.Severity
		reason   string
		next     string
	}{
		{"sparse", at(n, map[int]string{0: "\x3a\xff\x26\xed"}), problem.Error, "an Android sparse image", "simg2img first"},
		{"4 KiB sectors", at(n, with(4096, "EFI PART")), problem.Error, "a whole disk with a GPT", "partition APP alone"},
		{"MBR", at(512, boot), problem.Error, "a whole disk with an MBR", "partition APP alone"},
		{"qcow2", at(n, map[int]string{0: "QFI\xfb"}), problem.Error, "(qcow2)", "partition APP alone"},
		{"zip", at(n, map[int]string{0: "PK\x03\x04"}), problem.Error, "a zip archive", "mkfs.ext4 -d"},
		{"hybrid ISO", at(n, with(32769, "CD001")), problem.Error, "an ISO 9660 image", "mkfs.ext4 -d"},
		{"FAT16", at(n, with(54, "FAT16   ")), problem.Error, "it is FAT", "mkfs.ext4 -d"},
		{"FAT32", at(n, with(82, "FAT32   ")), problem.Error, "it is FAT", "mkfs.ext4 -d"},
		{"exFAT", at(n, with(3, "EXFAT   ")), problem.Error, "exFAT", "mkfs.ext4 -d"},
		{"NTFS", at(n, with(3, "NTFS    ")), problem.Error, "NTFS", "mkfs.ext4 -d"},
		{"boot image", string(android(image("5.15.1", 0), 2, 4096)), problem.Error, "a boot image", `type = "kernel"`},
		{"kernel", string(image("5.15.1", 4096)), problem.Error, "a kernel", `type = "kernel"`},
		{"device tree", string(dtb()), problem.Error, "a flattened device tree", `type = "kernel-dtb"`},
		{"ELF", at(n, map[int]string{0: "\x7fELF"}), problem.Error, "an ELF program", "ext4 image here"},
		{"UEFI", at(n, map[int]string{0: "MZ"}), problem.Error, "a UEFI program", "ext4 image here"},
		{"UBI", at(n, map[int]string{0: "UBI#"}), problem.Error, "it is UBI, which is for raw flash", "mkfs.ext4 -d"},
		{"UBIFS", at(n, map[int]string{0: "\x31\x18\x10\x06"}), problem.Error, "UBIFS, which is for raw flash", "mkfs.ext4 -d"},
		{"JFFS2", at(n, map[int]string{0: "\x85\x19"}), problem.Error, "JFFS2, which is for raw flash", "mkfs.ext4 -d"},
		{"noise", at(n, nil), problem.Error, "of a kind that swdesc does not know; it begins with a7a7a7a7a7a7a7a7", "mkfs.ext4 -d"},
		{"one byte", "\x1b", problem.Error, "it begins with 1b", "mkfs.ext4 -d"},
		{"half a magic", "\x1f", problem.Error, "it begins with 1f", "mkfs.ext4 -d"},
		{"btrfs cut off", at(n, map[int]string{64<<10 + 64: "_BHRfS_M"})[:64<<10+71], problem.Error, "does not know", "mkfs.ext4 -d"},
		{"XFS", at(n, map[int]string{0: "XFSB"}), problem.Warning, "it is XFS: UEFI's launcher", "partition kernel"},
		{"LUKS", at(n, map[int]string{0: "LUKS\xba\xbe"}), problem.Warning, "it is encrypted with LUKS: UEFI's", "partition kernel"},
		{"cramfs", at(n, map[int]string{0: "\x45\x3d\xcd\x28"}), problem.Warning, "it is cramfs: UEFI's", "partition kernel"},
		{"EROFS", at(1028, map[int]string{1024: "\xe2\xe1\xf5\xe0"}), problem.Warning, "it is EROFS: UEFI's", "partition kernel"},
		{"F2FS", at(n, map[int]string{1024: "\x10\x20\xf5\xf2"}), problem.Warning, "it is F2FS: UEFI's", "partition kernel"},
		{"NILFS2", at(n, map[int]string{1030: "\x34\x34"}), problem.Warning, "it is NILFS2: UEFI's", "partition kernel"},
		{"btrfs", at(n, with(64<<10+64, "_BHRfS_M"))[:64<<10+72], problem.Warning, "it is btrfs: UEFI's", "partition kernel"},
	} {
		p := unreadable(t, file(t, tt.content))
		if p.Check != rootfs.CheckRootfs || p.Severity != tt.severity || !strings.Contains(p.Reason, tt.reason) ||
			!strings.Contains(p.NextStep, tt.next) || p.Where != "" {
			t.Errorf("%s: %+v, want %s %q, %q", tt.name, p, tt.severity, tt.reason, tt.next)
		}
	}
}

// A damaged image and a missing file are no findings of this check, and an ext4 image with a boot sector is one all the same.
func TestUnreadableOfOthers(t *testing.T) {
	img := mkfs(t, stock(), "-t", "ext4")
	whole, err := os.ReadFile(img)
	must(t, err)
	for _, path := range []string{file(t, string(whole[:len(whole)/2])), "/nonexistent/x", t.TempDir()} {
		_, err := rootfs.Look(context.Background(), path)
		if p, ok := rootfs.Unreadable(err); ok || err == nil || p != (problem.Problem{}) {
			t.Errorf("%v: %+v", err, p)
		}
	}
	if p, ok := rootfs.Unreadable(nil); ok {
		t.Errorf("no error: %+v", p)
	}
	if got := look(t, patched(t, img, 510, 0x55, 0xAA)); got.Kernel == "" {
		t.Errorf("with a boot sector: %+v", got)
	}
}

// Whatever a file begins with, the finding is one line that does nothing to a terminal.
func TestUnreadableOfAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 600).Draw(rt, "content")
		p := unreadable(t, file(t, string(content)))
		if p.NextStep == "" || strings.ContainsAny(p.Reason+p.NextStep, "\n\r\x1b\x00") || len(p.String()) > 300 {
			rt.Fatalf("%q", p.String())
		}
	})
}
