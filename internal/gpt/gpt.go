// Package gpt reads GUID partition tables (UEFI specification 2.10, section 5.3). It never writes one.
package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Partition types that tegra-ota tells apart.
var (
	// TypeESP marks the EFI system partition (UEFI specification 2.10, table 5.7). The firmware looks for capsules in no other.
	TypeESP = guid.MustParse("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	// TypeBasicData is what NVIDIA's flash layouts give every other partition, and what a wrongly made ESP often has.
	TypeBasicData = guid.MustParse("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
	// TypeLinux is "Linux filesystem data".
	TypeLinux = guid.MustParse("0fc63daf-8483-4772-8e79-3d69d8477de4")
)

// Sizes and places within the structures (UEFI specification 2.10, tables 5.5 and 5.6).
const (
	signature     = "EFI PART"
	revision      = 0x00010000
	minHeaderSize = 92
	minEntrySize  = 128
	nameOffset    = 56
	nameSize      = 72
	// maxTable bounds what a damaged header can make this package allocate; real tables have 16 KiB.
	maxTable = 1 << 20
)

// Table is a partition table.
type Table struct {
	Disk      guid.GUID
	BlockSize int64 // in bytes
	Entries   []Entry
	// Note is empty, or says why the backup at the end of the disk was used.
	Note string
}

// Entry is a partition. Blocks are counted from 0; LastLBA belongs to it.
type Entry struct {
	Number            int // as the kernel counts, from 1; unused entries count too
	Type, Unique      guid.GUID
	FirstLBA, LastLBA uint64
	Name              string
}

// ByUnique returns the entry with a partition GUID.
func (t *Table) ByUnique(g guid.GUID) (Entry, bool) {
	for _, e := range t.Entries {
		if e.Unique == g {
			return e, true
		}
	}
	return Entry{}, false
}

// Read reads the table of a disk of size bytes with blocks of 512 or 4096 bytes: the primary one, or the backup in the last
// block where the primary is damaged. Checksums and bounds hold for every table it returns. A disk without a sound table is
// the device's condition (69); a disk that cannot be read is an input/output error (74).
func Read(r io.ReaderAt, size, blockSize int64) (*Table, error) {
	if blockSize != 512 && blockSize != 4096 {
		return nil, fail.New(fail.Internal, "cannot read partition table: no disk has blocks of %d bytes", blockSize)
	}
	d := disk{r: r, blockSize: blockSize, blocks: uint64(max(size, 0) / blockSize)}
	if d.blocks < 3 {
		return nil, fail.New(fail.Unavailable, "cannot read partition table: a disk of %d bytes is too small for one", size)
	}
	t, err := d.table(1)
	if err == nil {
		return t, nil
	}
	t, backupErr := d.table(d.blocks - 1)
	if backupErr == nil {
		t.Note = fmt.Sprintf("the primary partition table is damaged (%v); its backup was used", err)
		return t, nil
	}
	code := fail.Unavailable
	if errors.Is(err, errRead) || errors.Is(backupErr, errRead) {
		code = fail.IO
	}
	return nil, fail.New(code, "cannot read partition table: primary: %w; backup: %w", err, backupErr)
}

// errRead marks errors of the disk rather than of what is on it.
var errRead = errors.New("read error")

type disk struct {
	r         io.ReaderAt
	blockSize int64
	blocks    uint64
}

// table reads the header in a block and the entries it points to.
func (d disk) table(lba uint64) (*Table, error) {
	block, err := d.read(lba, d.blockSize)
	if err != nil {
		return nil, err
	}
	h, err := decodeHeader(block)
	if errors.Is(err, ErrAbsent) {
		return nil, fmt.Errorf("block %d %w", lba, err)
	}
	if err != nil {
		return nil, err
	}
	if h.own != lba {
		return nil, fmt.Errorf("header in block %d says that it is in block %d", lba, h.own)
	}
	entries, err := d.read(h.entriesLBA, h.entriesSize())
	if err != nil {
		return nil, err
	}
	t := &Table{Disk: h.disk, BlockSize: d.blockSize}
	t.Entries, err = h.decode(entries, d.blocks)
	return t, err
}

// read returns length bytes from the start of a block, or an error if they do not all lie on the disk.
func (d disk) read(lba uint64, length int64) ([]byte, error) {
	if lba >= d.blocks || uint64(length) > (d.blocks-lba)*uint64(d.blockSize) {
		return nil, fmt.Errorf("%d bytes at block %d lie beyond a disk of %d blocks", length, lba, d.blocks)
	}
	b := make([]byte, length)
	if n, err := d.r.ReadAt(b, int64(lba)*d.blockSize); n < len(b) {
		return nil, fmt.Errorf("%w at block %d: %w", errRead, lba, err)
	}
	return b, nil
}

// name decodes UTF-16 up to the first NUL.
func name(raw []byte) string {
	var text []uint16
	for i := 0; i+1 < len(raw); i += 2 {
		c := binary.LittleEndian.Uint16(raw[i:])
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	return string(utf16.Decode(text))
}
