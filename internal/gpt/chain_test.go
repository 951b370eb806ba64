package gpt_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
)

const flashSize = 1 << 20

// chainBlob makes sgdisk's entries into a table of a boot flash at a place, as NVIDIA's tools write it.
func chainBlob(t testing.TB, place int64) []byte {
	t.Helper()
	image := sgdiskImage(t)
	blob := make([]byte, gpt.ChainSize)
	copy(blob, image[1024:1024+128*128])
	le := binary.LittleEndian
	for i := 0; i < 10; i++ { // into a flash of 1 MiB
		if e := blob[i*128:]; le.Uint64(e[32:]) != 0 {
			le.PutUint64(e[32:], le.Uint64(e[32:])/8)
			le.PutUint64(e[40:], le.Uint64(e[40:])/8)
		}
	}
	h := blob[gpt.ChainEntries:]
	copy(h, image[512:512+92])
	le.PutUint64(h[40:], 0)
	le.PutUint64(h[48:], flashSize/512-1)
	le.PutUint64(h[72:], uint64(place/512))
	sumBlob(blob)
	return blob
}

func sumBlob(blob []byte) {
	h := blob[gpt.ChainEntries:]
	n := uint64(binary.LittleEndian.Uint32(h[80:])) * uint64(binary.LittleEndian.Uint32(h[84:]))
	if n <= uint64(gpt.ChainEntries) {
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(blob[:n]))
	}
	sum(blob, gpt.ChainEntries)
}

func bootFlash(t testing.TB, chain uint32) ([]byte, int64) {
	place := gpt.ChainPlace(flashSize, 4096, chain)
	b := bytes.Repeat([]byte{0xff}, flashSize)
	copy(b[place:], chainBlob(t, place))
	return b, place
}

func TestChainPlacesAreTheFirmwares(t *testing.T) {
	for _, tt := range []struct {
		size, erase int64
		chain       uint32
		want        int64
	}{
		{64 << 20, 64 << 10, 0, 0x3FFBE00},
		{64 << 20, 64 << 10, 1, 0x3FC0000},
		{64 << 20, 4 << 10, 1, 0x3FC0000},
		{64 << 20, 128 << 10, 1, 0x3F80000},
		{32 << 20, 64 << 10, 0, 0x1FFBE00},
	} {
		if got := gpt.ChainPlace(tt.size, tt.erase, tt.chain); got != tt.want {
			t.Errorf("%+v: %#x", tt, got)
		}
	}
}

func TestReadChain(t *testing.T) {
	for _, chain := range []uint32{0, 1} {
		b, place := bootFlash(t, chain)
		table, err := gpt.ReadChain(bytes.NewReader(b), flashSize, place)
		if err != nil || len(table.Entries) != 3 {
			t.Fatalf("chain %d: %+v, %v", chain, table, err)
		}
		e, ok := table.ByName("esp")
		if !ok || e.Number != 10 || e.Start() != 517*512 || e.Size() != 256*512 {
			t.Errorf("%+v, %v: %d, %d", e, ok, e.Start(), e.Size())
		}
		if _, ok := table.ByName("none"); ok {
			t.Error("found a partition that is none")
		}
	}
}

// Some tables count the entries' place from before the flash.
func TestEntriesBehindTheFlashAreLookedForOneFlashNearer(t *testing.T) {
	b, place := bootFlash(t, 1)
	binary.LittleEndian.PutUint64(b[place+gpt.ChainEntries+72:], uint64(place+flashSize)/512)
	sum(b, int(place)+gpt.ChainEntries)
	if table, err := gpt.ReadChain(bytes.NewReader(b), flashSize, place); err != nil || len(table.Entries) != 3 {
		t.Errorf("%+v, %v", table, err)
	}
}

