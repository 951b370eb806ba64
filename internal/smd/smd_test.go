package smd_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

// vector is a record of version 3 with both slots successful; its checksum was computed by hand with zlib.
const vector = "004e424303030200" + "0f5f610701" + "0e5f620701" + "96c7a035"

func both() *smd.Metadata {
	return &smd.Metadata{Version: 3, Flags: smd.Bootloader | smd.User, MaxSlots: 2, Slots: [2]smd.Slot{
		{Priority: 15, Suffix: "_a", Retry: 7, Successful: true}, {Priority: 14, Suffix: "_b", Retry: 7, Successful: true},
	}}
}

func extended(version uint8) *smd.Metadata {
	m := both()
	m.Version, m.Flags = version, m.Flags|smd.Rootfs
	m.Extension = &smd.Extension{Version: 1, Select: 0x31, Status: [2]uint8{0, 1}, UpdateMode: [2]uint8{2, 3}, Reserved: [3]uint8{4, 5, 6},
		MaxRetry: 7, Log: make([]byte, 144)}
	return m
}

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestVectorReadsAndWrites(t *testing.T) {
	got, err := smd.Parse(bytesOf(t, vector))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(both(), got); d != "" {
		t.Error(d)
	}
	if text := hex.EncodeToString(got.Bytes()); text != vector {
		t.Errorf("built %s, want %s", text, vector)
	}
}

func TestExtensionHasItsPlaces(t *testing.T) {
	raw := extended(5).Bytes()
	if len(raw) != smd.SizeExtended {
		t.Fatalf("%d bytes, want %d", len(raw), smd.SizeExtended)
	}
	// Offsets of struct smd_extension_s in tegra-boot-tools, behind 22 bytes: length 4, magic 8, version 12, rootfs 16, retries 24.
	if got := hex.EncodeToString(raw[26:47]); got != "a5000000"+"454e4243"+"01000000"+"31"+"0001"+"0203"+"040506"+"07" {
		t.Errorf("extension is %s", got)
	}
}

func TestEveryVersionSurvivesARoundTrip(t *testing.T) {
	old := both()
	old.Version = 1
	off := &smd.Metadata{Version: 3, MaxSlots: 1, Slots: [2]smd.Slot{{Priority: 15, Suffix: "_a", Retry: 7, Successful: true}, {}}}
	bare := both()
	bare.Version = 9
	for _, m := range []*smd.Metadata{old, both(), off, extended(4), extended(5), extended(6), bare} {
		for _, tail := range []int{0, 1, 4096} {
			got, err := smd.Parse(append(m.Bytes(), make([]byte, tail)...))
			if err != nil {
				t.Fatalf("version %d, %d bytes behind it: %v", m.Version, tail, err)
			}
			if d := cmp.Diff(m, got); d != "" {
				t.Errorf("version %d, %d bytes behind it: %s", m.Version, tail, d)
			}
		}
	}
}

