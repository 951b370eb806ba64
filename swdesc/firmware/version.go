package firmware

import (
	"bytes"
	"errors"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// Bounds on what is kept of a package: firmware reads 8 KiB of VER (edk2-nvidia FmpVersionLibPartition.c), and real
// packages have one VER per board at most.
const (
	maxVersionText  = 8 << 10
	maxVersionTexts = 16
)

// Lines of VER, from 0, and what stands before the checksum on its line (edk2-nvidia VerPartitionLib.c).
const (
	versionTextID   = "NV4"
	versionWordLine = 4
	versionSumLine  = 5
	versionSumMark  = "CRC32:"
)

// versionText is an image VER while the package goes by.
type versionText struct {
	offset, length int64 // in the bytes of the whole file
	bytes          []byte
}

// versionTexts finds the images VER of a package that starts at byte base of a file.
func versionTexts(p *bup.Package, base int64) []versionText {
	var texts []versionText
	for _, e := range p.Entries {
		if e.Name == "VER" && len(texts) < maxVersionTexts {
			texts = append(texts, versionText{offset: base + int64(e.Offset), length: min(int64(e.Length), maxVersionText)})
		}
	}
	return texts
}

// collect takes what belongs to the image out of chunk, which starts at byte pos of the file. Chunks come in order.
func (t *versionText) collect(chunk []byte, pos int64) {
	from, to := max(t.offset, pos), min(t.offset+t.length, pos+int64(len(chunk)))
	if from < to {
		t.bytes = append(t.bytes, chunk[from-pos:to-pos]...)
	}
}

// parseVersionText returns the version word of an image VER, under the conditions under which firmware takes it: the
// fourth generation of the text, and a right CRC-32 of all lines before the one that holds it.
func parseVersionText(raw []byte) (capsule.Version, error) {
	text, _, _ := strings.Cut(string(raw), "\x00")
	if !strings.HasPrefix(text, versionTextID) {
		return 0, errors.New("it does not start with " + versionTextID)
	}
	lines := strings.SplitAfterN(text, "\n", versionSumLine+1)
	if len(lines) <= versionSumLine {
		return 0, errors.New("it has no line with a checksum")
	}
	_, sum, ok := strings.Cut(lines[versionSumLine], versionSumMark)
	want, err := strconv.ParseUint(leadingHex(sum), 16, 32)
	if !ok || err != nil {
		return 0, errors.New("its checksum is no number")
	}
	summed := bytes.TrimSuffix([]byte(text), []byte(lines[versionSumLine]))
	if crc32.ChecksumIEEE(summed) != uint32(want) {
		return 0, errors.New("its checksum is wrong")
	}
	word, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(lines[versionWordLine]), "0x"), 16, 32)
	if err != nil {
		return 0, errors.New("its version word is no number of 32 bits")
	}
	return capsule.Version(word), nil
}

// leadingHex returns the hexadecimal digits that s starts with.
func leadingHex(s string) string {
	return s[:len(s)-len(strings.TrimLeft(s, "0123456789abcdefABCDEF"))]
}