func TestDamagedChainsAreRefused(t *testing.T) {
	le := binary.LittleEndian
	header := gpt.ChainEntries
	for name, tt := range map[string]struct {
		damage func(blob []byte)
		want   string // of the flash; "" is no error
		blob   string // of the same table in an update
	}{
		"no header":           {func(b []byte) { b[header] = 0 }, "holds no header", "holds no header"},
		"revision":            {func(b []byte) { b[header+8] ^= 1 }, "unknown revision", "unknown revision"},
		"header's checksum":   {func(b []byte) { b[header+16] ^= 1 }, "header has checksum", "header has checksum"},
		"an entry":            {func(b []byte) { b[60] ^= 1 }, "entries have checksum", "entries have checksum"},
		"entries elsewhere":   {func(b []byte) { le.PutUint64(b[header+72:], 1); sum(b, header) }, "entries have checksum", ""},
		"entries nowhere":     {func(b []byte) { le.PutUint64(b[header+72:], 1<<50); sum(b, header) }, "lie beyond", ""},
		"entries at the end":  {func(b []byte) { le.PutUint64(b[header+72:], flashSize/512); sum(b, header) }, "lie beyond", ""},
		"behind the flash":    {func(b []byte) { le.PutUint64(b[40:], flashSize/512); sumBlob(b) }, "spans blocks", "spans blocks"},
		"outside what usable": {func(b []byte) { le.PutUint64(b[header+40:], 6); sumBlob(b) }, "", "outside the usable 6 to"},
		"a longer header":     {func(b []byte) { le.PutUint32(b[header+12:], 96); sumBlob(b) }, "", "header of 96 bytes"},
		"too many entries":    {func(b []byte) { le.PutUint32(b[header+80:], 256); sumBlob(b) }, "entries have checksum", "claims 256 entries"},
		"entries of no size":  {func(b []byte) { le.PutUint32(b[header+84:], 0); sumBlob(b) }, "entries of 0 bytes", "entries of 0 bytes"},
	} {
		place := gpt.ChainPlace(flashSize, 4096, 1)
		blob := chainBlob(t, place)
		tt.damage(blob)
		b := bytes.Repeat([]byte{0xff}, flashSize)
		copy(b[place:], blob)
		_, err := gpt.ReadChain(bytes.NewReader(b), flashSize, place)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || fail.CodeOf(err) != fail.Unavailable) {
			t.Errorf("%s: flash: %v", name, err)
		}
		if errors.Is(err, gpt.ErrAbsent) != (name == "no header") {
			t.Errorf("%s: absent or damaged: %v", name, err)
		}
		_, err = gpt.Parse(blob, flashSize)
		if (err == nil) != (tt.blob == "") || err != nil && (!strings.Contains(err.Error(), tt.blob) || fail.CodeOf(err) != fail.Data) {
			t.Errorf("%s: update: %v", name, err)
		}
	}
	for _, n := range []int64{0, 511, gpt.ChainSize - 1, gpt.ChainSize + 1} {
		if _, err := gpt.Parse(make([]byte, n), flashSize); fail.CodeOf(err) != fail.Data {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, place := range []int64{-512, 100, flashSize, flashSize - gpt.ChainSize + 512} {
		if _, err := gpt.ReadChain(bytes.NewReader(make([]byte, flashSize)), flashSize, place); fail.CodeOf(err) != fail.Unavailable || errors.Is(err, gpt.ErrAbsent) {
			t.Errorf("at %d: %v", place, err)
		}
	}
	if _, err := gpt.ReadChain(broken{0}, flashSize, gpt.ChainPlace(flashSize, 4096, 0)); fail.CodeOf(err) != fail.IO {
		t.Errorf("a flash that cannot be read: %v", err)
	}
}

// Whatever a flash or an update holds, reading ends, and what it returns lies in the flash. The checksums are made right, so that
// the fuzzer gets behind them.
func FuzzChain(f *testing.F) {
	blob := chainBlob(f, gpt.ChainPlace(flashSize, 4096, 1))
	f.Add(blob[:128*12], blob[gpt.ChainEntries:gpt.ChainEntries+92], true)
	f.Add(blob[:128*12], blob[gpt.ChainEntries:gpt.ChainEntries+92], false)
	f.Add([]byte{}, []byte("EFI PART"), true)
	f.Fuzz(func(t *testing.T, entries, header []byte, fix bool) {
		blob := make([]byte, gpt.ChainSize)
		copy(blob[:gpt.ChainEntries], entries)
		copy(blob[gpt.ChainEntries:], header)
		if fix {
			sumBlob(blob)
		}
		place := gpt.ChainPlace(flashSize, 4096, 1)
		flash := bytes.Repeat([]byte{0xff}, flashSize)
		copy(flash[place:], blob)
		fromFlash, err := gpt.ReadChain(bytes.NewReader(flash), flashSize, place)
		if c := fail.CodeOf(err); c != fail.OK && c != fail.Unavailable {
			t.Fatalf("flash: %v", err)
		}
		fromBlob, err := gpt.Parse(blob, flashSize)
		if c := fail.CodeOf(err); c != fail.OK && c != fail.Data {
			t.Fatalf("update: %v", err)
		}
		for _, table := range []*gpt.Table{fromFlash, fromBlob} {
			if table == nil {
				continue
			}
			for _, e := range table.Entries {
				if e.Start() < 0 || e.Size() <= 0 || e.Start()+e.Size() > flashSize {
					t.Fatalf("%+v lies outside", e)
				}
			}
		}
	})
}
