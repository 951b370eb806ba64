package gpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

const (
	diskGUID = "11111111-2222-3333-4444-555555555555"
	appGUID  = "aaaaaaaa-0000-4000-8000-000000000001"
	espGUID  = "aaaaaaaa-0000-4000-8000-00000000000a"
)

// image is made once: sgdisk syncs the whole system each time.
var image []byte

// sgdiskImage lets sgdisk, as the independent judge, lay out a disk with three partitions: 1, 2 and 10.
func sgdiskImage(t testing.TB) []byte {
	t.Helper()
	if image != nil {
		return bytes.Clone(image)
	}
	p := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(p, make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sgdisk", "--disk-guid="+diskGUID, "--set-alignment=1",
		"--new=1:40:2087", "--change-name=1:APP", "--typecode=1:8300", "--partition-guid=1:"+appGUID,
		"--new=2:2088:4135", "--change-name=2:Größe 𝄞", "--typecode=2:0700",
		"--new=10:4136:6183", "--change-name=10:esp", "--typecode=10:ef00", "--partition-guid=10:"+espGUID, p).CombinedOutput()
	if err != nil {
		t.Fatalf("this test needs sgdisk (package gdisk): %v: %s", err, out)
	}
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	image = b
	return bytes.Clone(b)
}

func read(b []byte) (*gpt.Table, error) { return gpt.Read(bytes.NewReader(b), int64(len(b)), 512) }

func wantEntries(t *testing.T, table *gpt.Table) {
	t.Helper()
	for i := range table.Entries {
		if table.Entries[i].Number == 2 {
			table.Entries[i].Unique = guid.GUID{} // sgdisk made a random one
		}
	}
	want := []gpt.Entry{
		{Number: 1, Type: gpt.TypeLinux, Unique: guid.MustParse(appGUID), FirstLBA: 40, LastLBA: 2087, Name: "APP"},
		{Number: 2, Type: gpt.TypeBasicData, FirstLBA: 2088, LastLBA: 4135, Name: "Größe 𝄞"},
		{Number: 10, Type: gpt.TypeESP, Unique: guid.MustParse(espGUID), FirstLBA: 4136, LastLBA: 6183, Name: "esp"},
	}
	if d := cmp.Diff(want, table.Entries); d != "" {
		t.Error(d)
	}
	if table.Disk.String() != diskGUID {
		t.Errorf("disk %s", table.Disk)
	}
}

func TestReadWhatSgdiskWrote(t *testing.T) {
	table, err := read(sgdiskImage(t))
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, table)
	if table.Note != "" || table.BlockSize != 512 {
		t.Errorf("note %q, block size %d", table.Note, table.BlockSize)
	}
	if e, ok := table.ByUnique(guid.MustParse(espGUID)); !ok || e.Number != 10 {
		t.Errorf("%+v, %v", e, ok)
	}
	if _, ok := table.ByUnique(guid.MustParse(diskGUID)); ok {
		t.Error("found a partition that is none")
	}
}

// sum computes the header's checksum anew, so that a change is judged by itself.
func sum(b []byte, at int) {
	h := b[at:]
	binary.LittleEndian.PutUint32(h[16:], 0)
	size := min(int(binary.LittleEndian.Uint32(h[12:])), 512)
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:size]))
}

// entrySum computes the checksum of the entries in block 2 and then that of the primary header.
func entrySum(b []byte) {
	binary.LittleEndian.PutUint32(b[512+88:], crc32.ChecksumIEEE(b[1024:1024+128*128]))
	sum(b, 512)
}

// Each part that can be damaged, one at a time, in the primary table: the backup steps in. With the backup gone as
// well, there is none.
func TestDamage(t *testing.T) {
	le := binary.LittleEndian
	tests := []struct {
		name   string
		damage func(b []byte)
		note   string
	}{
		{"signature", func(b []byte) { b[512] ^= 1 }, "holds no header"},
		{"revision", func(b []byte) { b[512+8] ^= 1; sum(b, 512) }, "unknown revision"},
		{"header size too small", func(b []byte) { le.PutUint32(b[512+12:], 91) }, "claims 91 bytes"},
		{"header size too large", func(b []byte) { le.PutUint32(b[512+12:], 513) }, "claims 513 bytes"},
		{"header size huge", func(b []byte) { le.PutUint32(b[512+12:], 0xffffffff) }, "claims 4294967295 bytes"},
		{"header checksum", func(b []byte) { b[512+16] ^= 1 }, "header has checksum"},
		{"disk GUID", func(b []byte) { b[512+56] ^= 1 }, "header has checksum"},
		{"own block", func(b []byte) { b[512+24] = 2; sum(b, 512) }, "says that it is in block 2"},
		{"entries beyond the disk", func(b []byte) { le.PutUint64(b[512+72:], 1<<40); sum(b, 512) }, "beyond a disk"},
		{"entries past the last block", func(b []byte) { le.PutUint64(b[512+72:], uint64(len(b)/512-1)); sum(b, 512) }, "beyond a disk"},
		{"entries at the highest block", func(b []byte) { le.PutUint64(b[512+72:], 1<<64-1); sum(b, 512) }, "beyond a disk"},
		{"number of entries", func(b []byte) { le.PutUint32(b[512+80:], 0xffffffff); sum(b, 512) }, "claims 4294967295 entries"},
		{"fewer entries", func(b []byte) { le.PutUint32(b[512+80:], 4); sum(b, 512) }, "entries have checksum"},
		{"size of entries", func(b []byte) { le.PutUint32(b[512+84:], 129); sum(b, 512) }, "entries of 129 bytes"},
		{"entries of no size", func(b []byte) { le.PutUint32(b[512+84:], 0); sum(b, 512) }, "entries of 0 bytes"},
		{"a name", func(b []byte) { b[1024+56] ^= 1 }, "entries have checksum"},
		{"an unused entry", func(b []byte) { b[1024+5*128] ^= 1 }, "entries have checksum"},
		{"a partition that ends before it starts", func(b []byte) { le.PutUint64(b[1024+40:], 39); entrySum(b) }, "spans blocks 40 to 39"},
		{"a partition beyond the disk", func(b []byte) { le.PutUint64(b[1024+40:], uint64(len(b)/512)); entrySum(b) }, "spans blocks 40 to 16384"},
	}
	good := sgdiskImage(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(good)
			tt.damage(b)
			table, err := read(b)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(table.Note, tt.note) {
				t.Errorf("note %q, want %q in it", table.Note, tt.note)
			}
			wantEntries(t, table)

			b[len(b)-512] ^= 1
			_, err = read(b)
			if err == nil || !strings.Contains(err.Error(), tt.note) || !strings.Contains(err.Error(), "backup: block 16383 holds no header") || fail.CodeOf(err) != fail.Unavailable {
				t.Errorf("both damaged: %v", err)
			}
		})
	}
	b := bytes.Clone(good)
	b[len(b)-512] ^= 1
	if table, err := read(b); err != nil || table.Note != "" {
		t.Errorf("a damaged backup alone: %+v, %v", table, err)
	}
}

