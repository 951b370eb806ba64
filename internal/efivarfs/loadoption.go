package efivarfs

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// LoadOption is what a Boot#### variable says: how the firmware names a boot target, and where it is (UEFI specification 2.10,
// section 3.1.3, EFI_LOAD_OPTION).
type LoadOption struct {
	Attributes  uint32
	Description string
	HardDrive   *HardDrive // nil where the path names no partition: network, firmware volume, or a whole disk
}

// HardDrive is a device path's Hard Drive Media node (UEFI specification 2.10, section 10.3.5.1): a partition.
type HardDrive struct {
	Partition uint32    // number of the partition, from 1
	Start     uint64    // first block
	Size      uint64    // in blocks
	GUID      guid.GUID // of the partition; zero unless the disk has a GPT
}

// Types and subtypes of device path nodes (UEFI specification 2.10, section 10.3).
const (
	mediaType        = 0x04
	hardDriveSubtype = 0x01
	hardDriveLength  = 42
	endType          = 0x7f
	nodeHeader       = 4
	guidSignature    = 2 // SignatureType of a GPT partition
)

// ParseLoadOption reads the data of a Boot#### variable. Of several paths the first, which is the one that is booted, counts.
func ParseLoadOption(data []byte) (LoadOption, error) {
	if len(data) < 6 {
		return LoadOption{}, fmt.Errorf("cannot parse load option: %d bytes are too few", len(data))
	}
	o := LoadOption{Attributes: binary.LittleEndian.Uint32(data)}
	pathLength := int(binary.LittleEndian.Uint16(data[4:]))
	rest := data[6:]

	var text []uint16
	for {
		if len(rest) < 2 {
			return LoadOption{}, fmt.Errorf("cannot parse load option: its description has no end")
		}
		c := binary.LittleEndian.Uint16(rest)
		rest = rest[2:]
		if c == 0 {
			break
		}
		text = append(text, c)
	}
	o.Description = string(utf16.Decode(text))

	if len(rest) < pathLength {
		return LoadOption{}, fmt.Errorf("cannot parse load option %q: its device path of %d bytes is cut off after %d", o.Description, pathLength, len(rest))
	}
	hd, found, err := findHardDrive(rest[:pathLength])
	if err != nil {
		return LoadOption{}, fmt.Errorf("cannot parse load option %q: %w", o.Description, err)
	}
	if found {
		o.HardDrive = &hd
	}
	return o, nil
}

// findHardDrive walks the nodes of the first device path up to the first that is a partition.
func findHardDrive(path []byte) (HardDrive, bool, error) {
	for len(path) > 0 {
		if len(path) < nodeHeader {
			return HardDrive{}, false, fmt.Errorf("cannot parse device path: %d bytes are left over", len(path))
		}
		length := int(binary.LittleEndian.Uint16(path[2:]))
		if length < nodeHeader || length > len(path) {
			return HardDrive{}, false, fmt.Errorf("cannot parse device path: a node claims %d of %d bytes", length, len(path))
		}
		node := path[:length]
		if node[0] == endType {
			return HardDrive{}, false, nil
		}
		if node[0] == mediaType && node[1] == hardDriveSubtype {
			if length != hardDriveLength {
				return HardDrive{}, false, fmt.Errorf("cannot parse device path: a hard drive node has %d bytes, want %d", length, hardDriveLength)
			}
			hd := HardDrive{
				Partition: binary.LittleEndian.Uint32(node[4:]),
				Start:     binary.LittleEndian.Uint64(node[8:]),
				Size:      binary.LittleEndian.Uint64(node[16:]),
			}
			if node[41] == guidSignature {
				copy(hd.GUID[:], node[24:40])
			}
			return hd, true, nil
		}
		path = path[length:]
	}
	return HardDrive{}, false, nil
}
