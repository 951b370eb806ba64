package capsule

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/cms"
)

// bufferSize is what Parse and ParseAt read at a time, in bytes.
const bufferSize = 256 << 10

// ParseAt reads a whole capsule of size bytes, checks it, and compares what it hashed with what was signed. Whether the
// signer is to be trusted is VerifySigner's question.
func ParseAt(r io.ReaderAt, size int64) (*Capsule, error) {
	s, err := newScanner(io.NewSectionReader(r, 0, size), size)
	if err != nil {
		return nil, err
	}
	return s.drain()
}

// Parse is ParseAt for a stream, in one pass. The stream must end where the capsule does.
func Parse(r io.Reader) (*Capsule, error) {
	s, err := NewScanner(r)
	if err != nil {
		return nil, err
	}
	return s.drain()
}

// Scanner reads a capsule in one pass and knows what it is for before the images: whoever writes a stream to disk can
// refuse it before the first byte is written, and knows at the end whether all bytes were right.
type Scanner struct {
	r       io.Reader
	capsule *Capsule
	head    []byte // what stands before the BUP, for replay
	pos     int64  // bytes handed out
	bup     *bup.Scanner
	content hash.Hash // of payload header and BUP
	err     error     // what Read answers from now on
}

// NewScanner reads up to the end of the BUP's entry table and checks all that can be known by then. r must end where
// the capsule does.
func NewScanner(r io.Reader) (*Scanner, error) { return newScanner(r, -1) }

func newScanner(r io.Reader, size int64) (*Scanner, error) {
	c, head, err := readHead(r, size)
	if err != nil {
		return nil, err
	}
	s := &Scanner{r: r, capsule: c, head: head, content: sha256.New()}
	if s.bup, err = bup.NewScanner(r, c.Size-c.BUPOffset); err != nil {
		return nil, s.inBUP(err)
	}
	c.BUP = s.bup.Package()
	if h := c.BUP.Header; h.Format != bup.V3 {
		return nil, malformed(c.BUPOffset, "BUP magic", "a BUP of format %v, firmware takes V3 only", h.Format)
	} else if h.Type != bup.TypeUpdate {
		return nil, malformed(c.BUPOffset+32, "BUP type", "%d, firmware takes %d (update) only", h.Type, bup.TypeUpdate)
	}
	s.content.Write(head[c.PayloadOffset:])
	return s, nil
}

// inBUP says where the offsets of an error in the BUP count from.
func (s *Scanner) inBUP(err error) error {
	return fmt.Errorf("cannot read capsule's payload at offset %d: %w", s.capsule.BUPOffset, err)
}

// Capsule returns what the headers say; its digests, and the BUP's, are complete after Finish.
func (s *Scanner) Capsule() *Capsule { return s.capsule }

// Read replays the whole capsule from its first byte. It returns io.EOF at the end of the capsule, and a FormatError
// where the stream is shorter or longer than the headers say.
func (s *Scanner) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	if s.pos < int64(len(s.head)) {
		n := copy(p, s.head[s.pos:])
		s.pos += int64(n)
		return n, nil
	}
	n, err := s.bup.Read(p)
	s.content.Write(p[:n])
	s.pos += int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		s.err = s.expectEnd()
	default:
		s.err = s.inBUP(err)
	}
	return n, s.err
}

// expectEnd returns io.EOF if nothing follows the capsule.
func (s *Scanner) expectEnd() error {
	n, err := io.ReadFull(s.r, make([]byte, 1))
	switch {
	case n > 0:
		return malformed(s.pos, "end", "the file goes on behind the %d bytes that CapsuleImageSize says", s.capsule.Size)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("cannot read capsule at offset %d: %w", s.pos, err)
}

// Finish says whether the capsule was read to its end, is whole, and is what was signed. It may be called as soon as
// all bytes were read, whether or not Read has returned io.EOF yet, and more than once.
func (s *Scanner) Finish() error {
	c := s.capsule
	if c.complete {
		return nil
	}
	if s.err == nil && s.pos == c.Size {
		s.err = s.expectEnd()
	}
	if s.err == nil {
		return fmt.Errorf("cannot finish capsule: only %d of its %d bytes were read", s.pos, c.Size)
	}
	if !errors.Is(s.err, io.EOF) {
		return s.err
	}
	if err := s.bup.Finish(); err != nil {
		s.err = s.inBUP(err)
		return s.err
	}
	s.content.Write(binary.LittleEndian.AppendUint64(nil, c.MonotonicCount))
	s.content.Sum(c.ContentDigest[:0])
	if err := c.checkSignature(); err != nil {
		s.err = err
		return err
	}
	c.complete = true
	return nil
}

// checkSignature finds out whether the signature is one of these bytes, whoever made it.
func (c *Capsule) checkSignature() error {
	if !c.Signed {
		return nil
	}
	if c.MessageDigest != nil && !bytes.Equal(c.MessageDigest, c.ContentDigest[:]) {
		return malformed(c.SignatureOffset, "messageDigest", "%x was signed, but the payload's digest is %x", c.MessageDigest, c.ContentDigest)
	}
	signer := c.signature.Certificate(c.signature.certificates)
	if signer == nil {
		return nil // its certificate is on the device only
	}
	if err := c.signature.verify(signer, c.ContentDigest); err != nil && !errors.Is(err, cms.ErrAlgorithm) {
		return malformed(c.SignatureOffset, "PKCS#7 signature", "%v", err)
	}
	return nil
}

func (s *Scanner) drain() (*Capsule, error) {
	buf := make([]byte, bufferSize)
	for {
		if _, err := s.Read(buf); err != nil {
			break // Finish knows whether it was the end
		}
	}
	if err := s.Finish(); err != nil {
		return nil, err
	}
	return s.capsule, nil
}
