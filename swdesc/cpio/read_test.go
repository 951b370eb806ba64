package cpio_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// An error of the disk is not the file's fault, wherever it comes.
func TestReadErrors(t *testing.T) {
	packed := archive(t, cpio.CRC, member{"a", "12345"}, member{"bb", ""})
	for n := range packed {
		_, _, _, err := read(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(syscall.EIO)))
		var format *cpio.FormatError
		if !errors.Is(err, syscall.EIO) || errors.As(err, &format) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	// Behind the trailer too.
	if _, _, _, err := read(io.MultiReader(bytes.NewReader(packed), iotest.ErrReader(syscall.EIO))); !errors.Is(err, syscall.EIO) {
		t.Errorf("behind the trailer: %v", err)
	}
	r := cpio.NewReader(bytes.NewReader(packed))
	if _, err := r.Trailing(); err == nil {
		t.Error("Trailing before the trailer")
	}
}

// endReader gives as much as it can, and its last bytes together with io.EOF. iotest.DataErrReader gives 1 KiB at a time.
type endReader struct{ left []byte }

func (r *endReader) Read(p []byte) (n int, err error) {
	n = copy(p, r.left)
	if r.left = r.left[n:]; len(r.left) == 0 {
		err = io.EOF
	}
	return n, err
}

// If the last bytes end a member, the member is whole.
func TestEndWithData(t *testing.T) {
	m := member{"a", strings.Repeat("x", 1<<20)}
	packed := archive(t, cpio.NewC, m)
	r := cpio.NewReader(&endReader{packed[:112+len(m.Data)]})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.ReadFull(r, make([]byte, len(m.Data))); err != nil {
		t.Errorf("%d bytes: %v", n, err)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the data: %d bytes, %v", n, err)
	}
	_, err := r.Next()
	wantMalformed(t, err, "the archive ends without its trailer")
}

// Whatever is read of a member, in whatever pieces, Next finds the next header, and Offset is its place.
func TestReadPieces(t *testing.T) {
	members := []member{{"a", "12345"}, {"bb", ""}, {"ccc", "1"}, {"dddd", strings.Repeat("x", 300_001)}}
	for _, f := range formats {
		packed := archive(t, f, members...)
		for _, piece := range []int{0, 1, 3, 5, 300_000, 300_001, 400_000} {
			r := cpio.NewReader(iotest.DataErrReader(bytes.NewReader(packed)))
			var got []cpio.Header
			var want []cpio.Header
			for _, m := range members {
				h, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(packed[r.Offset()+110:], []byte(m.Name+"\x00")) {
					t.Errorf("member %s is not at offset %d", m.Name, r.Offset())
				}
				p := make([]byte, piece)
				if n, _ := io.ReadFull(r, p); n != min(piece, len(m.Data)) || string(p[:n]) != m.Data[:n] {
					t.Errorf("%s: %d of %d bytes", m.Name, n, piece)
				}
				got, want = append(got, h), append(want, m.header(f))
			}
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("after the last: %v", err)
			}
			if _, err := r.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("Read after the last: %v", err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		}
	}
}
