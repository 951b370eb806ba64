package cpio

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// copySize is the buffer that members are copied through, in bytes.
const copySize = 1 << 20

// Writer writes an archive. The same members make the same bytes: inodes count from 1, and owners, times and devices are 0.
type Writer struct {
	w      io.Writer
	format Format
	names  map[string]bool
	buf    []byte // made when the first member is copied through it
	closed bool
	err    error // what broke the archive
}

// NewWriter returns a Writer. It does not buffer: every member is written out when WriteMember returns.
func NewWriter(w io.Writer, f Format) *Writer {
	return &Writer{w: w, format: f, names: map[string]bool{}}
}

// WriteMember writes a member: exactly h.Size bytes of r. It fails if r has fewer or more, and in the format CRC if their sum
// is not h.Sum: the file then changed after it was measured. After an error in the data the archive cannot be completed;
// after a header that is refused, it can.
func (w *Writer) WriteMember(h Header, r io.Reader) error {
	if err := w.check(h); err != nil {
		return err
	}
	w.names[h.Name] = true
	n := numbers{fieldInode: uint32(len(w.names)), fieldMode: 0o100644, fieldNlink: 1, fieldSize: uint32(h.Size)}
	if w.format == CRC {
		n[fieldCheck] = h.Sum
	}
	w.err = w.write(appendEntry(nil, w.format, n, h.Name))
	if w.err == nil {
		w.err = w.data(h, r)
	}
	if w.err == nil {
		w.err = w.write(make([]byte, fill(h.Size)))
	}
	return w.err
}

// Close writes the trailer, behind which the archive ends: unlike GNU cpio it does not fill up to 512 bytes. SWUpdate 2022.12
// calls read(2) once for that fill and closes (core/cpio_utils.c, extract_padding), so a client that still writes gets EPIPE
// and reports a good update as failed. Close does not close the underlying writer.
func (w *Writer) Close() error {
	if w.err != nil || w.closed {
		return w.err
	}
	if err := w.checkFormat(); err != nil {
		return err
	}
	w.closed = true
	w.err = w.write(appendEntry(nil, w.format, numbers{fieldNlink: 1}, trailerName))
	return w.err
}

// check refuses a member that the archive cannot have.
func (w *Writer) check(h Header) error {
	if w.err != nil {
		return w.err
	}
	if err := w.checkFormat(); err != nil {
		return err
	}
	if w.closed {
		return fmt.Errorf("cannot pack %q: the archive is closed", h.Name)
	}
	if err := CheckName(h.Name); err != nil {
		return fail.New(fail.Data, "cannot pack %q: %w", h.Name, err)
	}
	switch {
	case h.Size < 0:
		return fmt.Errorf("cannot pack %q: its size is %d", h.Name, h.Size)
	case h.Size > MaxSize:
		return fail.New(fail.Data, "cannot pack %q: it has %d bytes, a cpio member has at most %d", h.Name, h.Size, int64(MaxSize)).
			Then("compress it or split it")
	case w.names[h.Name]:
		return fail.New(fail.Data, "cannot pack %q: the archive has a member of that name", h.Name)
	case len(w.names) == MaxMembers:
		return fail.New(fail.Data, "cannot pack %q: the archive has %d members already", h.Name, MaxMembers)
	}
	return nil
}

func (w *Writer) checkFormat() error {
	if w.format != NewC && w.format != CRC {
		return fmt.Errorf("cannot write cpio archive: %v is not known", w.format)
	}
	return nil
}

// data copies the member's bytes and makes sure that they are those the header announced.
func (w *Writer) data(h Header, r io.Reader) error {
	n, sum, err := w.copy(h.Size, r)
	if err != nil {
		return fmt.Errorf("cannot pack %q: at byte %d: %w", h.Name, n, err)
	}
	if n < h.Size {
		return changed(h.Name, "it has %d bytes, want %d", n, h.Size)
	}
	var more [1]byte
	if _, err := io.ReadFull(r, more[:]); err == nil {
		return changed(h.Name, "it has more than %d bytes", h.Size)
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot pack %q: at byte %d: %w", h.Name, n, err)
	}
	if w.format == CRC && sum != h.Sum {
		return changed(h.Name, "the sum of its bytes is 0x%08x, want 0x%08x", sum, h.Sum)
	}
	return nil
}

// changed is the error of a file that is not what was measured before.
func changed(name, format string, args ...any) error {
	return fail.New(fail.Data, "cannot pack %q: it changed while it was packed: %s", name, fmt.Sprintf(format, args...)).
		Then("pack again when nothing writes to it")
}

// copy copies up to size bytes and sums them if the format wants that. Without a sum the kernel can copy from file to file
// (copy_file_range).
func (w *Writer) copy(size int64, r io.Reader) (n int64, sum uint32, err error) {
	from := &io.LimitedReader{R: r, N: size}
	if to, ok := w.w.(*os.File); ok && w.format == NewC {
		if _, ok := r.(*os.File); ok {
			n, err = to.ReadFrom(from)
			return n, 0, err
		}
	}
	if w.buf == nil {
		w.buf = make([]byte, copySize)
	}
	for {
		got, err := from.Read(w.buf)
		if w.format == CRC {
			sum = Sum(sum, w.buf[:got])
		}
		if writeErr := w.write(w.buf[:got]); writeErr != nil {
			return n, sum, writeErr
		}
		n += int64(got)
		if err == io.EOF {
			return n, sum, nil
		}
		if err != nil {
			return n, sum, err
		}
	}
}

func (w *Writer) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if _, err := w.w.Write(p); err != nil {
		return fmt.Errorf("cannot write cpio archive: %w", err)
	}
	return nil
}
