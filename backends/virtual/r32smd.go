package virtual

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// Slot metadata of R32 as cboot has it (tegrabl_a_b_boot_control.h): the model's own codec, because internal/smd is among what
// it judges. Flags are the upper byte of cboot's version word.
const (
	smdMagic      = "\x00NBC"
	smdExtMagic   = "ENBC"
	smdSize       = 22
	smdExtSize    = 169
	smdSectors    = 128
	smdBootloader = 1 << 0
	smdUser       = 1 << 1
	smdRootfs     = 1 << 2
	smdUnified    = 1 << 5

	slotRetries  = 7 // SLOT_RETRY_COUNT_DEFAULT
	slotPriority = 15
	rootRetries  = 3
	rootFailed   = 3 // ROOTFS_STATUS_BOOT_FAILED; its number is inferred from the order in which the manual lists the states
	rootInvalid  = 3 // no bootable root file system; inferred

	unifiedSince   = capsule.Version(32<<16 | 6<<8 | 1)
	extensionSince = capsule.Version(32<<16 | 4<<8) // rootfs A/B came with R32.4 (inferred from the manuals)
)

var smdLabels = [2]string{"SMD", "SMD_b"}

// SlotRecord is one slot of the metadata.
type SlotRecord struct {
	Priority   uint8 `json:"priority"` // 0 not bootable, 15 highest
	Retry      uint8 `json:"retry"`    // 0 not bootable, 7 full
	Successful bool  `json:"successful"`
}

// Metadata is the slot metadata of a JetPack 4 device.
type Metadata struct {
	Version  uint8         `json:"version"`
	Features uint8         `json:"features"`
	MaxSlots uint16        `json:"max_slots"`
	Slots    [2]SlotRecord `json:"slots"`
	// Root is the active root file system and its status (0 normal), from version 4 on and of effect with RootfsOnly alone. That
	// the select byte has the slot in its low and the retries in its high half is inferred.
	Root       uint8    `json:"root"`
	RootRetry  uint8    `json:"root_retry"`
	RootStatus [2]uint8 `json:"root_status"`
	// Torn names the copies that are not whole.
	Torn []string `json:"torn,omitempty"`
}

func (m Metadata) has(flag uint8) bool { return m.Features&flag != 0 }

func (m Metadata) redundant() bool { return m.MaxSlots > 1 && m.has(smdBootloader) }

// next is MB1's choice: the highest priority of those with priority and retries; success does not count
// (boot_chain_get_bootslot_from_smd).
func (m Metadata) next() (Slot, bool) {
	best, found, ok := uint8(0), A, false
	for i, s := range m.Slots {
		if i < int(m.MaxSlots) && s.Retry > 0 && s.Priority > best {
			best, found, ok = s.Priority, Slot(i), true
		}
	}
	return found, ok
}

// activate is set-active-boot-slot: as smd_slot_mark_active of tegra-boot-tools, the only open source of a Linux program for it.
func (m *Metadata) activate(s Slot) {
	m.Slots[s] = SlotRecord{Priority: slotPriority, Retry: slotRetries}
	m.Slots[s.Other()].Priority = slotPriority - 1
}

// succeed is mark-boot-successful of the running slot (smd_slot_mark_successful of tegra-boot-tools).
func (m *Metadata) succeed(s Slot) {
	m.Slots[s] = SlotRecord{Priority: slotPriority, Retry: slotRetries, Successful: true}
	if other := &m.Slots[s.Other()]; other.Priority >= slotPriority {
		other.Priority = slotPriority - 1
	}
}

func (m Metadata) bytes() []byte {
	le := binary.LittleEndian
	raw := append([]byte(smdMagic), m.Version, m.Features)
	raw = le.AppendUint16(raw, m.MaxSlots)
	for i, s := range m.Slots {
		raw = append(raw, s.Priority, '_', "ab"[i], s.Retry, 0)
		if s.Successful {
			raw[len(raw)-1] = 1
		}
	}
	raw = le.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	if m.Version < 4 {
		return raw
	}
	ext := make([]byte, smdExtSize)
	le.PutUint32(ext[4:], smdExtSize-4)
	copy(ext[8:], smdExtMagic)
	le.PutUint32(ext[12:], 1)
	ext[16], ext[17], ext[18], ext[24] = m.Root|m.RootRetry<<4, m.RootStatus[0], m.RootStatus[1], slotRetries
	le.PutUint32(ext, crc32.ChecksumIEEE(ext[4:]))
	return append(raw, ext...)
}

