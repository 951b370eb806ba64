package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
)

// chunk is how many bytes go through the cipher and to the next writer at once, a multiple of the block size.
const chunk = 64 << 10

// newCipher cannot fail: the key has the size of an AES-256 key.
func newCipher(k Key) cipher.Block {
	b, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err)
	}
	return b
}

// NewWriter returns a writer that encrypts to w. Close writes the rest and the padding; it does not close w.
func NewWriter(w io.Writer, k Key, iv [16]byte) io.WriteCloser {
	return &writer{w: w, mode: cipher.NewCBCEncrypter(newCipher(k), iv[:])}
}

type writer struct {
	w    io.Writer
	mode cipher.BlockMode
	buf  [chunk]byte
	n    int // bytes of buf in use, less than chunk between calls
	err  error
}

var errClosed = errors.New("cannot encrypt: write after close")

// Write encrypts p; up to one chunk of it is kept until more arrives.
func (w *writer) Write(p []byte) (int, error) {
	done := 0
	for w.err == nil && done < len(p) {
		n := copy(w.buf[w.n:], p[done:])
		w.n += n
		if w.n == chunk {
			w.flush()
		}
		if w.err == nil {
			done += n
		}
	}
	return done, w.err
}

// flush encrypts and writes buf, whose used part is a multiple of the block size.
func (w *writer) flush() {
	b := w.buf[:w.n]
	w.n = 0
	w.mode.CryptBlocks(b, b)
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("cannot write the encrypted image: %w", err)
	}
}

// Close writes the rest with its padding: n bytes of value n (PKCS#7). buf has room, as it is never full here.
func (w *writer) Close() error {
	if w.err != nil {
		if w.err == errClosed {
			return nil
		}
		return w.err
	}
	pad := blockSize - w.n%blockSize
	copy(w.buf[w.n:], bytes.Repeat([]byte{byte(pad)}, pad))
	w.n += pad
	w.flush()
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	return nil
}

// NewReader returns a reader that decrypts r. A length that is not a positive multiple of 16 and bad padding, the usual sign of a
// wrong key, are errors with MalformedData; one wrong key in 256 goes unnoticed.
func NewReader(r io.Reader, k Key, iv [16]byte) io.Reader {
	return &reader{r: r, mode: cipher.NewCBCDecrypter(newCipher(k), iv[:])}
}

type reader struct {
	r     io.Reader
	mode  cipher.BlockMode
	in    [chunk]byte
	held  int // bytes at the start of in: a whole block, which may be the last one and have the padding
	total int64
	out   [chunk]byte
	plain []byte // what of out was not read yet
	err   error
}

// Read returns decrypted bytes.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.plain) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

// fill decrypts the next chunk, or sets err.
func (r *reader) fill() {
	n, err := io.ReadFull(r.r, r.in[r.held:])
	r.total += int64(n)
	n += r.held
	switch {
	case err == nil:
		n -= blockSize
		r.mode.CryptBlocks(r.out[:n], r.in[:n])
		r.held = copy(r.in[:], r.in[n:])
		r.plain = r.out[:n]
	case err != io.EOF && err != io.ErrUnexpectedEOF:
		r.err = fmt.Errorf("cannot read the encrypted image: %w", err)
	case n == 0 || n%blockSize != 0:
		r.err = bad("its length, %d bytes, is not a positive multiple of %d", r.total, blockSize)
	default:
		r.mode.CryptBlocks(r.out[:n], r.in[:n])
		pad := int(r.out[n-1])
		if pad == 0 || pad > blockSize || !bytes.Equal(r.out[n-pad:n], bytes.Repeat([]byte{byte(pad)}, pad)) {
			r.err = bad("the padding at its end is wrong: another key or initialization vector, or damaged")
			return
		}
		r.plain, r.err = r.out[:n-pad], io.EOF
	}
}

func bad(format string, args ...any) error {
	return &Error{What: "decrypt the image", Reason: fmt.Sprintf(format, args...)}
}
