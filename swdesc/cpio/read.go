package cpio

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// readSize is the buffer of a Reader in bytes. A cache of the second level holds it, so summing reads it from there.
const readSize = 256 << 10

// Reader reads an archive from start to end. It is stricter than SWUpdate: every header number has to be one, and it takes
// regular files with plain and unique names only. Fill bytes may have any value, as they have for SWUpdate.
type Reader struct {
	in     *bufio.Reader
	format Format
	names  map[string]bool
	at     int64 // offset of the next byte
	start  int64 // offset of the current header
	member Header
	left   int64  // unread bytes of the member
	sum    uint32 // of its bytes that were read
	ended  bool   // the trailer was read
	err    error  // what Next and Read fail with from now on
}

// NewReader returns a Reader.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, readSize), names: map[string]bool{}}
}

// Format returns the archive's format: that of its first header, 0 before the first Next.
func (r *Reader) Format() Format { return r.format }

// Offset returns where the current member's header starts, in bytes from the start of the archive.
func (r *Reader) Offset() int64 { return r.start }

// Next reads on to the next member. What is unread of the current one is read and checked first. At the trailer it returns
// io.EOF. A malformed archive gives a *FormatError, and other errors are those of the underlying reader.
func (r *Reader) Next() (Header, error) {
	if r.err != nil || r.ended {
		return Header{}, r.state()
	}
	r.fail(r.drain())
	if r.err == nil {
		h, err := r.header()
		if err == nil && !r.ended {
			r.member, r.left, r.sum = h, h.Size, 0
			return h, nil
		}
		r.fail(err)
	}
	return Header{}, r.state()
}

// Read reads data of the current member. At its end it returns io.EOF, in the format CRC only if the sum is right.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || r.ended {
		return 0, r.state()
	}
	if r.left == 0 {
		r.fail(r.checkSum())
		return 0, r.state()
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	r.take(p[:n])
	if err != nil && (err != io.EOF || r.left > 0) {
		r.fail(r.short(err))
	}
	return n, r.err
}

// Trailing reads what follows the trailer, which nothing but up to MaxTrailing zero bytes may, and returns their number.
func (r *Reader) Trailing() (zeros int64, err error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case !r.ended:
		return 0, errors.New("cannot read cpio archive: the trailer was not reached yet")
	}
	for {
		c, err := r.in.ReadByte()
		switch {
		case err == io.EOF:
			return zeros, nil
		case err != nil:
			r.fail(r.wrap(err))
		case c != 0:
			r.fail(malformed(r.at, "bytes follow the trailer, the first that is not 0 is 0x%02x", c))
		case zeros == MaxTrailing:
			r.fail(malformed(r.at, "more than %d zero bytes follow the trailer", MaxTrailing))
		default:
			zeros++
			r.at++
			continue
		}
		return zeros, r.err
	}
}

// state is the error of a call that has no result.
func (r *Reader) state() error {
	if r.err != nil {
		return r.err
	}
	return io.EOF
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// take accounts for bytes of the member.
func (r *Reader) take(p []byte) {
	if r.format == CRC {
		r.sum = Sum(r.sum, p)
	}
	r.at += int64(len(p))
	r.left -= int64(len(p))
}

// drain reads the rest of the member and its fill, and checks the sum.
func (r *Reader) drain() error {
	if len(r.names) == 0 {
		return nil
	}
	for r.left > 0 {
		p, err := r.in.Peek(int(min(r.left, readSize)))
		r.take(p)
		if err != nil {
			return r.short(err)
		}
		r.in.Discard(len(p)) // it is buffered: no error
	}
	if err := r.checkSum(); err != nil {
		return err
	}
	_, err := r.next(fill(r.member.Size), "the fill behind the data of %q", r.member.Name)
	return err
}

func (r *Reader) checkSum() error {
	if r.format == CRC && r.sum != r.member.Sum {
		return malformed(r.start, "member %q is damaged: the sum of its bytes is 0x%08x, its header says 0x%08x",
			r.member.Name, r.sum, r.member.Sum)
	}
	return nil
}

// short is the error of data that end too early.
func (r *Reader) short(err error) error {
	if err != io.EOF {
		return r.wrap(err)
	}
	return malformed(r.at, "truncated: member %q has %d bytes, the archive ends %d before", r.member.Name, r.member.Size, r.left)
}

// wrap gives an error of the underlying reader its place.
func (r *Reader) wrap(err error) error {
	return fmt.Errorf("cannot read cpio archive: at offset %d: %w", r.at, err)
}

// next reads n bytes, at most readSize. They are valid until the next call.
func (r *Reader) next(n int, what string, args ...any) ([]byte, error) {
	p, err := r.in.Peek(n)
	if err == io.EOF {
		return nil, malformed(r.at, "truncated: "+what+" has %d of %d bytes", append(args, len(p), n)...)
	}
	if err != nil {
		return nil, r.wrap(err)
	}
	r.in.Discard(n) // it is buffered: no error
	r.at += int64(n)
	return p, nil
}

func malformed(offset int64, format string, args ...any) error {
	return &FormatError{Offset: offset, Problem: fmt.Sprintf(format, args...)}
}
