package virtual

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// A synthetic image stands for a signed one: a header in front of the payload lets BootROM and MB1 of the model judge it,
// as the real ones judge the "NVDA" boot header. Layout: magic 16, version u32, payload length u32, name 40, SHA-256 32.
const (
	imageMagic     = "NVDA" + "virtual-orin"
	imageHeader    = 96
	defaultImage   = 4 << 10
	eraseHead      = 4 << 10 // what TegraFmp.c erases of mb1 to invalidate a chain
	versionImage   = "VER"
	firstImage     = "mb1"
	bctImage       = "BCT"
	gptImage       = "secondary_gpt" // its place in a chain is a file of the same name
	backupImage    = "BCT-boot-chain_backup"
	unknownVersion = capsule.Version(0xffffffff)
	systemVersions = capsule.Version(36<<16 | 3<<8) // SystemFwVersions came with R36.3 (FmpVersionLibPartition.c)
)

// flashPart is one partition of a chain.
type flashPart struct {
	Name    string
	Sectors int64
}

// chainParts lists the partitions of a T234's chain with their sizes in sectors, from the flash log of a T234 (flash_t234_qspi.xml).
// uefi_variables, eks and what else an update never touches is left out.
func chainParts() []flashPart {
	return []flashPart{
		{firstImage, 1024}, {"psc_bl1", 512}, {"MB1_BCT", 256}, {"MEM_BCT", 512}, {"tsec-fw", 2048}, {"nvdec", 2048}, {"mb2", 1024},
		{"xusb-fw", 512}, {"bpmp-fw", 3072}, {"bpmp-fw-dtb", 8192}, {"psc-fw", 1536}, {"mts-mce", 1024}, {"sc7", 384},
		{"pscrf", 384}, {"mb2rf", 256}, {"cpu-bootloader", 7168}, {"secure-os", 8192}, {"dce-fw", 10240}, {"spe-fw", 1152},
		{"rce-fw", 2048}, {"adsp-fw", 4096}, {"pva-fw", 512}, {versionImage, 128}, {gptImage, 128},
	}
}

// boardImage says which images differ from board to board, so that a capsule carries one per spec.
func boardImage(name string) bool {
	return name == "MB1_BCT" || name == "MEM_BCT" || name == gptImage || name == backupImage
}

// required is what the running firmware asks of a package (FwImageNames.c; the lists of R35 lack pva-fw).
func (b board) required(running capsule.Version) []string {
	if b.Chip == chipT194 {
		return bup.RequiredT194
	}
	if running>>16 < 36 {
		return bup.RequiredT234R35
	}
	return bup.RequiredT234
}

// synthetic makes an image whose bytes follow from name, version and spec alone.
func synthetic(name string, version capsule.Version, spec string, size int) []byte {
	if name == versionImage {
		return versionText(version, spec)
	}
	if size < imageHeader+32 {
		size = imageHeader + 32
	}
	img := make([]byte, size)
	payload := img[imageHeader:]
	seed := sha256.Sum256([]byte(fmt.Sprintf("%s\x00%d\x00%s", name, version, spec)))
	x := binary.LittleEndian.Uint64(seed[:]) | 1
	for i := 0; i+8 <= len(payload); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(payload[i:], x)
	}
	copy(img, imageMagic)
	binary.LittleEndian.PutUint32(img[16:], uint32(version))
	binary.LittleEndian.PutUint32(img[20:], uint32(len(payload)))
	copy(img[24:64], name)
	sum := sha256.Sum256(payload)
	copy(img[64:], sum[:])
	return img
}

// versionText is a VER partition as VerPartitionLib.c reads it; its last line is its own checksum.
func versionText(v capsule.Version, spec string) []byte {
	id, sku, fab := "3767", "0005", "300"
	if f := strings.Split(spec, "-"); len(f) > 2 {
		id, fab, sku = f[0], f[1], f[2]
	}
	body := fmt.Sprintf("NV4\n# R%d , REVISION: %d.%d\nBOARDID=%s BOARDSKU=%s FAB=%s\n20240101000000\n0x%08X\n",
		v>>16, v>>8&0xff, v&0xff, id, sku, fab, uint32(v))
	return []byte(fmt.Sprintf("%sBYTES:%d CRC32:%08X\n", body, len(body), crc32.ChecksumIEEE([]byte(body))))
}

// readVersionText returns the version word of a VER image whose checksum is right.
func readVersionText(raw []byte) (capsule.Version, error) {
	at := bytes.Index(raw, []byte("BYTES:"))
	if at < 0 {
		return unknownVersion, fmt.Errorf("cannot read VER: no line BYTES")
	}
	var n int
	var sum uint32
	if _, err := fmt.Sscanf(string(raw[at:min(len(raw), at+40)]), "BYTES:%d CRC32:%X", &n, &sum); err != nil {
		return unknownVersion, fmt.Errorf("cannot read VER: %w", err)
	}
	if n != at || crc32.ChecksumIEEE(raw[:at]) != sum {
		return unknownVersion, fmt.Errorf("cannot read VER: its checksum is wrong")
	}
	for _, line := range strings.Split(string(raw[:at]), "\n") {
		if word, err := strconv.ParseUint(line, 0, 32); err == nil && strings.HasPrefix(line, "0x") {
			return capsule.Version(word), nil
		}
	}
	return unknownVersion, fmt.Errorf("cannot read VER: no version word")
}

// judge says why an image would not start, nil if it would. Images that are not ours (out of a real capsule) pass unless
// they are erased: the model can not know more about them.
func judge(name string, raw []byte) (capsule.Version, error) {
	if name == versionImage {
		return readVersionText(raw)
	}
	head := raw[:min(len(raw), 16)]
	if len(head) == 0 || len(bytes.Trim(head, "\xff")) == 0 {
		return unknownVersion, fmt.Errorf("it is erased")
	}
	if !bytes.HasPrefix(raw, []byte(imageMagic)) {
		return unknownVersion, nil
	}
	if len(raw) < imageHeader {
		return unknownVersion, fmt.Errorf("its header is cut off")
	}
	version := capsule.Version(binary.LittleEndian.Uint32(raw[16:]))
	size := int(binary.LittleEndian.Uint32(raw[20:]))
	if own := string(bytes.TrimRight(raw[24:64], "\x00")); own != name {
		return version, fmt.Errorf("it is an image of %s", own)
	}
	// A partition is larger than its image; what lies behind is erased flash.
	if size >= 0 && size < len(raw)-imageHeader && len(bytes.Trim(raw[imageHeader+size:], "\xff")) == 0 {
		raw = raw[:imageHeader+size]
	}
	if size != len(raw)-imageHeader {
		return version, fmt.Errorf("it has %d bytes, its header says %d", len(raw)-imageHeader, size)
	}
	if sum := sha256.Sum256(raw[imageHeader:]); !bytes.Equal(sum[:], raw[64:96]) {
		return version, fmt.Errorf("its content does not fit its header")
	}
	return version, nil
}
