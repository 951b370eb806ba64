// Package bup reads, matches and writes NVIDIA's bootloader update payload (BUP), the container in which boot firmware
// of a Jetson travels: a header, a table of entries, and the images behind it. A UEFI capsule carries one as its payload.
//
// The layout is that of FW_PACKAGE_HEADER and FW_PACKAGE_IMAGE_INFO in edk2-nvidia
// (Silicon/NVIDIA/Include/Library/FwPackageLib.h) and of bup.c in tegra-boot-tools; all integers are little endian and
// nothing is padded. A BUP holds neither digest nor signature: this package computes a SHA-256 of each image while it
// reads, so that two readings of one file can be compared.
//
// Reading takes constant memory: the entry table, at most MaxEntries long, is the only part that is ever held.
package bup

import (
	"bytes"
	"fmt"
)

// Sizes and limits of the container, in bytes unless the name says otherwise.
const (
	HeaderSizePlain     = 40 // header without the accessory
	HeaderSizeAccessory = 48 // header with the accessory (ratchet levels)
	NameSize            = 40 // name field of an entry, its NUL included

	// MaxEntries is the largest entry count accepted. The largest real package known has 89 (P3767, L4T R39.2); the cap
	// keeps a malformed header from asking for memory.
	MaxEntries = 4096
)

const (
	magicSize = 16
	magicV2   = "NVIDIA__BLOB__V2"
	magicV3   = "NVIDIA__BLOB__V3"
)

// Format is the generation of the container. The zero value is none of them.
type Format int

// The two generations in use: V2 on T186 and T194 with L4T R32, V3 in every UEFI capsule (R35 and later).
const (
	V2 Format = 2
	V3 Format = 3
)

// String returns "V2" or "V3".
func (f Format) String() string {
	switch f {
	case V2:
		return "V2"
	case V3:
		return "V3"
	}
	return fmt.Sprintf("Format(%d)", int(f))
}

// EntrySize returns the bytes of one entry in the table: 120 for V2, 184 for V3, 0 for neither.
func (f Format) EntrySize() int {
	if f.SpecSize() == 0 {
		return 0
	}
	return NameSize + 4*4 + f.SpecSize()
}

// SpecSize returns the bytes of the board spec in an entry, its NUL included: 64 for V2, 128 for V3, 0 for neither.
func (f Format) SpecSize() int {
	switch f {
	case V2:
		return 64
	case V3:
		return 128
	}
	return 0
}

func (f Format) magic() string {
	switch f {
	case V2:
		return magicV2
	case V3:
		return magicV3
	}
	return ""
}

// OpMode says on which boards, by their fuses, an entry applies.
type OpMode uint32

// The three modes (FW_PACKAGE_UPDATE_MODE_* in edk2-nvidia's FwPackageLib.h).
const (
	Always        OpMode = 0 // on every board
	NonProduction OpMode = 1 // on boards without production fuses only
	Production    OpMode = 2 // on production fused boards only
)

// String returns "always", "non-production" or "production".
func (m OpMode) String() string {
	switch m {
	case Always:
		return "always"
	case NonProduction:
		return "non-production"
	case Production:
		return "production"
	}
	return fmt.Sprintf("OpMode(%d)", uint32(m))
}

// applies says whether firmware looks at an entry of this mode on a board with those fuses (FwPackageUpdateModeIsOk).
func (m OpMode) applies(production bool) bool {
	switch m {
	case Always:
		return true
	case NonProduction:
		return !production
	case Production:
		return production
	}
	return false
}

// The package types. Firmware takes TypeUpdate only.
const (
	TypeUpdate uint32 = 0 // boot firmware
	TypeBMP    uint32 = 1 // splash screens
)

// Accessory is the optional tail of the header: the fuse ratchet levels that the images need.
type Accessory struct {
	MB1Ratchet, MTSRatchet, RollbackRatchet uint8
	Reserved                                [5]byte
}

// Header is what stands before the entry table.
type Header struct {
	Format Format
	// Version is the generator's version word; firmware does not check it. See DecodedVersion.
	Version uint32
	// Size is the length of the whole file in bytes, header included.
	Size uint32
	// HeaderSize is where the entry table starts: 40, or 48 with an Accessory.
	HeaderSize uint32
	EntryCount uint32
	// Type is TypeUpdate or TypeBMP.
	Type uint32
	// UncompressedSize is reported as found. No package in use is compressed, and firmware does not look at it.
	UncompressedSize uint32
	// Accessory is nil if HeaderSize is 40.
	Accessory *Accessory
}

// TableEnd returns the offset behind the entry table, where the first image of a package without gaps starts.
func (h Header) TableEnd() int64 {
	return int64(h.HeaderSize) + int64(h.EntryCount)*int64(h.Format.EntrySize())
}

// Entry is one image of a package. A name may occur many times, for different boards and fuses.
type Entry struct {
	// Name is the base name of a partition, like "mb1": 1 to 39 printable ASCII characters.
	Name string
	// Offset is in bytes from the start of the package, Length in bytes.
	Offset, Length uint32
	// Version is the generator's: L4T's version as hexadecimal digits, mostly. Firmware only warns about it.
	Version uint32
	OpMode  OpMode
	// Spec is the TNSPEC of the boards it is for; empty if it is for all.
	Spec string
	// SHA256 is computed here; it is zero until all bytes were read.
	SHA256 [32]byte
}

// Gap is a range of bytes that belongs to no image. Only V2 packages may have some; firmware refuses a V3 one.
type Gap struct {
	Offset, Length int64
}

// Package is a parsed BUP.
type Package struct {
	Header  Header
	Entries []Entry
	Gaps    []Gap
}

// IsBUP says whether a file that starts with head is a BUP, of either format; it needs the first 16 bytes.
func IsBUP(head []byte) bool { return formatOf(head) != 0 }

func formatOf(head []byte) Format {
	for _, f := range []Format{V2, V3} {
		if bytes.HasPrefix(head, []byte(f.magic())) {
			return f
		}
	}
	return 0
}
