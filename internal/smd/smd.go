// Package smd reads and writes the slot metadata (SMD) by which MB1 and cboot of T186 and T194 choose a slot with L4T R32: a
// record of two slots in the partitions SMD and SMD_b.
//
// The layout is that of smd.c in tegra-boot-tools and of tegrabl_a_b_boot_control.h in NVIDIA's cboot sources (R32): magic,
// version, flags, number of slots, two slots of five bytes, CRC-32; from version 4 on an extension for root file systems that
// switch on their own. Integers are little endian and nothing is padded. T234 and T264 have no such record.
package smd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

// Sizes in bytes, and the values a fresh slot has (cboot: SLOT_RETRY_COUNT_DEFAULT, SLOT_PRIORITY_DEFAULT).
const (
	Size            = 22  // without the extension
	SizeExtended    = 191 // with the extension of versions 4 and 5
	MaxRetry        = 7
	HighestPriority = 15

	magic        = "\x00NBC"
	extMagic     = "ENBC"
	slotsAt      = 8
	slotSize     = 5
	crcAt        = 18
	extLenAt     = Size + 4
	extMagicAt   = Size + 8
	extVersionAt = Size + 12
	rootfsAt     = Size + 16
	maxRetryAt   = Size + 24
	extLogAt     = Size + 25
	extFixed     = extLogAt - extLenAt // what length counts without the log
	extLimit     = 4096                // no record in use is longer; keeps a malformed length from asking for more

	crcVersion = 2 // BOOT_CHAIN_VERSION_CRC32 of cboot; tegra-boot-tools checks from 3 on
	extVersion = 4
	newest     = 5
)

// Flags say what comes in two copies (tegra-boot-tools; cboot has them as the upper byte of the version).
type Flags uint8

// The flags. Unified (from version 5, R32.6) means that root file system and boot chain switch together.
const (
	Bootloader Flags = 1 << 0
	User       Flags = 1 << 1
	Rootfs     Flags = 1 << 2
	Unified    Flags = 1 << 5
)

// Slot is one slot's record.
type Slot struct {
	Priority   uint8  // 0 (not bootable) to 15 (highest)
	Suffix     string // "_a" or "_b" in use, at most two bytes; "" where redundancy is off
	Retry      uint8  // attempts left, 0 (not bootable) to 7
	Successful bool
}

// Bootable says whether MB1 considers the slot: priority and retries both count, Successful does not (cboot's
// boot_chain_get_bootslot_from_smd).
func (s Slot) Bootable() bool { return s.Priority > 0 && s.Retry > 0 }

// Extension is what versions 4 and 5 add.
type Extension struct {
	Version uint32
	// Select, Status, UpdateMode and Reserved are the record of root file systems that switch on their own, as found.
	Select     uint8
	Status     [2]uint8 // 0 is normal (cboot's ROOTFS_STATUS_NORMAL)
	UpdateMode [2]uint8
	Reserved   [3]uint8
	MaxRetry   uint8  // retries that a slot is filled up to; 0 and more than 7 count as 7
	Log        []byte // the event log and whatever else the recorded length covers, undecoded
}

// Metadata is one copy of the record.
type Metadata struct {
	Version   uint8 // 1 to 5 are known
	Flags     Flags
	MaxSlots  uint16 // 2; less means that redundancy is off
	Slots     [2]Slot
	Extension *Extension // nil before version 4, and in a later version than 5 whose extension has another shape
}

// Redundant says whether there is a second slot to switch to.
func (m *Metadata) Redundant() bool { return m.Flags != 0 && m.MaxSlots > 1 }

// Next returns the slot that MB1 starts at the next boot, 0 or 1; false if it finds none bootable.
func (m *Metadata) Next() (slot int, ok bool) {
	best := uint8(0)
	for i, s := range m.Slots {
		if i < int(m.MaxSlots) && s.Bootable() && s.Priority > best {
			slot, ok, best = i, true, s.Priority
		}
	}
	return slot, ok
}

