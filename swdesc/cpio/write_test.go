package cpio_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// What was written once is written for ever: every number of the headers, and an end right behind the trailer.
func TestWrittenBytes(t *testing.T) {
	const zero = "00000000"
	header := func(magic, inode, mode, size, namesize, check string) string {
		return magic + inode + mode + zero + zero + "00000001" + zero + size + strings.Repeat(zero, 4) + namesize + check
	}
	for f, magic := range map[cpio.Format]string{cpio.NewC: "070701", cpio.CRC: "070702"} {
		check := map[cpio.Format]string{cpio.NewC: zero, cpio.CRC: "00000126"}[f]
		want := header(magic, "00000001", "000081A4", "00000003", "0000000F", check) + "sw-description\x00\x00\x00\x00abc\x00" +
			header(magic, "00000002", "000081A4", zero, "00000002", zero) + "e\x00" +
			header(magic, zero, zero, zero, "0000000B", zero) + "TRAILER!!!\x00\x00\x00\x00"
		if got := archive(t, f, member{"sw-description", "abc"}, member{"e", ""}); string(got) != want {
			t.Errorf("%v:\n got %q\nwant %q", f, got, want)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(formats).Draw(t, "format")
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-zA-Zü0-9._ -]{1,40}`), 0, 8, rapid.ID[string]).Draw(t, "names")
		var members []member
		var headers []cpio.Header
		for _, name := range names {
			if name == "." || name == ".." {
				continue
			}
			m := member{name, string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"))}
			members, headers = append(members, m), append(headers, m.header(f))
		}
		var b bytes.Buffer
		if err := write(&b, f, members); err != nil {
			t.Fatal(err)
		}
		if int64(b.Len()) != cpio.Size(headers) {
			t.Fatalf("%d bytes, Size says %d", b.Len(), cpio.Size(headers))
		}
		zeros := rapid.IntRange(0, 600).Draw(t, "zeros")
		got, r, n, err := read(iotest.HalfReader(io.MultiReader(&b, bytes.NewReader(make([]byte, zeros)))))
		if err != nil || n != int64(zeros) || len(members) > 0 && r.Format() != f {
			t.Fatalf("%v, format %v, %d zeros", err, r.Format(), n)
		}
		if diff := cmp.Diff(members, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// From file to file the kernel may copy; the bytes are the same.
func TestWriteFiles(t *testing.T) {
	members, dir := various(), t.TempDir()
	store(t, dir, members)
	for _, f := range formats {
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		w := cpio.NewWriter(out, f)
		for _, m := range members {
			in, err := os.Open(filepath.Join(dir, m.Name))
			if err == nil {
				err = errors.Join(w.WriteMember(m.header(f), in), in.Close())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), w.Close(), out.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(out.Name()); err != nil || !bytes.Equal(got, archive(t, f, members...)) {
			t.Errorf("%v: %d bytes, %v, are not those of the members", f, len(got), err)
		}
	}
}

// From file to file too, a file of another size than announced and a full disk are noticed.
func TestWriteFilesFails(t *testing.T) {
	in, err := os.Create(filepath.Join(t.TempDir(), "in"))
	if err == nil {
		_, err = in.WriteString("12345")
	}
	out, outErr := os.Create(filepath.Join(t.TempDir(), "out"))
	full, fullErr := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err := errors.Join(err, outErr, fullErr); err != nil {
		t.Fatal(err)
	}
	for _, f := range formats {
		for size, want := range map[int64]string{4: "it has more than 4 bytes", 6: "it has 5 bytes, want 6"} {
			in.Seek(0, io.SeekStart)
			err := cpio.NewWriter(out, f).WriteMember(cpio.Header{Name: "m", Size: size}, in)
			if fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %d bytes: error %v, want %q", f, size, err, want)
			}
		}
		in.Seek(0, io.SeekStart)
		err := cpio.NewWriter(full, f).WriteMember(cpio.Header{Name: "m", Size: 5}, in)
		if !errors.Is(err, syscall.ENOSPC) || fail.CodeOf(err) != fail.IO {
			t.Errorf("%v to a full disk: %v", f, err)
		}
	}
	if err := errors.Join(in.Close(), out.Close(), full.Close()); err != nil {
		t.Error(err)
	}
}

// A file that is not what was measured breaks the archive: everything after it fails the same way.
func TestChangedMembers(t *testing.T) {
	for want, c := range map[string]struct {
		h    cpio.Header
		from io.Reader
		f    cpio.Format
	}{
		"it has 2 bytes, want 3":                                 {cpio.Header{Name: "m", Size: 3}, strings.NewReader("ab"), cpio.NewC},
		"it has more than 1 bytes":                               {cpio.Header{Name: "m", Size: 1}, strings.NewReader("ab"), cpio.NewC},
		"it has more than 0 bytes":                               {cpio.Header{Name: "m"}, strings.NewReader("ab"), cpio.CRC},
		"the sum of its bytes is 0x000000c3, want 0x000000c4; p": {cpio.Header{Name: "m", Size: 2, Sum: 0xc4}, strings.NewReader("ab"), cpio.CRC},
	} {
		w := cpio.NewWriter(io.Discard, c.f)
		err := w.WriteMember(c.h, c.from)
		if fail.CodeOf(err) != fail.Data || !strings.Contains(fmt.Sprint(err), `cannot pack "m": it changed while it was packed: `+want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if again := w.WriteMember(cpio.Header{Name: "other"}, strings.NewReader("")); again != err {
			t.Errorf("the next member: %v", again)
		}
		if again := w.Close(); again != err {
			t.Errorf("Close: %v", again)
		}
	}
}

// A header that is refused writes nothing, so the archive can go on.
func TestRefusedHeaders(t *testing.T) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b, cpio.CRC)
	none := strings.NewReader("")
	if err := w.WriteMember(cpio.Header{Name: "m"}, none); err != nil {
		t.Fatal(err)
	}
	for want, h := range map[string]cpio.Header{
		"it has 4294967296 bytes, a cpio member has at most 4294967295; compress it": {Name: "big", Size: 1 << 32},
		`cannot pack "m": the archive has a member of that name`:                     {Name: "m"},
		`cannot pack "../m": the name has a /`:                                       {Name: "../m"},
	} {
		if err := w.WriteMember(h, none); fail.CodeOf(err) != fail.Data || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", h, err, want)
		}
	}
	if err := w.WriteMember(cpio.Header{Name: "n", Size: -1}, none); err == nil {
		t.Error("a negative size was taken")
	}
	for i := 1; i < cpio.MaxMembers; i++ {
		if err := w.WriteMember(cpio.Header{Name: fmt.Sprint(i)}, none); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteMember(cpio.Header{Name: "one more"}, none); fail.CodeOf(err) != fail.Data {
		t.Errorf("member %d: %v", cpio.MaxMembers+1, err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteMember(cpio.Header{Name: "late"}, none); err == nil {
		t.Error("a member was written behind the trailer")
	}
	if members, _, _, err := read(&b); err != nil || len(members) != cpio.MaxMembers {
		t.Errorf("%d members, %v", len(members), err)
	}
	if err := write(io.Discard, 0, []member{{"a", ""}}); err == nil {
		t.Error("a member of format 0 was written")
	}
	if err := write(io.Discard, 3, nil); err == nil {
		t.Error("an archive of format 3 was written")
	}
}

// failingWriter is a full disk after some bytes.
type failingWriter struct{ space int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.space -= len(p); w.space < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestWriteErrors(t *testing.T) {
	members := []member{{"a", "12345"}, {"b", "x"}}
	whole := len(archive(t, cpio.CRC, members...))
	for space := range whole {
		if err := write(&failingWriter{space}, cpio.CRC, members); !errors.Is(err, syscall.ENOSPC) || fail.CodeOf(err) != fail.IO {
			t.Fatalf("space for %d of %d bytes: %v", space, whole, err)
		}
	}
	for _, r := range []io.Reader{iotest.ErrReader(syscall.EIO), io.MultiReader(strings.NewReader("12345"), iotest.ErrReader(syscall.EIO))} {
		err := cpio.NewWriter(io.Discard, cpio.NewC).WriteMember(cpio.Header{Name: "a", Size: 5}, r)
		if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), `cannot pack "a": at byte `) {
			t.Errorf("error %v", err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	const size = 64 << 20
	in, err := os.Create(filepath.Join(b.TempDir(), "in"))
	if err == nil {
		err = in.Truncate(size)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	for _, f := range formats {
		b.Run(f.String(), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for range b.N {
				in.Seek(0, io.SeekStart)
				if err := cpio.NewWriter(io.Discard, f).WriteMember(cpio.Header{Name: "a", Size: size}, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
