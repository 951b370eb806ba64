package source_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

func compress(t *testing.T, plain []byte, options ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(plain, nil)
}

func TestOpen(t *testing.T) {
	plain := bytes.Repeat([]byte("tegra"), 100_000)
	packed := compress(t, plain)
	for _, tt := range []struct {
		name       string
		content    []byte
		want       []byte
		size       int64
		compressed bool
	}{
		{"plain", plain, plain, int64(len(plain)), false},
		{"compressed", packed, plain, -1, true},
		{"two frames", append(bytes.Clone(packed), packed...), append(bytes.Clone(plain), plain...), -1, true},
		{"shorter than a magic", []byte{0x28, 0xB5}, []byte{0x28, 0xB5}, 2, false},
		{"no magic", []byte{0x28, 0xB5, 0x2F, 0xFE}, []byte{0x28, 0xB5, 0x2F, 0xFE}, 4, false},
	} {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, tt.content, 0o644); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{name, "-", ""} {
			s, err := source.Open(from, iotest.OneByteReader(bytes.NewReader(tt.content)))
			if err != nil {
				t.Errorf("%s from %q: %v", tt.name, from, err)
				continue
			}
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%s from %q: %d bytes, %v", tt.name, from, len(got), err)
			}
			stream := from != name
			size := tt.size
			if stream {
				size = -1
			}
			if s.Stream != stream || s.Compressed != tt.compressed || s.Size != size {
				t.Errorf("%s from %q: stream %t, compressed %t, size %d", tt.name, from, s.Stream, s.Compressed, s.Size)
			}
			s.Close()
			s.Close() // twice is once
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		file  string
		stdin io.Reader
		code  fail.Code
		text  string
	}{
		{"an empty file", empty, nil, fail.Data, "empty"},
		{"an empty stream", "-", strings.NewReader(""), fail.Data, "empty"},
		{"a file that is not there", filepath.Join(dir, "absent"), nil, fail.IO, "cannot open the image"},
		{"a folder", dir, nil, fail.IO, "cannot read the image"},
		{"a broken stream", "-", iotest.ErrReader(errors.New("broken")), fail.IO, "broken"},
	} {
		if _, err := source.Open(tt.file, tt.stdin); err == nil || fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDamagedZstd(t *testing.T) {
	plain := make([]byte, 1<<20)
	for i := range plain {
		plain[i] = byte(i * i >> 7)
	}
	packed := compress(t, plain)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-1] ^= 1 // the content's checksum
	for name, content := range map[string][]byte{
		"truncated": packed[:len(packed)-1], "a magic": packed[:4], "flipped": flipped, "garbage behind": append(bytes.Clone(packed), 1, 2, 3),
	} {
		s, err := source.Open("-", bytes.NewReader(content))
		if err == nil {
			_, err = io.ReadAll(s)
			s.Close()
		}
		if fail.CodeOf(err) != fail.Data || !strings.HasPrefix(err.Error(), "cannot decompress the image: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := source.Open("-", io.MultiReader(bytes.NewReader(packed[:1000]), iotest.ErrReader(fail.New(fail.IO, "broken transport"))))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// What breaks the transport is not the image's fault.
	if _, err := io.ReadAll(s); fail.CodeOf(err) != fail.IO || !strings.Contains(err.Error(), "broken transport") {
		t.Errorf("a broken transport below: %s: %v", fail.CodeOf(err), err)
	}
}

// A frame's window is what its decoder must hold in memory: 128 MiB, zstd's own limit for --ultra, and no more.
func TestWindowIsBounded(t *testing.T) {
	frame := func(windowLog byte) []byte {
		// RFC 8878, 3.1.1: magic, a descriptor without content size, the window's exponent above 10, one empty last raw block.
		return []byte{0x28, 0xB5, 0x2F, 0xFD, 0x00, (windowLog - 10) << 3, 0x01, 0x00, 0x00}
	}
	for _, tt := range []struct {
		log  byte
		good bool
	}{{17, true}, {23, true}, {27, true}, {28, false}, {31, false}, {41, false}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := source.Open("-", bytes.NewReader(frame(tt.log)))
		if err == nil {
			_, err = io.ReadAll(s)
			s.Close()
		}
		runtime.ReadMemStats(&after)
		if (err == nil) != tt.good || err != nil && fail.CodeOf(err) != fail.Data {
			t.Errorf("window of 2^%d: %v", tt.log, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; !tt.good && took > 32<<20 {
			t.Errorf("window of 2^%d: %d MiB taken before it was refused", tt.log, took>>20)
		}
	}
}
