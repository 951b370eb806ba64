package rootfs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// signingHeaders are the sizes in bytes of the header that NVIDIA's tools sign and encrypt with: before T234, and since.
var signingHeaders = []int{4 << 10, 8 << 10}

// isSigned says whether a file starts with such a header, and has something behind it.
func isSigned(head []byte) bool {
	return len(head) > signingHeaders[0] && (bytes.HasPrefix(head, []byte("NVDA")) || bytes.HasPrefix(head, []byte("GSHV")))
}

// kernelKinds are how a kernel's file begins beside what isKernel knows: a UEFI program, and the ways in which arm64's build packs an
// Image (Linux, arch/arm64/boot/Makefile). KernelRelease does not unpack these.
var kernelKinds = []string{
	"MZ", lz4Magic, lz4LegacyMagic, zstdMagic, "\xfd7zXZ\x00", "\x5d\x00\x00", "BZh", "\x89LZO",
}

// CheckKernelFile reads a kernel component as KernelRelease does, and returns its release; "" where it names none. Such a file is
// a finding: a warning (check "kernel-modules") if it begins like a kernel or a boot image, or like one that NVIDIA's tools
// encrypted, else an error (check "kernel-image"). The error is that of KernelRelease, but never ErrNoRelease.
func CheckKernelFile(r io.Reader) (release string, found problem.List, err error) {
	in := bufio.NewReaderSize(r, peekSize)
	peeked, _ := in.Peek(headerMagic) // an error comes back with the next read
	head := bytes.Clone(peeked)
	release, err = KernelRelease(in)
	if !errors.Is(err, ErrNoRelease) {
		return release, bare(head, err), err
	}
	known := isSigned(head) || isKernel(head)
	for _, magic := range kernelKinds {
		known = known || bytes.HasPrefix(head, []byte(magic))
	}
	if known {
		return "", append(bare(head, nil), problem.Warnf("kernel-modules",
			"the kernel does not say which release it is, so its modules are not compared")), nil
	}
	return "", problem.List{problem.Errorf("kernel-image", "it is neither a kernel nor a boot image: it is %s", kindOf(head).name).
		Then("name the boot image that the build makes for the partition kernel, boot.img")}, nil
}

// bare warns of a kernel that is no boot image: L4TLauncher looks for an Android boot image in the kernel partition, and goes on to the
// next way to boot where it finds none (edk2-nvidia, AndroidBootDxe.c).
func bare(head []byte, err error) problem.List {
	if err != nil || bytes.HasPrefix(head, []byte("ANDROID!")) || isSigned(head) {
		return nil
	}
	return problem.List{problem.Warnf("kernel-image", "it is a bare kernel, and UEFI boots only an Android boot image from the kernel partition").
		Then("name the boot image that the build makes, boot.img; a bare kernel belongs into /boot of the root file system")}
}

// The header of a flattened device tree, ten numbers with the high byte first (Devicetree Specification 0.4, 5.2).
const (
	fdtMagic      = "\xd0\x0d\xfe\xed"
	fdtHeaderSize = 40
	fdtVersion    = 17 // the last one: readers refuse a tree whose last_comp_version is above it
)

// CheckDeviceTree says what is wrong with a flattened device tree (check "device-tree"): L4TLauncher calls one corrupted that libfdt's
// fdt_check_header refuses, and goes on with the firmware's device tree. What follows a tree is padding, or its signature.
//
// A tree behind NVIDIA's signing header counts too (edk2-nvidia, AndroidBootDxe.c, and DxeDtPlatformDtbKernelLoaderLib.c of R35).
// Behind one may be an encrypted tree as well, which is a warning. The error is the reader's.
func CheckDeviceTree(r io.Reader) (problem.List, error) {
	in := bufio.NewReaderSize(r, peekSize)
	peeked, _ := in.Peek(headerMagic)
	head := bytes.Clone(peeked)
	size, err := io.Copy(io.Discard, in)
	if err != nil {
		return nil, err
	}
	tree := head
	if isSigned(head) {
		tree = nil
		for _, skip := range signingHeaders {
			if len(head) > skip && bytes.HasPrefix(head[skip:], []byte(fdtMagic)) {
				tree, size = head[skip:], size-int64(skip)
				break
			}
		}
		if tree == nil {
			return problem.List{problem.Warnf("device-tree", "it has NVIDIA's signing header and no device tree behind it: "+
				"it may be encrypted, and was not checked")}, nil
		}
	}
	const check = "device-tree"
	if !bytes.HasPrefix(tree, []byte(fdtMagic)) {
		return problem.List{problem.Errorf(check, "it is no flattened device tree: it is %s", kindOf(head).name).
			Then("name the .dtb file that dtc makes")}, nil
	}
	if reason := checkTree(tree, size); reason != "" {
		return problem.List{problem.Errorf(check, "the device tree %s", reason).Then("copy or build it again")}, nil
	}
	return nil, nil
}

// checkTree says what is wrong with the header of a tree of size bytes that starts with head; "" if nothing is.
func checkTree(head []byte, size int64) string {
	if len(head) < fdtHeaderSize {
		return fmt.Sprintf("is cut off in its header, after %d bytes", len(head))
	}
	field := func(i int) int64 { return int64(binary.BigEndian.Uint32(head[4*i:])) }
	total, version, compatible := field(1), field(5), field(6)
	if total > size {
		return fmt.Sprintf("is cut off: it has %d of %d bytes", size, total)
	}
	if compatible > fdtVersion || version < compatible {
		return fmt.Sprintf("is of version %d, for readers of version %d: those of devices know %d", version, compatible, fdtVersion)
	}
	blocks := []struct {
		name       string
		start, end int64
	}{
		{"reservations", field(4), field(4)},
		{"nodes", field(2), field(2) + field(9)},
		{"strings", field(3), field(3) + field(8)},
	}
	if version < 17 {
		blocks[1].end = field(2) // older headers have no size there
	}
	for _, b := range blocks {
		if b.start < fdtHeaderSize || b.end > total {
			return fmt.Sprintf("is damaged: its %s are bytes %d to %d of %d", b.name, b.start, b.end, total)
		}
	}
	return ""
}
