package gpt

import (
	"errors"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Sizes of a table in boot flash, in bytes (edk2-nvidia GptLib.h): NVIDIA's tools always write room for 128 entries.
const (
	ChainBlock   = 512                              // unit of its block numbers, whatever the chip's own blocks are
	ChainEntries = 128 * minEntrySize               // the entries come first,
	ChainSize    = int64(ChainEntries) + ChainBlock // the header behind them
	chainAlign   = 64 << 10                         // least unit of the flash's layout
)

// ChainPlace returns where a boot flash of size bytes keeps the table of a chain (0 is A, 1 is B), entries first: A's ends with
// the flash, B's starts four erase blocks before its end, of eraseSize bytes but at least 64 KiB (edk2-nvidia GptLib.c,
// GptGetGptDataOffset). There is no primary table. A flash too small for that is a negative number.
func ChainPlace(size, eraseSize int64, chain uint32) int64 {
	if chain == 0 {
		return size - ChainSize
	}
	return size - 4*max(eraseSize, chainAlign)
}

// ReadChain reads the table at a place of a boot flash of size bytes, as the firmware does: the header tells where the entries
// are, its own block number is not looked at, and entries that seem to lie behind the flash are looked for one flash nearer,
// because some tables count from before it (GptPartitionTableLba in GptLib.c). Checksums and bounds hold for what it
// returns. No sound table is the device's condition (69), ErrAbsent where not even a header is there; a flash that cannot be
// read is 74.
func ReadChain(r io.ReaderAt, size, place int64) (*Table, error) {
	t, err := readChain(r, size, place)
	if err != nil {
		code := fail.Unavailable
		if errors.Is(err, errRead) {
			code = fail.IO
		}
		return nil, fail.New(code, "cannot read the partition table at %#x: %w", place, err)
	}
	return t, nil
}

func readChain(r io.ReaderAt, size, place int64) (*Table, error) {
	d := disk{r: r, blockSize: ChainBlock, blocks: uint64(max(size, 0) / ChainBlock)}
	if place < 0 || place%ChainBlock != 0 || place > size-ChainSize {
		return nil, fmt.Errorf("a flash of %d bytes has no room for one there", size)
	}
	block, err := d.read(uint64(place+ChainEntries)/ChainBlock, ChainBlock)
	if err != nil {
		return nil, err
	}
	h, err := decodeHeader(block)
	if errors.Is(err, ErrAbsent) {
		return nil, fmt.Errorf("the flash %w there", err)
	}
	if err != nil {
		return nil, err
	}
	lba := h.entriesLBA
	if lba > d.blocks {
		lba -= d.blocks
	}
	raw, err := d.read(lba, h.entriesSize())
	if err != nil {
		return nil, err
	}
	t := &Table{Disk: h.disk, BlockSize: ChainBlock}
	t.Entries, err = h.decode(raw, d.blocks)
	return t, err
}

// ByName returns the entry with a name. The first one counts, as in the firmware (GptFindPartitionByName).
func (t *Table) ByName(name string) (Entry, bool) {
	for _, e := range t.Entries {
		if e.Name == name {
			return e, true
		}
	}
	return Entry{}, false
}

// Start and Size are in bytes of a boot flash, or of a disk with blocks of 512.
func (e Entry) Start() int64 { return int64(e.FirstLBA) * ChainBlock }

// Size returns the partition's length in bytes; see Start.
func (e Entry) Size() int64 { return int64(e.LastLBA-e.FirstLBA+1) * ChainBlock }
