package flash

import (
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

// t234 are the partitions of Orin's flash in sectors of 512 bytes, in order (flash_t234_qspi.xml of L4T R36): BCT, a chain, what is
// shared, and the last four units of 64 KiB.
type sectors struct {
	name    string
	sectors int64
}

var vers = sectors{"VER", 1} // a chain's version is behind all else

var (
	chain234 = []sectors{
		{"mb1", 1024}, {"psc_bl1", 512}, {"MB1_BCT", 256}, {"MEM_BCT", 512}, {"tsec-fw", 2048}, {"nvdec", 2048}, {"mb2", 1024},
		{"xusb-fw", 512}, {"bpmp-fw", 3072}, {"bpmp-fw-dtb", 8192}, {"psc-fw", 1536}, {"mts-mce", 1024}, {"sc7", 384}, {"pscrf", 384},
		{"mb2rf", 256}, {"cpu-bootloader", 7168}, {"secure-os", 8192}, {"smm-fw", 4096}, {"eks", 512}, {"dce-fw", 10240}, {"spe-fw", 1152},
		{"rce-fw", 2048}, {"adsp-fw", 4096}, {"pva-fw", 512}, {"reserved_on_boot", 2176},
	}
	shared234 = []sectors{
		{"uefi_variables", 512}, {"uefi_ftw", 1024}, {"reserved", 384}, {"worm", 384}, {"BCT-boot-chain_backup", 128}, {"reserved_partition", 128},
	}
)

const unit64 = 64 << 10

type partition struct {
	name      string
	off, size int64
}

// plan is a flash's layout. Scaled down, each partition has the same place among the others; the last 256 KiB are in full size.
type plan struct {
	parts       []partition
	size, erase int64
}

func layoutOf(erase, scale int64) plan {
	p := plan{erase: erase}
	add := func(name string, sectors int64) {
		size := sectors * 512
		if scale > 1 {
			size = max(1, sectors*512/unit64/scale) * erase
		}
		p.parts = append(p.parts, partition{name, p.size, size})
		p.size += size
	}
	add("BCT", 2048)
	for _, prefix := range []string{"A_", "B_"} {
		for _, c := range chain234 {
			add(prefix+c.name, c.sectors)
		}
	}
	for _, s := range shared234 {
		add(s.name, s.sectors)
	}
	p.size = (p.size + 4096 + unit64 - 1) / unit64 * unit64 // room for a new partition where it is scaled
	if scale == 1 {
		p.size -= unit64
	}
	for _, name := range []string{"secondary_gpt_backup", "B_VER", "A_VER"} {
		p.parts = append(p.parts, partition{name, p.size, unit64})
		p.size += unit64
	}
	p.size += unit64
	return p
}

func (p plan) part(name string) partition {
	for _, q := range p.parts {
		if q.name == name {
			return q
		}
	}
	panic("no partition " + name)
}

// free is the first byte that no partition has.
func (p plan) free() int64 {
	q := p.part("reserved_partition")
	return q.off + q.size
}

// table builds a partition table as the flashing tools do.
func (p plan) table(place int64, more ...partition) []byte {
	blob := make([]byte, gpt.ChainSize)
	le := binary.LittleEndian
	for i, q := range append(append([]partition(nil), p.parts...), more...) {
		e := blob[i*128:]
		copy(e, gpt.TypeBasicData[:])
		e[16], e[17] = byte(i+1), 0x42
		le.PutUint64(e[32:], uint64(q.off/512))
		le.PutUint64(e[40:], uint64((q.off+q.size)/512-1))
		for k, c := range utf16.Encode([]rune(q.name)) {
			le.PutUint16(e[56+2*k:], c)
		}
	}
	h := blob[gpt.ChainEntries:]
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x10000)
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], uint64(p.size/512-1))
	le.PutUint64(h[48:], uint64(p.size/512-1))
	le.PutUint64(h[72:], uint64(place/512))
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	sumTable(blob)
	return blob
}

func sumTable(blob []byte) {
	le := binary.LittleEndian
	h := blob[gpt.ChainEntries:]
	le.PutUint32(h[88:], crc32.ChecksumIEEE(blob[:gpt.ChainEntries]))
	le.PutUint32(h[16:], 0)
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
}

func (p plan) place(s backends.Slot) int64 { return gpt.ChainPlace(p.size, p.erase, s.Index()) }