// parseMetadata reads one copy; false if it is not whole (load_smd_bin_copy).
func parseMetadata(raw []byte) (Metadata, bool) {
	var m Metadata
	le := binary.LittleEndian
	if len(raw) < smdSize+smdExtSize || !bytes.HasPrefix(raw, []byte(smdMagic)) || crc32.ChecksumIEEE(raw[:18]) != le.Uint32(raw[18:]) {
		return m, false
	}
	m.Version, m.Features, m.MaxSlots = raw[4], raw[5], le.Uint16(raw[6:])
	for i := range m.Slots {
		b := raw[8+5*i:]
		m.Slots[i] = SlotRecord{Priority: b[0], Retry: b[3], Successful: b[4] != 0}
	}
	if m.Version < 4 {
		return m, true
	}
	ext := raw[smdSize : smdSize+smdExtSize]
	if string(ext[8:12]) != smdExtMagic || crc32.ChecksumIEEE(ext[4:]) != le.Uint32(ext) {
		return m, false
	}
	m.Root, m.RootRetry, m.RootStatus = ext[16]&15, ext[16]>>4, [2]uint8{ext[17], ext[18]}
	return m, true
}

// Metadata reads what firmware would read: the first copy that is whole. With none it is the default that MB1 makes up
// (tegrabl_a_b_init): slot A alone.
func (o *Orin) Metadata() (*Metadata, error) {
	m, _, err := o.loadMetadata()
	return m, err
}

// loadMetadata also says which copy it was, -1 for none.
func (o *Orin) loadMetadata() (*Metadata, int, error) {
	found := &Metadata{Version: 3, MaxSlots: 1, Slots: [2]SlotRecord{{slotPriority, slotRetries, true}, {}}}
	from := -1
	var torn []string
	for i, label := range smdLabels {
		raw, err := os.ReadFile(o.path(labelDir, label))
		if err != nil {
			return nil, -1, fmt.Errorf("cannot read slot metadata: %w", err)
		}
		m, ok := parseMetadata(raw)
		if !ok {
			torn = append(torn, label)
		} else if from < 0 {
			found, from = &m, i
		}
	}
	found.Torn = torn
	return found, from, nil
}

// writeStep makes one change of the flash, or lets the power be cut in it: torn is what it leaves then.
type writeStep func(name string, write, torn func() error) error

// storeMetadata writes both copies, that which was not read first, so that one is always whole (tegrabl_a_b_flush_smd of R32.7;
// earlier releases began with SMD). In QSPI a copy is erased before it is written.
func (o *Orin) storeMetadata(m Metadata, from int, step writeStep) error {
	mod, err := lookupModule(o.board.Module)
	if err != nil {
		return err
	}
	order := []int{1, 0}
	if from == 1 {
		order = []int{0, 1}
	}
	for _, i := range order {
		name := "smd:" + smdLabels[i]
		full := o.path(labelDir, smdLabels[i])
		put := func(data []byte) func() error {
			return func() error { return patchFile(full, data) }
		}
		if mod.otaBoot == mtdBlock {
			if err := step(name, put(erasedBytes(sectorSize)), put(erasedBytes(sectorSize/2))); err != nil {
				return err
			}
		}
		raw := m.bytes()
		if err := step(name, put(raw), put(raw[:len(raw)/2])); err != nil {
			return err
		}
	}
	return nil
}

// patchFile overwrites the start of a partition.
func patchFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(path), err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(path), err)
	}
	return f.Close()
}

// nextBySMD is the slot that the next boot starts; A where there is none.
func (o *Orin) nextBySMD() (Slot, error) {
	m, err := o.Metadata()
	if err != nil {
		return A, err
	}
	s, _ := m.next()
	return s, nil
}