// Parse reads the record at the start of a partition's content; what follows it is ignored. A version that is not known is
// read as far as its shape is that of version 5. An error is a *bup.FormatError, whose exit code is Data.
func Parse(raw []byte) (*Metadata, error) {
	if len(raw) < crcAt {
		return nil, malformed(len(raw), "record", "it ends here, want at least %d bytes", Size)
	}
	if !bytes.HasPrefix(raw, []byte(magic)) {
		return nil, malformed(0, "magic", "% x, want % x", raw[:4], magic)
	}
	m := &Metadata{Version: raw[4], Flags: Flags(raw[5]), MaxSlots: binary.LittleEndian.Uint16(raw[6:])}
	if m.Version == 0 {
		return nil, malformed(4, "version", "0, want 1 to %d", newest)
	}
	if int(m.MaxSlots) > len(m.Slots) {
		return nil, malformed(6, "number of slots", "%d, want at most 2", m.MaxSlots)
	}
	for i := range m.Slots {
		b := raw[slotsAt+i*slotSize:]
		m.Slots[i] = Slot{Priority: b[0], Suffix: string(bytes.TrimRight(b[1:3], "\x00")), Retry: b[3], Successful: b[4] != 0}
	}
	if m.Version < crcVersion {
		return m, nil
	}
	if len(raw) < Size {
		return nil, malformed(len(raw), "CRC", "the record ends here, want %d bytes", Size)
	}
	if want, got := binary.LittleEndian.Uint32(raw[crcAt:]), crc32.ChecksumIEEE(raw[:crcAt]); want != got {
		return nil, malformed(crcAt, "CRC", "%08x, the content has %08x", want, got)
	}
	if m.Version < extVersion {
		return m, nil
	}
	ext, err := parseExtension(raw)
	if err != nil && m.Version <= newest {
		return nil, err
	}
	m.Extension = ext
	return m, nil
}

func parseExtension(raw []byte) (*Extension, error) {
	if len(raw) < extLogAt {
		return nil, malformed(len(raw), "extension", "it ends here, want at least %d bytes", extLogAt)
	}
	le := binary.LittleEndian
	length := int64(le.Uint32(raw[extLenAt:]))
	if length < extFixed || length > extLimit || extLenAt+length > int64(len(raw)) {
		return nil, malformed(extLenAt, "length of the extension", "%d, want %d to %d", length, extFixed,
			min(extLimit, len(raw)-extLenAt))
	}
	if got := string(raw[extMagicAt:extVersionAt]); got != extMagic {
		return nil, malformed(extMagicAt, "magic of the extension", "%q, want %q", got, extMagic)
	}
	covered := raw[extLenAt : extLenAt+length]
	if want, got := le.Uint32(raw[Size:]), crc32.ChecksumIEEE(covered); want != got {
		return nil, malformed(Size, "CRC of the extension", "%08x, the content has %08x", want, got)
	}
	b := raw[rootfsAt:maxRetryAt]
	return &Extension{
		Version: le.Uint32(raw[extVersionAt:]), Select: b[0], Status: [2]uint8{b[1], b[2]}, UpdateMode: [2]uint8{b[3], b[4]},
		Reserved: [3]uint8{b[5], b[6], b[7]}, MaxRetry: raw[maxRetryAt], Log: append([]byte{}, covered[extFixed:]...),
	}, nil
}

// Bytes builds the record with its checksums: 18 bytes in version 1, 22 in versions 2 and 3, more with an Extension. A suffix
// longer than two bytes is cut.
func (m *Metadata) Bytes() []byte {
	le := binary.LittleEndian
	raw := append([]byte(magic), m.Version, byte(m.Flags))
	raw = le.AppendUint16(raw, m.MaxSlots)
	for _, s := range m.Slots {
		b := [slotSize]byte{0: s.Priority, 3: s.Retry}
		copy(b[1:3], s.Suffix)
		if s.Successful {
			b[4] = 1
		}
		raw = append(raw, b[:]...)
	}
	if m.Version < crcVersion {
		return raw
	}
	raw = le.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	if m.Version < extVersion || m.Extension == nil {
		return raw
	}
	e := m.Extension
	ext := le.AppendUint32(nil, uint32(extFixed+len(e.Log)))
	ext = le.AppendUint32(append(ext, extMagic...), e.Version)
	ext = append(ext, e.Select, e.Status[0], e.Status[1], e.UpdateMode[0], e.UpdateMode[1])
	ext = append(append(append(ext, e.Reserved[:]...), e.MaxRetry), e.Log...)
	return append(le.AppendUint32(raw, crc32.ChecksumIEEE(ext)), ext...)
}

func malformed(offset int, field, format string, args ...any) error {
	return &bup.FormatError{Format: "slot metadata", Offset: int64(offset), Field: field, Problem: fmt.Sprintf(format, args...)}
}