func TestMalformedIsRefusedWithTheOffset(t *testing.T) {
	change := func(raw []byte, at int, to byte) []byte {
		raw = append([]byte{}, raw...)
		raw[at] = to
		return raw
	}
	plain, ext := both().Bytes(), extended(4).Bytes()
	for _, tt := range []struct {
		name   string
		raw    []byte
		offset int64
		field  string
	}{
		{"nothing", nil, 0, "record"},
		{"cut in a slot", plain[:17], 17, "record"},
		{"cut in the checksum", plain[:20], 20, "CRC"},
		{"erased", []byte(strings.Repeat("\xff", 64)), 0, "magic"},
		{"version 0", change(plain, 4, 0), 4, "version"},
		{"three slots", change(plain, 6, 3), 6, "number of slots"},
		{"a bit of a slot", change(plain, 11, 6), 18, "CRC"},
		{"a bit of the checksum", change(plain, 21, 0), 18, "CRC"},
		{"version 4 without extension", extended(4).Bytes()[:22], 22, "extension"},
		{"length too small", change(ext, 26, 20), 26, "length of the extension"},
		{"length too large", change(ext, 27, 1), 26, "length of the extension"},
		{"another extension", change(ext, 30, 'X'), 30, "magic of the extension"},
		{"a bit of the extension", change(ext, 38, 0xff), 22, "CRC of the extension"},
		{"cut in the log", ext[:190], 26, "length of the extension"},
	} {
		_, err := smd.Parse(tt.raw)
		var f *bup.FormatError
		if !errors.As(err, &f) || f.Offset != tt.offset || f.Field != tt.field || fail.CodeOf(err) != fail.Data {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestNextIsTheHighestPriorityWithRetries(t *testing.T) {
	for _, tt := range []struct {
		name   string
		a, b   smd.Slot
		max    uint16
		want   int
		wantOK bool
	}{
		{"as flashed", smd.Slot{Priority: 15, Retry: 7}, smd.Slot{Priority: 14, Retry: 7}, 2, 0, true},
		{"B asked for", smd.Slot{Priority: 14, Retry: 7}, smd.Slot{Priority: 15, Retry: 7}, 2, 1, true},
		{"B without retries", smd.Slot{Priority: 14, Retry: 1}, smd.Slot{Priority: 15, Successful: true}, 2, 0, true},
		{"A without priority", smd.Slot{Retry: 7, Successful: true}, smd.Slot{Priority: 1, Retry: 1}, 2, 1, true},
		{"a tie", smd.Slot{Priority: 14, Retry: 7}, smd.Slot{Priority: 14, Retry: 7}, 2, 0, true},
		{"one slot", smd.Slot{Priority: 1, Retry: 7}, smd.Slot{Priority: 15, Retry: 7}, 1, 0, true},
		{"none", smd.Slot{Priority: 15}, smd.Slot{Retry: 7}, 2, 0, false},
	} {
		m := &smd.Metadata{Version: 3, Flags: smd.Bootloader, MaxSlots: tt.max, Slots: [2]smd.Slot{tt.a, tt.b}}
		if got, ok := m.Next(); got != tt.want || ok != tt.wantOK {
			t.Errorf("%s: %d, %t", tt.name, got, ok)
		}
	}
}

func TestRedundantNeedsFlagsAndTwoSlots(t *testing.T) {
	for _, tt := range []struct {
		flags smd.Flags
		max   uint16
		want  bool
	}{{smd.Bootloader, 2, true}, {smd.Unified, 2, true}, {0, 2, false}, {smd.Bootloader, 1, false}} {
		if got := (&smd.Metadata{Flags: tt.flags, MaxSlots: tt.max}).Redundant(); got != tt.want {
			t.Errorf("flags %d, %d slots: %t", tt.flags, tt.max, got)
		}
	}
}

func TestAnyRecordSurvivesARoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slot := rapid.Custom(func(t *rapid.T) smd.Slot {
			return smd.Slot{Priority: rapid.Uint8().Draw(t, "priority"), Suffix: rapid.SampledFrom([]string{"", "_a", "_b"}).Draw(t, "suffix"),
				Retry: rapid.Uint8().Draw(t, "retry"), Successful: rapid.Bool().Draw(t, "successful")}
		})
		m := &smd.Metadata{Version: uint8(rapid.IntRange(1, 5).Draw(t, "version")), Flags: smd.Flags(rapid.Uint8().Draw(t, "flags")),
			MaxSlots: rapid.Uint16Range(0, 2).Draw(t, "slots"), Slots: [2]smd.Slot{slot.Draw(t, "a"), slot.Draw(t, "b")}}
		if m.Version >= 4 {
			m.Extension = &smd.Extension{Version: rapid.Uint32().Draw(t, "ext"), Select: rapid.Uint8().Draw(t, "select"),
				Log: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "log")}
		}
		got, err := smd.Parse(m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(bytesOf(f, vector))
	f.Add(extended(4).Bytes())
	f.Add(extended(7).Bytes())
	f.Add([]byte("\x00NBC\x01\x00\x02\x00__________"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := smd.Parse(raw)
		if err != nil {
			if fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), "at offset ") {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := smd.Parse(m.Bytes())
		if err != nil {
			t.Fatalf("%+v does not read back: %v", m, err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Fatal(d)
		}
	})
}
