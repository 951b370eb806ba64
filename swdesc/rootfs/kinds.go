package rootfs

import (
	"bytes"
	"encoding/hex"
	"errors"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// CheckRootfs is the name of the check that Unreadable's findings have, for a release's "allow".
const CheckRootfs = "rootfs"

// kind is what a file that holds no ext4 file system is instead.
type kind struct {
	offset int
	magic  string
	name   string // goes behind "it is"
	next   string // what to do with it in a root file system's place; "" where a device may boot it
}

const (
	makeExt4    = "make an ext4 image of its content: mkfs.ext4 -d FOLDER IMAGE SIZE"
	onePart     = "take the image of partition APP alone"
	otherPlace  = "name the root file system's ext4 image here"
	decompress  = `; compression = "zstd" in the release is what makes the update small`
	headerMagic = 68 << 10 // bytes of a file in which all magics lie
)

// kinds has the special ones before the general ones: a hybrid ISO image and FAT end their first sector as a disk does. The magics are
// those that file(1) and libblkid know.
var kinds = []kind{
	{0, gzipMagic, "compressed with gzip", "decompress it with gunzip" + decompress},
	{0, "\xfd7zXZ\x00", "compressed with xz", "decompress it with unxz" + decompress},
	{0, "\x5d\x00\x00", "compressed with lzma", "decompress it with unlzma" + decompress},
	{0, lz4Magic, "compressed with lz4", "decompress it with unlz4" + decompress},
	{0, lz4LegacyMagic, "compressed with lz4", "decompress it with unlz4" + decompress},
	{0, "BZh", "compressed with bzip2", "decompress it with bunzip2" + decompress},
	{0, zstdMagic, "compressed with zstd once more", "decompress it with unzstd" + decompress},
	// libsparse's sparse_format.h. meta-tegra's default for tegraflash is ext4.simg (image_types_tegra.bbclass), L4T's is system.img.
	{0, "\x3a\xff\x26\xed", "an Android sparse image", "expand it with simg2img first, or take the build's .ext4 file (L4T: system.img.raw)"},
	{512, "EFI PART", "a whole disk with a GPT", onePart},
	{4096, "EFI PART", "a whole disk with a GPT", onePart},
	{0, "QFI\xfb", "a disk of QEMU (qcow2)", onePart},
	{257, "ustar", "a tar archive", makeExt4},
	{0, "070701", "a cpio archive, as a .swu is", makeExt4},
	{0, "070702", "a cpio archive, as a .swu is", makeExt4},
	{0, "070707", "a cpio archive", makeExt4},
	{0, "\xc7\x71", "a cpio archive", makeExt4},
	{0, "PK\x03\x04", "a zip archive", makeExt4},
	{32769, "CD001", "an ISO 9660 image", makeExt4},
	{0, "Salted__", "encrypted with openssl enc", "name the plain image, and set encrypt = true in the release"},
	{0, androidMagic, "a boot image", otherPlace + `, and this with type = "kernel"`},
	{0, fdtMagic, "a flattened device tree", otherPlace + `, and this with type = "kernel-dtb"`},
	{arm64MagicAt, arm64Magic, "a kernel", otherPlace + `, and the kernel's boot image with type = "kernel"`},
	{0, "\x7fELF", "an ELF program", otherPlace},
	{0, "MZ", "a UEFI program", otherPlace},
	{54, "FAT1", "FAT, which has no owners, modes and links", makeExt4},
	{82, "FAT32", "FAT, which has no owners, modes and links", makeExt4},
	{3, "EXFAT   ", "exFAT, which has no owners, modes and links", makeExt4},
	{3, "NTFS    ", "NTFS", makeExt4},
	// These want raw flash (mtd), and a Jetson's APP is a disk's partition.
	{0, "UBI#", "UBI, which is for raw flash", makeExt4},
	{0, "\x31\x18\x10\x06", "UBIFS, which is for raw flash", makeExt4},
	{0, "\x85\x19", "JFFS2, which is for raw flash", makeExt4},
	{0, "hsqs", "squashfs", ""},
	{0, "XFSB", "XFS", ""},
	{0, "LUKS\xba\xbe", "encrypted with LUKS", ""},
	{0, "\x45\x3d\xcd\x28", "cramfs", ""},
	{1024, "\xe2\xe1\xf5\xe0", "EROFS", ""},
	{1024, "\x10\x20\xf5\xf2", "F2FS", ""},
	{1030, "\x34\x34", "NILFS2", ""},
	{64<<10 + 64, "_BHRfS_M", "btrfs", ""},
	{510, "\x55\xaa", "a whole disk with an MBR", onePart},
}

// kindOf names what a file is by its first headerMagic bytes, or as many as there are. A kind without a magic is unknown.
func kindOf(head []byte) kind {
	for _, k := range kinds {
		if len(head) > k.offset && bytes.HasPrefix(head[k.offset:], []byte(k.magic)) {
			return k
		}
	}
	if len(head) == 0 {
		return kind{name: "empty", next: makeExt4}
	}
	return kind{name: "of a kind that swdesc does not know; it begins with " + hex.EncodeToString(head[:min(8, len(head))]), next: makeExt4}
}

// notExt4Error says what there is instead of an ext4 file system.
type notExt4Error struct{ kind kind }

func (e *notExt4Error) Error() string { return ErrNotExt4.Error() + ": it is " + e.kind.name }
func (e *notExt4Error) Unwrap() error { return ErrNotExt4 }

// Unreadable makes a finding of an error of Look that wraps ErrNotExt4 (check CheckRootfs), and returns false for any other error.
//
// A file system that Linux can have as its root on a disk is a warning: such a device boots from the partition kernel. UEFI has
// drivers for FAT and ext4 alone (edk2-nvidia, NVIDIA.common.dsc.inc). All else is an error: no kernel mounts it.
func Unreadable(err error) (problem.Problem, bool) {
	var other *notExt4Error
	if !errors.As(err, &other) {
		return problem.Problem{}, false
	}
	k := other.kind
	if k.next == "" {
		return problem.Warnf(CheckRootfs, "it is %s: UEFI's launcher reads %s from ext4 only, and nothing in it was checked",
			k.name, extlinuxFile).
			Then("make sure that the devices boot from their partition kernel, with an initramfs that mounts it; else use ext4"), true
	}
	return problem.Errorf(CheckRootfs, "it is no root file system: it is %s", k.name).Then("%s", k.next), true
}
