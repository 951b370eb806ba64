package cpio

import (
	"bytes"
	"fmt"
	"strings"
)

// headerSize is the size of the fixed part: a magic of 6 characters and 13 numbers of 8 hexadecimal digits
// (SWUpdate, include/cpiohdr.h, struct new_ascii_header).
const (
	headerSize  = 6 + 8*fieldsCount
	fieldsCount = 13
)

// The magics of the two formats.
const (
	magicNewC = "070701"
	magicCRC  = "070702"
)

// fields are the numbers behind the magic, in their order.
var fields = [fieldsCount]string{
	"inode", "mode", "uid", "gid", "nlink", "mtime", "filesize", "devmajor", "devminor", "rdevmajor", "rdevminor", "namesize", "check",
}

// Where the numbers that matter stand in fields.
const (
	fieldInode    = 0
	fieldMode     = 1
	fieldNlink    = 4
	fieldSize     = 6
	fieldNameSize = 11
	fieldCheck    = 12
)

// numbers are the values of fields.
type numbers [fieldsCount]uint32

// appendEntry writes a header with its name, NUL and fill. Names have at most MaxName bytes and sizes at most MaxSize here.
func appendEntry(b []byte, f Format, n numbers, name string) []byte {
	start := len(b)
	magic := magicNewC
	if f == CRC {
		magic = magicCRC
	}
	n[fieldNameSize] = uint32(len(name) + 1)
	b = append(b, magic...)
	for _, v := range n {
		b = fmt.Appendf(b, "%08X", v)
	}
	b = append(append(b, name...), 0)
	return append(b, "\x00\x00\x00"[:fill(int64(len(b)-start))]...)
}

// formatOf returns the format that a header's magic stands for, or 0.
func formatOf(head []byte) Format {
	switch {
	case bytes.HasPrefix(head, []byte(magicNewC)):
		return NewC
	case bytes.HasPrefix(head, []byte(magicCRC)):
		return CRC
	}
	return 0
}

// parseNumbers reads the 13 numbers of a header. The int is the offset of the one that is malformed.
//
// Both cases of digits are read: GNU cpio writes capitals, other writers small letters. Signs, spaces and 0x are not, which
// scanf and strtoul take: such a number means different things to different readers.
func parseNumbers(head []byte) (n numbers, at int, err error) {
	for i := range n {
		at := len(magicNewC) + 8*i
		for _, c := range head[at : at+8] {
			digit := strings.IndexByte("0123456789abcdef", lower(c))
			if digit < 0 {
				return n, at, fmt.Errorf("%s %q is not a number of 8 hexadecimal digits", fields[i], head[at:at+8])
			}
			n[i] = n[i]<<4 | uint32(digit)
		}
	}
	return n, 0, nil
}

// lower makes a capital letter small.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// foreign are the starts of files that people take for a .swu, or that other cpio writers make.
var foreign = []struct {
	offset      int
	magic, name string
}{
	{0, "070707", "an odc archive (cpio -H odc)"},
	{0, "\xc7\x71", "an old binary archive (cpio -H bin)"},
	{0, "\x71\xc7", "an old binary archive (cpio -H bin) of the other byte order"},
	{0, "\x1f\x8b", "compressed by gzip"},
	{0, "\x28\xb5\x2f\xfd", "compressed by zstd"},
	{0, "\xfd7zXZ\x00", "compressed by xz"},
	{0, "PK\x03\x04", "a zip archive"},
	{0, "hsqs", "a squashfs image, as a RAUC bundle is"},
	{257, "ustar", "a tar archive, as a Mender artifact is"},
}

// longestMagic is how many bytes foreign looks at.
const longestMagic = 257 + 5

// foreignName says what a file with this start is, or only that it is no archive.
func foreignName(start []byte) string {
	for _, f := range foreign {
		if len(start) >= f.offset && bytes.HasPrefix(start[f.offset:], []byte(f.magic)) {
			return "this is " + f.name + ", want a cpio archive of the format crc or newc"
		}
	}
	return fmt.Sprintf("no cpio header of the format crc or newc, it starts with %q", start[:min(len(start), len(magicNewC))])
}

// kindOf names the file type that a mode has if SWUpdate would take something else than a file for one, and "" otherwise.
// SWUpdate does not look at the mode; writers that leave the type out are known.
func kindOf(mode uint32) string {
	switch mode & 0o170000 {
	case 0, 0o100000:
		return ""
	case 0o040000:
		return "a folder"
	case 0o120000:
		return "a symbolic link"
	}
	return "a device, pipe or socket"
}
