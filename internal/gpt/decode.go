package gpt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// ErrAbsent says that the place of a header holds none, not even a damaged one.
var ErrAbsent = errors.New("holds no header")

// header is what a table's header says, its own checksum already compared.
type header struct {
	own, firstUsable, lastUsable, entriesLBA uint64
	size                                     int64 // bytes that the checksum covers
	disk                                     guid.GUID
	count, entrySize                         uint64
	entriesSum                               uint32
}

// decodeHeader reads the block that a header fills. It leaves block as it was.
func decodeHeader(block []byte) (header, error) {
	if string(block[:8]) != signature {
		return header{}, ErrAbsent
	}
	le := binary.LittleEndian
	if v := le.Uint32(block[8:]); v != revision {
		return header{}, fmt.Errorf("header has unknown revision %#x", v)
	}
	h := header{size: int64(le.Uint32(block[12:]))}
	if h.size < minHeaderSize || h.size > int64(len(block)) {
		return h, fmt.Errorf("header claims %d bytes", h.size)
	}
	// The checksum is taken with its own field zero.
	raw := append([]byte(nil), block[:h.size]...)
	sum := le.Uint32(raw[16:])
	le.PutUint32(raw[16:], 0)
	if got := crc32.ChecksumIEEE(raw); got != sum {
		return h, fmt.Errorf("header has checksum %#08x, want %#08x", got, sum)
	}
	h.own, h.firstUsable, h.lastUsable = le.Uint64(raw[24:]), le.Uint64(raw[40:]), le.Uint64(raw[48:])
	copy(h.disk[:], raw[56:72])
	h.entriesLBA, h.entriesSum = le.Uint64(raw[72:]), le.Uint32(raw[88:])
	h.count, h.entrySize = uint64(le.Uint32(raw[80:])), uint64(le.Uint32(raw[84:]))
	if s := h.entrySize; s < minEntrySize || s&(s-1) != 0 || s > maxTable || h.count > maxTable/s {
		return h, fmt.Errorf("header claims %d entries of %d bytes", h.count, s)
	}
	return h, nil
}

// entriesSize returns the length of the entries in bytes, at most maxTable.
func (h header) entriesSize() int64 { return int64(h.count * h.entrySize) }

// decode reads the entries, which raw holds all of, on a disk of so many blocks.
func (h header) decode(raw []byte, blocks uint64) ([]Entry, error) {
	if got := crc32.ChecksumIEEE(raw); got != h.entriesSum {
		return nil, fmt.Errorf("entries have checksum %#08x, want %#08x", got, h.entriesSum)
	}
	le := binary.LittleEndian
	var entries []Entry
	for i := uint64(0); i < h.count; i++ {
		raw := raw[i*h.entrySize : (i+1)*h.entrySize]
		e := Entry{Number: int(i) + 1, FirstLBA: le.Uint64(raw[32:]), LastLBA: le.Uint64(raw[40:])}
		e.Name = name(raw[nameOffset : nameOffset+nameSize])
		copy(e.Type[:], raw[0:16])
		copy(e.Unique[:], raw[16:32])
		if e.Type.IsZero() {
			continue
		}
		// Only the disk bounds a partition, not the header's usable range: the kernel judges the same
		// (block/partitions/efi.c, is_pte_valid).
		if e.FirstLBA > e.LastLBA || e.LastLBA >= blocks {
			return nil, fmt.Errorf("entry %d (%q) spans blocks %d to %d of a disk of %d", e.Number, e.Name, e.FirstLBA, e.LastLBA, blocks)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
