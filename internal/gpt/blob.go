package gpt

import (
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Parse reads a table as an update carries it (the images secondary_gpt and secondary_gpt_backup): ChainSize bytes, the entries and
// then the header, for a boot flash of size bytes. It refuses what the firmware refuses before it would write one
// (FwPartitionDeviceLib.c, GptLib.c in edk2-nvidia): a header of another size, a wrong checksum, an entry outside the usable
// blocks. Every refusal is the file's fault (65).
func Parse(blob []byte, size int64) (*Table, error) {
	t, err := parse(blob, uint64(max(size, 0)/ChainBlock))
	if err != nil {
		return nil, fail.New(fail.Data, "cannot use the partition table of the update: %w", err)
	}
	return t, nil
}

func parse(blob []byte, blocks uint64) (*Table, error) {
	if int64(len(blob)) != ChainSize {
		return nil, fmt.Errorf("it has %d bytes, want %d", len(blob), ChainSize)
	}
	h, err := decodeHeader(blob[ChainEntries:])
	if err != nil {
		return nil, err
	}
	if h.size != minHeaderSize || h.entriesSize() > ChainEntries {
		return nil, fmt.Errorf("header of %d bytes claims %d entries of %d bytes", h.size, h.count, h.entrySize)
	}
	t := &Table{Disk: h.disk, BlockSize: ChainBlock}
	if t.Entries, err = h.decode(blob[:h.entriesSize()], blocks); err != nil {
		return nil, err
	}
	for _, e := range t.Entries {
		if e.FirstLBA < h.firstUsable || e.LastLBA > h.lastUsable {
			return nil, fmt.Errorf("entry %d (%q) spans blocks %d to %d outside the usable %d to %d",
				e.Number, e.Name, e.FirstLBA, e.LastLBA, h.firstUsable, h.lastUsable)
		}
	}
	return t, nil
}
