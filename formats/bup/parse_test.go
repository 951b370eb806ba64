package bup_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

// What is built is read again as it was, whichever way it is read.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := options().Draw(t, "options")
		raw, err := bup.BuildBytes(o)
		if err != nil {
			t.Fatal(err)
		}
		want := wantPackage(o, len(raw))
		readers := map[string]func() (*bup.Package, error){
			"ParseAt":         func() (*bup.Package, error) { return bup.ParseAt(bytes.NewReader(raw), int64(len(raw))) },
			"Parse":           func() (*bup.Package, error) { return bup.Parse(bytes.NewReader(raw)) },
			"Parse, one byte": func() (*bup.Package, error) { return bup.Parse(iotest.OneByteReader(bytes.NewReader(raw))) },
			"Parse, EOF with data": func() (*bup.Package, error) {
				return bup.Parse(iotest.DataErrReader(bytes.NewReader(raw)))
			},
		}
		for name, read := range readers {
			got, err := read()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if !bup.IsBUP(raw[:16]) {
			t.Error("IsBUP says no")
		}
	})
}

// Headers and tables of real packages, as strace and hex dumps in public issues show them, with zeros for images and one
// last entry over the part of the table that is not published.
func TestRealHeaders(t *testing.T) {
	type row struct {
		name            string
		offset, length  uint32
		version, opMode uint32
	}
	for _, tt := range []struct {
		name                    string
		version                 uint32
		size, headerSize, count uint32
		decoded                 string
		rows                    []row
	}{
		{ // tegra-demo-distro issue 52
			name: "Xavier NX R32", version: 0x00020000, size: 47626452, headerSize: 48, count: 27, decoded: "2.0",
			rows: []row{{"spe-fw", 0xCD8, 0x172F0, 2, 0}, {"mb2", 0x17FC8, 0x29A30, 2, 0}, {"cpu-bootloader", 0x419F8, 0x6B080, 2, 0}},
		},
		{ // meta-tegra issue 744
			name: "TX2 R32", version: 0x00020000, size: 42891591, headerSize: 40, count: 49, decoded: "2.0",
			rows: []row{
				{"bpmp-fw", 5920, 533904, 0, 0}, {"sce-fw", 539824, 125568, 0, 0}, {"cpu-bootloader", 665392, 285216, 0, 0},
				{"mb2", 950608, 117568, 0, 0}, {"spe-fw", 1068176, 95984, 0, 0}, {"secure-os", 1164160, 366400, 0, 0},
				{"adsp-fw", 1530560, 108208, 0, 0}, {"BMP", 1638768, 75973, 0, 0}, {"mb1", 1714741, 99664, 0, 2},
			},
		},
		{ // tegra-demo-distro issue 304
			name: "TX2-NX R32.7.5", version: 0x01020621, size: 31069720, headerSize: 48, count: 25, decoded: "2.1 (2021-06)",
			rows: []row{{"bpmp-fw", 3048, 534816, 3275, 0}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := []byte("NVIDIA__BLOB__V2")
			for _, v := range []uint32{tt.version, tt.size, tt.headerSize, tt.count, 0, tt.size} {
				head = binary.LittleEndian.AppendUint32(head, v)
			}
			head = append(head, make([]byte, tt.headerSize-40)...)
			for _, r := range tt.rows {
				head = append(head, entryHeader(bup.V2, r.name, r.offset, r.length, r.version, r.opMode, "")...)
			}
			last := tt.rows[len(tt.rows)-1]
			end := last.offset + last.length
			for i := len(tt.rows); i < int(tt.count); i++ {
				head = append(head, entryHeader(bup.V2, fmt.Sprintf("other%d", i), end, tt.size-end, 0, 0, "")...)
				end = tt.size
			}
			p, err := bup.ParseAt(sparse{head, int64(tt.size)}, int64(tt.size))
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Header.TableEnd(); got != int64(tt.rows[0].offset) {
				t.Errorf("the table ends at %d, want %d", got, tt.rows[0].offset)
			}
			if got := p.Header.DecodedVersion().String(); got != tt.decoded {
				t.Errorf("version %s, want %s", got, tt.decoded)
			}
			for i, r := range tt.rows {
				e := p.Entries[i]
				if got := (row{e.Name, e.Offset, e.Length, e.Version, uint32(e.OpMode)}); got != r {
					t.Errorf("entry %d is %v, want %v", i, got, r)
				}
			}
			if len(p.Gaps) != 0 {
				t.Errorf("gaps %v, want none", p.Gaps)
			}
		})
	}
}