// An image that was written to a larger disk has no backup at its end; the primary table counts.
func TestLargerDisk(t *testing.T) {
	b := append(sgdiskImage(t), make([]byte, 1<<20)...)
	table, err := read(b)
	if err != nil || table.Note != "" || len(table.Entries) != 3 {
		t.Errorf("%+v, %v", table, err)
	}
}

// sgdisk cannot be told a block size, so the image is its own with every structure moved to 4096-byte blocks.
func TestBlocksOf4096Bytes(t *testing.T) {
	small := sgdiskImage(t)
	const bs, blocks = 4096, 8192
	b := make([]byte, bs*blocks)
	copy(b[bs:], small[512:512+92])
	copy(b[2*bs:], small[1024:1024+128*128])
	sum(b, bs)
	table, err := gpt.Read(bytes.NewReader(b), int64(len(b)), bs)
	if err != nil {
		t.Fatal(err)
	}
	wantEntries(t, table)
	if _, err := gpt.Read(bytes.NewReader(b), int64(len(b)), 512); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("with the wrong block size: %v", err)
	}
	if _, err := gpt.Read(bytes.NewReader(b), int64(len(b)), 1024); fail.CodeOf(err) != fail.Internal {
		t.Errorf("with an impossible block size: %v", err)
	}
}

type broken struct{ from int64 }

func (r broken) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.from {
		return 0, errors.New("medium error")
	}
	clear(p)
	return len(p), nil
}

func TestNoTable(t *testing.T) {
	for name, tt := range map[string]struct {
		r    io.ReaderAt
		size int64
		want fail.Code
	}{
		"empty disk":    {bytes.NewReader(make([]byte, 1<<20)), 1 << 20, fail.Unavailable},
		"tiny disk":     {bytes.NewReader(make([]byte, 1024)), 1024, fail.Unavailable},
		"no disk":       {bytes.NewReader(nil), 0, fail.Unavailable},
		"negative size": {bytes.NewReader(nil), -1, fail.Unavailable},
		"read error":    {broken{0}, 1 << 20, fail.IO},
		"at the backup": {broken{1 << 19}, 1 << 20, fail.IO},
		"shorter":       {bytes.NewReader(make([]byte, 2048)), 1 << 20, fail.IO},
	} {
		if _, err := gpt.Read(tt.r, tt.size, 512); fail.CodeOf(err) != tt.want || !strings.HasPrefix(err.Error(), "cannot read partition table") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever a disk holds, reading ends, and what it returns lies on the disk. The fuzzer may change header and entries; the
// checksums are then made right, so that it gets behind them.
func FuzzRead(f *testing.F) {
	image := sgdiskImage(f)
	header, entries := image[512:512+92], image[1024:1024+128*12]
	f.Add(header, entries, true)
	f.Add(header, entries, false)
	f.Add([]byte{}, []byte{}, true)
	f.Fuzz(func(t *testing.T, header, entries []byte, fix bool) {
		b := make([]byte, 1<<20)
		copy(b[512:1024], header)
		copy(b[1024:], entries)
		if fix {
			count, size := binary.LittleEndian.Uint32(b[512+80:]), binary.LittleEndian.Uint32(b[512+84:])
			if n := uint64(count) * uint64(size); n <= uint64(len(b)-1024) {
				binary.LittleEndian.PutUint32(b[512+88:], crc32.ChecksumIEEE(b[1024:1024+n]))
			}
			sum(b, 512)
		}
		table, err := read(b)
		if err != nil {
			if fail.CodeOf(err) == fail.Internal {
				t.Fatalf("internal error: %v", err)
			}
			return
		}
		for _, e := range table.Entries {
			if e.FirstLBA > e.LastLBA || e.LastLBA >= uint64(len(b)/512) || e.Type.IsZero() || e.Number < 1 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
