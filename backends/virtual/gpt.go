package virtual

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// GPT as in the UEFI specification 2.10, chapter 5. Its own writer, because internal/gpt is among what the model judges.
const (
	sectorSize   = 512
	gptEntries   = 128
	gptEntrySize = 128
	gptTable     = gptEntries * gptEntrySize / sectorSize // sectors of one table
	gptAlign     = 2048
	typeESP      = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
	typeLinux    = "0fc63daf-8483-4772-8e79-3d69d8477de4"
)

// gptPart is one partition of the virtual NVMe disk.
type gptPart struct {
	Number int       `json:"number"`
	Label  string    `json:"label"`
	Type   string    `json:"type"`
	UUID   guid.GUID `json:"uuid"`
	First  uint64    `json:"first"` // sectors
	Count  uint64    `json:"count"`
}

// layOut gives partitions of the wanted sizes their numbers and places, and returns the sectors of the whole disk.
func layOut(parts []gptPart) uint64 {
	next := uint64(gptAlign)
	for i := range parts {
		parts[i].Number = i + 1
		parts[i].First = next
		end := next + parts[i].Count
		next = (end + gptAlign - 1) / gptAlign * gptAlign
	}
	return next + gptAlign
}

// uuidOf derives a version 4 shaped UUID from words: a device made twice with the same options is the same device.
func uuidOf(words ...string) guid.GUID {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	var g guid.GUID
	copy(g[:], h.Sum(nil))
	g[7] = g[7]&0x0f | 0x40
	g[8] = g[8]&0x3f | 0x80
	return g
}

// writeGPT makes a sparse disk of the given size with a protective MBR and both copies of the table.
func writeGPT(path string, disk guid.GUID, sectors uint64, parts []gptPart) error {
	table := make([]byte, gptEntries*gptEntrySize)
	for _, p := range parts {
		e := table[(p.Number-1)*gptEntrySize:]
		typ := guid.MustParse(p.Type)
		copy(e[0:], typ[:])
		copy(e[16:], p.UUID[:])
		binary.LittleEndian.PutUint64(e[32:], p.First)
		binary.LittleEndian.PutUint64(e[40:], p.First+p.Count-1)
		for i, u := range utf16.Encode([]rune(p.Label)) {
			binary.LittleEndian.PutUint16(e[56+2*i:], u)
		}
	}
	mbr := make([]byte, sectorSize)
	mbr[447], mbr[448], mbr[449] = 0x00, 0x02, 0x00
	mbr[450] = 0xee
	mbr[451], mbr[452], mbr[453] = 0xff, 0xff, 0xff
	binary.LittleEndian.PutUint32(mbr[454:], 1)
	binary.LittleEndian.PutUint32(mbr[458:], uint32(sectors-1))
	mbr[510], mbr[511] = 0x55, 0xaa

	last := sectors - 1
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot make disk %s: %w", path, err)
	}
	defer f.Close()
	if err := f.Truncate(int64(sectors) * sectorSize); err != nil {
		return fmt.Errorf("cannot make disk %s: %w", path, err)
	}
	for _, w := range []struct {
		lba  uint64
		data []byte
	}{
		{0, mbr},
		{1, gptHeader(disk, table, 1, last, 2, sectors)},
		{2, table},
		{last - gptTable, table},
		{last, gptHeader(disk, table, last, 1, last-gptTable, sectors)},
	} {
		if _, err := f.WriteAt(w.data, int64(w.lba)*sectorSize); err != nil {
			return fmt.Errorf("cannot write the partition table of %s: %w", path, err)
		}
	}
	return f.Close()
}

func gptHeader(disk guid.GUID, table []byte, my, alternate, tableLBA, sectors uint64) []byte {
	h := make([]byte, sectorSize)
	copy(h, "EFI PART")
	le := binary.LittleEndian
	le.PutUint32(h[8:], 0x00010000)
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], my)
	le.PutUint64(h[32:], alternate)
	le.PutUint64(h[40:], 2+gptTable)
	le.PutUint64(h[48:], sectors-2-gptTable)
	copy(h[56:], disk[:])
	le.PutUint64(h[72:], tableLBA)
	le.PutUint32(h[80:], gptEntries)
	le.PutUint32(h[84:], gptEntrySize)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return h
}