func TestHeaderVersion(t *testing.T) {
	for word, want := range map[uint32]string{
		0x00020000: "2.0", 0x01020621: "2.1 (2021-06)", 0x01030622: "3.1 (2022-06)", 0x0003D299: "3.0.3 (2099-12)",
	} {
		if got := (bup.Header{Version: word}).DecodedVersion().String(); got != want {
			t.Errorf("version 0x%08x = %s, want %s", word, got, want)
		}
	}
}

// patched returns a copy of raw with words written at offsets.
func patched(raw []byte, words map[int]uint32) []byte {
	raw = bytes.Clone(raw)
	for at, v := range words {
		binary.LittleEndian.PutUint32(raw[at:], v)
	}
	return raw
}

func TestMalformed(t *testing.T) {
	v2, v3 := build(t, small(bup.V2)), build(t, small(bup.V3))
	v2End, v3End := 40+3*120, 40+3*184
	long := bytes.Clone(v3)
	copy(long[40:], strings.Repeat("n", 40))
	longSpec := bytes.Clone(v2)
	copy(longSpec[40+56:], strings.Repeat("s", 64))
	escape := bytes.Clone(v3)
	copy(escape[40:], "\x1b[31m")
	noName := bytes.Clone(v3)
	noName[40] = 0
	for _, tt := range []struct {
		name   string
		raw    []byte
		offset int64
		field  string
	}{
		{"magic", append([]byte("NVIDIA__BLOB__V4"), v3[16:]...), 0, "magic"},
		{"size too small", patched(v3, map[int]uint32{20: uint32(len(v3) - 1)}), 20, "blob_size"},
		{"size too large", patched(v3, map[int]uint32{20: uint32(len(v3) + 1)}), 20, "blob_size"},
		{"size maximal", patched(v2, map[int]uint32{20: 0xffffffff}), 20, "blob_size"},
		{"header size", patched(v3, map[int]uint32{24: 44}), 24, "header_size"},
		{"header size 0", patched(v3, map[int]uint32{24: 0}), 24, "header_size"},
		{"no entries", patched(v3, map[int]uint32{28: 0}), 28, "entry_count"},
		{"too many entries", patched(v3, map[int]uint32{28: bup.MaxEntries + 1}), 28, "entry_count"},
		{"entry count maximal", patched(v3, map[int]uint32{28: 0xffffffff}), 28, "entry_count"},
		{"table behind the end", patched(v3, map[int]uint32{28: 100}), 28, "entry_count"},
		{"type", patched(v3, map[int]uint32{32: 2}), 32, "type"},
		{"name without NUL", long, 40, "name"},
		{"name with control characters", escape, 40, "name"},
		{"no name", noName, 40, "name"},
		{"spec without NUL", longSpec, 40 + 56, "tnspec"},
		{"op_mode", patched(v3, map[int]uint32{40 + 52: 3}), 40 + 52, "op_mode"},
		{"image behind the end", patched(v3, map[int]uint32{40 + 40: uint32(len(v3))}), 40 + 40, "offset"},
		{"offset and length wrap", patched(v3, map[int]uint32{40 + 40: 0xffffffff, 40 + 44: 2}), 40 + 40, "offset"},
		{"empty image behind the end", patched(v3, map[int]uint32{40 + 2*184 + 40: uint32(len(v3) + 1)}), 40 + 2*184 + 40, "offset"},
		{"image in the table", patched(v2, map[int]uint32{40 + 40: 100}), 40 + 40, "offset"},
		{"V2 overlap", patched(v2, map[int]uint32{40 + 120 + 40: uint32(v2End + 4)}), 40 + 120 + 40, "offset"},
		{"V2 images share bytes", patched(v2, map[int]uint32{40 + 120 + 40: uint32(v2End), 40 + 120 + 44: 5}), 40 + 120 + 40, "offset"},
		{"V3 gap", patched(v3, map[int]uint32{40 + 44: 4}), 20, "blob_size"},
		{"V3 shared data", patched(v3, map[int]uint32{40 + 44: 6}), 20, "blob_size"},
		{"V3 overlap of the right sum", patched(v3, map[int]uint32{40 + 40: uint32(v3End + 7)}), 40 + 40, "offset"},
		{"nothing", nil, 0, "header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bup.ParseAt(bytes.NewReader(tt.raw), int64(len(tt.raw)))
			var fe *bup.FormatError
			if !errors.As(err, &fe) {
				t.Fatalf("error %v, want a FormatError", err)
			}
			if fe.Offset != tt.offset || fe.Field != tt.field || fe.Format != "BUP" || !fe.MalformedData() {
				t.Errorf("error %+v, want offset %d and field %s", fe, tt.offset, tt.field)
			}
			if s := err.Error(); !strings.Contains(s, tt.field) || !strings.Contains(s, fmt.Sprint(tt.offset)) || strings.ContainsAny(s, "\n\x1b") {
				t.Errorf("message %q", s)
			}
			if _, err := bup.Parse(bytes.NewReader(tt.raw)); !errors.As(err, &fe) {
				t.Errorf("Parse: error %v, want a FormatError", err)
			}
		})
	}
}

