package flash

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
)

// t234 are the partitions of Orin's flash in sectors of 512 bytes, in order (flash_t234_qspi.xml of L4T R36): BCT, a chain, what is
// shared, and the last four units of 64 KiB.
var (
	chain234 = []struct {
		name    string
		sectors int64
	}{
		{"mb1", 1024}, {"psc_bl1", 512}, {"MB1_BCT", 256}, {"MEM_BCT", 512}, {"tsec-fw", 2048}, {"nvdec", 2048}, {"mb2", 1024},
		{"xusb-fw", 512}, {"bpmp-fw", 3072}, {"bpmp-fw-dtb", 8192}, {"psc-fw", 1536}, {"mts-mce", 1024}, {"sc7", 384}, {"pscrf", 384},
		{"mb2rf", 256}, {"cpu-bootloader", 7168}, {"secure-os", 8192}, {"smm-fw", 4096}, {"eks", 512}, {"dce-fw", 10240}, {"spe-fw", 1152},
		{"rce-fw", 2048}, {"adsp-fw", 4096}, {"pva-fw", 512}, {"reserved_on_boot", 2176},
	}
	shared234 = []struct {
		name    string
		sectors int64
	}{
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

// images are a chain's, by base name. mb1 lists what the others must be, so that a BootROM can judge.
type images map[string][]byte

// release makes a chain's images: about three quarters of each partition, none of eks and what is reserved.
func (p plan) release(seed int64) images {
	random := rand.New(rand.NewSource(seed))
	im := images{}
	for _, c := range append(chain234[1:len(chain234):len(chain234)], struct {
		name    string
		sectors int64
	}{"VER", 1}) {
		if c.name == "eks" || c.name == "reserved_on_boot" || c.name == "smm-fw" {
			continue
		}
		q := p.part("A_" + c.name)
		data := make([]byte, max(1, q.size*3/4-random.Int63n(500)))
		random.Read(data)
		if len(data) > 3000 {
			copy(data[1000:], bytes.Repeat([]byte{0xff}, 900)) // some pages need no program
		}
		im[c.name] = data
	}
	return im.seal(p, random)
}

// seal makes mb1: a first page with its own checksum and that of the rest, which lists the other images.
func (im images) seal(p plan, random io.Reader) images {
	var list []byte
	for _, c := range append(chain234, struct {
		name    string
		sectors int64
	}{"VER", 1}) {
		if data, ok := im[c.name]; ok && c.name != "mb1" {
			list = fmt.Appendf(list, "%s %d %d\n", c.name, len(data), crc32.ChecksumIEEE(data))
		}
	}
	body := make([]byte, max(int(p.part("A_mb1").size*3/4)-256, len(list)+1))
	_, _ = random.Read(body)
	copy(body, list)
	body[len(list)] = 0
	head := make([]byte, 256)
	copy(head, "MB1 ")
	binary.LittleEndian.PutUint32(head[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(head[12:], crc32.ChecksumIEEE(body))
	binary.LittleEndian.PutUint32(head[4:], crc32.ChecksumIEEE(head[8:]))
	im["mb1"] = append(head, body...)
	return im
}

// headValid and complete are the little BootROM: whether it would start a chain's mb1, and whether all that mb1 loads is whole.
func headValid(flash []byte, mb1 partition) bool {
	head := flash[mb1.off : mb1.off+256]
	return string(head[:4]) == "MB1 " && binary.LittleEndian.Uint32(head[4:]) == crc32.ChecksumIEEE(head[8:])
}

func complete(p plan, flash []byte, s backends.Slot) error {
	mb1 := p.part(string(s) + "_mb1")
	n := int64(binary.LittleEndian.Uint32(flash[mb1.off+8:]))
	body := flash[mb1.off+256 : mb1.off+256+n]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(flash[mb1.off+12:]) {
		return fmt.Errorf("mb1 itself is not whole")
	}
	list, _, _ := strings.Cut(string(body), "\x00")
	for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
		var name string
		var size int64
		var sum uint32
		if _, err := fmt.Sscan(line, &name, &size, &sum); err != nil {
			return err
		}
		if q := p.part(string(s) + "_" + name); crc32.ChecksumIEEE(flash[q.off:q.off+size]) != sum {
			return fmt.Errorf("%s is not whole", name)
		}
	}
	return nil
}

// put is how a flash looks when a chain's images are in place: behind each, its last block is erased.
func (p plan) put(flash []byte, s backends.Slot, im images) {
	for name, data := range im {
		q := p.part(string(s) + "_" + name)
		copy(flash[q.off:], data)
		end := (int64(len(data)) + p.erase - 1) / p.erase * p.erase
		for i := q.off + int64(len(data)); i < q.off+end; i++ {
			flash[i] = 0xff
		}
	}
}

// old is a flash with both chains and something in every shared partition.
func (p plan) old(im images) []byte {
	flash := bytes.Repeat([]byte{0xff}, int(p.size))
	random := rand.New(rand.NewSource(7))
	for _, q := range p.parts {
		if !strings.HasPrefix(q.name, "A_") && !strings.HasPrefix(q.name, "B_") && q.name != "secondary_gpt_backup" {
			random.Read(flash[q.off : q.off+q.size])
		}
	}
	for _, s := range backends.Slots {
		q := p.part(string(s) + "_eks")
		random.Read(flash[q.off : q.off+q.size])
		q = p.part(string(s) + "_rce-fw") // what an older, longer image left
		random.Read(flash[q.off : q.off+q.size])
		p.put(flash, s, im)
		copy(flash[p.place(s):], p.table(p.place(s)))
	}
	return flash
}

// rig is a machine with one flash chip.
type rig struct {
	t      testing.TB
	p      plan
	m      *device.Machine
	chip   *nor.Chip
	memory *nor.Memory
	s      *Stager
	parts  string // content of /proc/mtd
}

func newRig(t testing.TB, p plan, flash []byte, more func(*nor.Config)) *rig {
	t.Helper()
	root := t.TempDir()
	r := &rig{t: t, p: p, m: device.New(root), memory: nor.NewMemory()}
	r.file("/proc/mtd", fmt.Sprintf("dev:    size   erasesize  name\nmtd0: %08x %08x \"qspi\"\n", p.size, p.erase))
	if _, err := r.memory.WriteAt(flash, 0); err != nil {
		t.Fatal(err)
	}
	r.renew(more)
	return r
}

func (r *rig) file(path, text string) {
	r.t.Helper()
	host := r.m.Path(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(host, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// renew puts another chip around the same memory.
func (r *rig) renew(more func(*nor.Config)) {
	c := nor.Config{Size: r.p.size, EraseSize: r.p.erase, Storage: r.memory}
	if more != nil {
		more(&c)
	}
	var err error
	if r.chip, err = nor.New(c); err != nil {
		r.t.Fatal(err)
	}
	r.s = New(r.m, chip.T234, Options{})
	r.s.open = func(m *device.Machine, node string, _ bool) (mtd.Flash, error) { return mtd.On(m, node, r.chip), nil }
}

func (r *rig) bytes() []byte {
	b := make([]byte, r.p.size)
	if _, err := r.memory.ReadAt(b, 0); err != nil {
		r.t.Fatal(err)
	}
	return b
}

// pack makes an update. Extra images come behind.
func pack(t testing.TB, im images, extra ...bup.Image) []byte {
	t.Helper()
	var list []bup.Image
	for _, c := range append(chain234, struct {
		name    string
		sectors int64
	}{"VER", 1}) {
		if data, ok := im[c.name]; ok {
			list = append(list, bup.Image{Name: c.name, Data: data})
		}
	}
	b, err := bup.BuildBytes(bup.BuildOptions{Images: append(list, extra...)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// prepared opens an update for a target, as Receive does.
func (r *rig) prepared(update []byte, target backends.Slot) (*work, error) {
	r.t.Helper()
	p, err := bup.ParseAt(bytes.NewReader(update), int64(len(update)))
	if err != nil {
		r.t.Fatal(err)
	}
	chosen := p.Match("", "", nil).Chosen
	l, err := find(r.m, r.s.open, r.s.chip, target)
	if err != nil {
		return nil, err
	}
	defer l.close()
	return r.s.prepare(l, p, chosen, func(i int) *io.SectionReader {
		return io.NewSectionReader(bytes.NewReader(update), int64(p.Entries[i].Offset), int64(p.Entries[i].Length))
	})
}

// install writes an update.
func (r *rig) install(update []byte, target backends.Slot) (Report, error) {
	w, err := r.prepared(update, target)
	if err != nil {
		return Report{}, err
	}
	return w.perform(context.Background())
}

// firstDifference is for messages.
func firstDifference(p plan, a, b []byte) string {
	for i := range a {
		if a[i] != b[i] {
			for _, q := range p.parts {
				if int64(i) >= q.off && int64(i) < q.off+q.size {
					return fmt.Sprintf("at %#x, in %s at %#x: %#x, want %#x", i, q.name, int64(i)-q.off, a[i], b[i])
				}
			}
			return fmt.Sprintf("at %#x, in no partition: %#x, want %#x", i, a[i], b[i])
		}
	}
	return "none"
}
