// Package cpio reads and writes the cpio archives (newc and crc) that a .swu is, streaming, in constant memory.
//
// Both formats have the same layout. A header of 110 characters, the name and its NUL are filled up to a multiple of 4, then
// come the data, filled up to a multiple of 4 again; a member named TRAILER!!! ends the archive. SWUpdate counts these
// multiples from the start of the archive until sw-description and its signature are read, and from the start of each
// member's data afterwards (core/stream_interface.c, extract_files). As all data start at a multiple of 4, the two are the same.
package cpio

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Format is one of the two kinds of cpio archive that SWUpdate takes (core/cpio_utils.c, get_cpiohdr).
type Format int

// The formats. The crc format differs by its magic and by a sum of the data in each header.
const (
	NewC Format = iota + 1 // magic 070701
	CRC                    // magic 070702, what SWUpdate's swugenerator writes
)

// String returns the name that cpio -H takes.
func (f Format) String() string {
	switch f {
	case NewC:
		return "newc"
	case CRC:
		return "crc"
	}
	return fmt.Sprintf("cpio format %d", int(f))
}

// Limits. A Writer keeps them and a Reader refuses what exceeds them.
const (
	// MaxSize is the largest size of one member in bytes: the header has 32 bits for it. An archive may be larger.
	MaxSize = 1<<32 - 1
	// MaxMembers is the largest number of members. It bounds the memory that finding duplicate names takes.
	MaxMembers = 4096
	// MaxName is the longest name in bytes. SWUpdate puts its temporary directory before the name of every member that
	// sw-description names, in 256 bytes with the NUL (core/installer.c, check_if_required; MAX_IMAGE_FNAME in
	// include/globals.h). The directory is /tmp/ unless the device sets TMPDIR. No directory allows more than 254: namesize,
	// which counts the NUL, has to be below 256 (core/cpio_utils.c, extract_cpio_header).
	MaxName = 255 - 5
	// MaxTrailing is how many zero bytes may follow the trailer. GNU cpio fills up to its block size: 512, or what
	// --block-size says.
	MaxTrailing = 64 << 10
)

// trailerName ends an archive, so no member can have it.
const trailerName = "TRAILER!!!"

// Header describes one member.
type Header struct {
	// Name is a plain file name that CheckName takes.
	Name string
	// Size is the number of data bytes, 0 to MaxSize.
	Size int64
	// Sum is the sum of all data bytes, as Sum makes it. The format NewC has none: a Writer ignores it, a Reader sets 0.
	Sum uint32
}

// FormatError describes a malformed archive: the file's fault, never the machine's.
type FormatError struct {
	// Offset is in bytes from the start of the archive.
	Offset int64
	// Problem says what is wrong there, and names the member if it is known.
	Problem string
}

// Error returns one line that names the offset.
func (e *FormatError) Error() string {
	return fmt.Sprintf("cannot read cpio archive: at offset %d: %s", e.Offset, e.Problem)
}

// MalformedData is true: the exit code of such an error is that of bad data.
func (e *FormatError) MalformedData() bool { return true }

// CheckName says why SWUpdate, or somebody who unpacks the archive, cannot take a member of this name; nil if they can. The
// sentence does not repeat the name.
//
// SWUpdate opens the file below its own temporary directory, and 2026.05 refuses a leading / and any ../ (core/util.c,
// is_filename_valid); 2022.12 does not. The directory has no folders, so no other / is of use either. Bytes that are not
// UTF-8 are taken, as SWUpdate does.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("the name has %d bytes, SWUpdate takes at most %d", len(name), MaxName)
	case name == trailerName:
		return errors.New("the name is that of the trailer, which ends an archive")
	case name == "." || name == "..":
		return errors.New("the name is that of a folder")
	case strings.HasPrefix(name, "/"):
		return errors.New("the name is an absolute path, want a plain file name")
	case strings.Contains(name, "/"):
		return errors.New("the name has a /, want a plain file name")
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name has a control character")
	}
	return nil
}

// Size returns the bytes of an archive of these members, as a Writer writes it; both formats have the same.
func Size(members []Header) int64 {
	size := entrySize(len(trailerName))
	for _, h := range members {
		size += entrySize(len(h.Name)) + h.Size + int64(fill(h.Size))
	}
	return size
}

// entrySize is the size of a header with a name of this length, its NUL and the fill.
func entrySize(name int) int64 {
	n := int64(headerSize + name + 1)
	return n + int64(fill(n))
}

// fill is how many bytes are missing to a multiple of 4.
func fill(n int64) int { return int(-n & 3) }