// Fields that firmware does not look at must not make a package unreadable.
func TestTolerated(t *testing.T) {
	v2, v3 := build(t, small(bup.V2)), build(t, small(bup.V3))
	for name, raw := range map[string][]byte{
		"version":           patched(v3, map[int]uint32{16: 0xffffffff}),
		"uncompressed size": patched(v3, map[int]uint32{36: 0}),
		"entry version":     patched(v3, map[int]uint32{40 + 48: 0xffffffff}),
		"BMP":               patched(v3, map[int]uint32{32: bup.TypeBMP}),
		"V2 gap at the end": append(patched(v2, map[int]uint32{20: uint32(len(v2) + 3)}), 0, 0, 0),
		"V2 gap":            patched(v2, map[int]uint32{40 + 44: 4}),
		"text behind a NUL": append(append(bytes.Clone(v3[:40+5]), '\n'), v3[40+6:]...),
	} {
		p, err := bup.ParseAt(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := strings.HasPrefix(name, "V2 gap"); want != (len(p.Gaps) == 1) {
			t.Errorf("%s: gaps %v", name, p.Gaps)
		}
	}
}

// Every prefix of a package, and a package with anything behind it, is an error on every way of reading.
func TestTruncatedAndTrailing(t *testing.T) {
	for _, f := range []bup.Format{bup.V2, bup.V3} {
		whole := build(t, small(f))
		cases := [][]byte{append(bytes.Clone(whole), 0)}
		for n := range whole {
			cases = append(cases, whole[:n])
		}
		for _, raw := range cases {
			var fe *bup.FormatError
			if _, err := bup.Parse(bytes.NewReader(raw)); !errors.As(err, &fe) {
				t.Errorf("%v, %d bytes: Parse: %v", f, len(raw), err)
			}
			if _, err := bup.ParseAt(bytes.NewReader(raw), int64(len(raw))); !errors.As(err, &fe) {
				t.Errorf("%v, %d bytes: ParseAt: %v", f, len(raw), err)
			}
			if _, err := bup.ParseAt(bytes.NewReader(raw), int64(len(whole))); len(raw) < len(whole) && !errors.As(err, &fe) {
				t.Errorf("%v, %d bytes: ParseAt of a file that shrinks: %v", f, len(raw), err)
			}
		}
	}
}

// A flipped byte in an image shows in that image's digest and in no other.
func TestDigestsAreSeparate(t *testing.T) {
	raw := build(t, small(bup.V3))
	before, err := bup.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	raw[before.Entries[1].Offset] ^= 1
	after, err := bup.Parse(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	for i := range before.Entries {
		if same := before.Entries[i].SHA256 == after.Entries[i].SHA256; same != (i != 1) {
			t.Errorf("digest of image %d the same: %v", i, same)
		}
	}
}

func TestScanner(t *testing.T) {
	raw := build(t, small(bup.V3))
	behind := []byte("behind")
	r := bytes.NewReader(append(bytes.Clone(raw), behind...))
	s, err := bup.NewScanner(r, int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if read := len(raw) + len(behind) - r.Len(); read != 40+3*184 {
		t.Errorf("NewScanner read %d bytes, want the table only", read)
	}
	if s.Package().Entries[1].Name != "mb2" || s.Package().Entries[1].SHA256 != [32]byte{} {
		t.Errorf("entry 1 is %+v", s.Package().Entries[1])
	}
	if err := s.Finish(); err == nil {
		t.Error("Finish before the first byte succeeded")
	}
	got, err := io.ReadAll(io.LimitReader(s, int64(len(raw))))
	if err != nil || !bytes.Equal(got, raw) {
		t.Errorf("Read replayed %d bytes, %v; want the %d of the package", len(got), err, len(raw))
	}
	for range 2 {
		if err := s.Finish(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(wantPackage(bup.BuildOptions{
		Format: bup.V3, HeaderSize: 40, Version: 0x01030622, Images: small(bup.V3).Images,
	}, len(raw)), s.Package()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rest, _ := io.ReadAll(r); !bytes.Equal(rest, behind) {
		t.Errorf("left over %q, want %q: a known size bounds what is read", rest, behind)
	}
}

// What a reader fails with is passed on and is not the file's fault.
func TestReadError(t *testing.T) {
	raw := build(t, small(bup.V3))
	boom := errors.New("boom")
	for n := range raw {
		_, err := bup.Parse(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(boom)))
		var fe *bup.FormatError
		if !errors.Is(err, boom) || errors.As(err, &fe) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
	if _, err := bup.Parse(io.MultiReader(bytes.NewReader(raw), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("at the end: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, format := range []bup.Format{bup.V2, bup.V3} {
		o := small(format)
		f.Add(build(f, o))
		o.HeaderSize = 48
		f.Add(build(f, o))
	}
	o := small(bup.V2)
	o.Gap = 7
	f.Add(build(f, o))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := bup.Parse(bytes.NewReader(raw))
		at, errAt := bup.ParseAt(bytes.NewReader(raw), int64(len(raw)))
		if (err == nil) != (errAt == nil) {
			t.Fatalf("Parse: %v, ParseAt: %v", err, errAt)
		}
		if err != nil {
			var fe *bup.FormatError
			if !errors.As(err, &fe) || !errors.As(errAt, &fe) {
				t.Fatalf("not FormatErrors: %v, %v", err, errAt)
			}
			return
		}
		if diff := cmp.Diff(p, at); diff != "" {
			t.Fatalf("Parse and ParseAt differ:\n%s", diff)
		}
		total := p.Header.TableEnd()
		for _, e := range p.Entries {
			total += int64(e.Length)
		}
		for _, g := range p.Gaps {
			total += g.Length
		}
		if total != int64(len(raw)) {
			t.Fatalf("table, images and gaps are %d bytes of %d", total, len(raw))
		}
		p.Match(nanoSpec, nanoCompat, p.Names())
	})
}
