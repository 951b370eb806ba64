package bup

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// bufferSize is what Parse and ParseAt read at a time, in bytes.
const bufferSize = 256 << 10

// ParseAt reads a whole package of size bytes, checks it and hashes each image.
func ParseAt(r io.ReaderAt, size int64) (*Package, error) {
	s, err := NewScanner(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, err
	}
	return s.drain()
}

// Parse is ParseAt for a stream, in one pass. The stream must end where the package does.
func Parse(r io.Reader) (*Package, error) {
	s, err := NewScanner(r, -1)
	if err != nil {
		return nil, err
	}
	return s.drain()
}

// Scanner reads a package in one pass and knows the table before the images: whoever writes a stream to disk can refuse
// it before the first byte is written, and knows at the end whether all bytes were right.
type Scanner struct {
	r       io.Reader
	size    int64 // as given to NewScanner
	pkg     *Package
	head    []byte // bytes of the table, for replay
	pos     int64  // bytes handed out
	order   []int  // entries in the order of the file
	current int    // index in order
	hash    hash.Hash
	err     error // what Read answers from now on
}

// NewScanner reads up to the end of the entry table and checks all that can be known by then. size is the length of the
// package in bytes if something outside the package tells it; the Scanner then reads exactly that many bytes of r. With
// -1 r must end where the package does.
func NewScanner(r io.Reader, size int64) (*Scanner, error) {
	pkg, head, err := readTable(r, size)
	if err != nil {
		return nil, err
	}
	empty := sha256.Sum256(nil)
	s := &Scanner{r: r, size: size, pkg: pkg, head: head, order: pkg.byOffset(), hash: sha256.New()}
	for i := range pkg.Entries {
		if pkg.Entries[i].Length == 0 {
			pkg.Entries[i].SHA256 = empty
		}
	}
	return s, nil
}

// Package returns what the table says; its digests are complete after Finish.
func (s *Scanner) Package() *Package { return s.pkg }

// Read replays the whole package from its first byte. It returns io.EOF at the end of the package, and a FormatError
// where a stream is shorter or longer than the header says.
func (s *Scanner) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	if s.pos < int64(len(s.head)) {
		n := copy(p, s.head[s.pos:])
		s.pos += int64(n)
		return n, nil
	}
	left := int64(s.pkg.Header.Size) - s.pos
	if left == 0 {
		s.err = s.expectEnd()
		return 0, s.err
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := s.r.Read(p)
	s.digest(p[:n])
	s.pos += int64(n)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		s.err = fmt.Errorf("cannot read BUP at offset %d: %w", s.pos, err)
	case int64(n) < left:
		s.err = malformed(s.pos, "images", "the file ends here, %d bytes early", left-int64(n))
	default:
		s.err = io.EOF
	}
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// expectEnd returns io.EOF if nothing follows the package.
func (s *Scanner) expectEnd() error {
	if s.size >= 0 {
		return io.EOF
	}
	n, err := io.ReadFull(s.r, make([]byte, 1))
	switch {
	case n > 0:
		return malformed(s.pos, "end", "the file goes on behind the %d bytes that its header says", s.pkg.Header.Size)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("cannot read BUP at offset %d: %w", s.pos, err)
}

// digest gives the bytes at s.pos to the images they belong to. Images do not overlap, so one hash at a time will do.
func (s *Scanner) digest(p []byte) {
	pos := s.pos
	for len(p) > 0 && s.current < len(s.order) {
		e := &s.pkg.Entries[s.order[s.current]]
		start, end := int64(e.Offset), int64(e.Offset)+int64(e.Length)
		if pos < start { // in a gap
			skip := min(start-pos, int64(len(p)))
			p, pos = p[skip:], pos+skip
			continue
		}
		n := min(end-pos, int64(len(p)))
		s.hash.Write(p[:n])
		p, pos = p[n:], pos+n
		if pos == end {
			s.hash.Sum(e.SHA256[:0])
			s.hash.Reset()
			s.current++
		}
	}
}

// Finish says whether the package was read to its end and is whole. It may be called as soon as all its bytes were
// read, whether or not Read has returned io.EOF yet, and more than once.
func (s *Scanner) Finish() error {
	if s.err == nil && s.pos == int64(s.pkg.Header.Size) {
		s.err = s.expectEnd()
	}
	switch {
	case s.err == nil:
		return fmt.Errorf("cannot finish BUP: only %d of its %d bytes were read", s.pos, s.pkg.Header.Size)
	case errors.Is(s.err, io.EOF):
		return nil
	}
	return s.err
}

func (s *Scanner) drain() (*Package, error) {
	buf := make([]byte, bufferSize)
	for {
		if _, err := s.Read(buf); err != nil {
			break // Finish knows whether it was the end
		}
	}
	if err := s.Finish(); err != nil {
		return nil, err
	}
	return s.pkg, nil
}
