// Package source opens what an updater hands over: a file or a stream, plain or compressed with zstd, read in constant memory.
package source

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// zstdMagic starts every zstd frame (RFC 8878, 3.1.1).
var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// maxWindow bounds the decoder's memory: zstd's command line needs 128 MiB for --ultra -22 and 8 MiB for -19.
const maxWindow = 128 << 20

// Source is an opened image. Read gives its plain bytes.
type Source struct {
	io.Reader
	// Size is the plain size in bytes where it is known beforehand, else -1.
	Size int64
	// Stream says that the bytes come from stdin: their end proves nothing.
	Stream bool
	// Compressed says that the bytes are decompressed on the way.
	Compressed bool
	closers    []func()
}

// Open opens a file, or stdin for "-" and "".
func Open(name string, stdin io.Reader) (*Source, error) {
	s := &Source{Size: -1}
	var raw io.Reader
	if name == "" || name == "-" {
		s.Stream, raw = true, stdin
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, fail.New(fail.InputCode(err, fail.IO), "cannot open the image: %w", err)
		}
		s.closers = append(s.closers, func() { _ = f.Close() })
		st, err := f.Stat()
		if err != nil {
			s.Close()
			return nil, fail.New(fail.IO, "cannot open the image: %w", err)
		}
		s.Stream = !st.Mode().IsRegular()
		if !s.Stream {
			s.Size = st.Size()
		}
		raw = f
	}
	buffered := bufio.NewReaderSize(raw, 256<<10)
	head, err := buffered.Peek(len(zstdMagic))
	if err != nil && len(head) == 0 {
		s.Close()
		if err == io.EOF {
			return nil, fail.New(fail.Data, "cannot read the image: it is empty")
		}
		return nil, fail.New(fail.IO, "cannot read the image: %w", err)
	}
	s.Reader = buffered
	if bytes.Equal(head, zstdMagic) {
		return s.decompress(buffered)
	}
	return s, nil
}

func (s *Source) decompress(r io.Reader) (*Source, error) {
	transport := &watched{r: r}
	d, err := zstd.NewReader(transport, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2))
	if err != nil {
		s.Close()
		return nil, fail.New(fail.Data, "cannot decompress the image: %w", err)
	}
	s.closers = append(s.closers, d.Close)
	s.Compressed, s.Size, s.Reader = true, -1, decoder{d, transport}
	return s, nil
}

// watched remembers what broke the transport below the decoder, which reads ahead in a goroutine of its own.
type watched struct {
	r      io.Reader
	broken atomic.Pointer[error]
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.broken.Store(&err)
	}
	return n, err
}

// decoder gives the library's errors their exit code: a broken transport is not the image's fault.
type decoder struct {
	d         *zstd.Decoder
	transport *watched
}

func (d decoder) Read(p []byte) (int, error) {
	n, err := d.d.Read(p)
	if err == nil || err == io.EOF {
		return n, err
	}
	if broken := d.transport.broken.Load(); broken != nil {
		return n, fail.New(fail.IO, "cannot read the image: %w", *broken)
	}
	return n, fail.New(fail.Data, "cannot decompress the image: %w", err)
}

// Close releases what Open opened.
func (s *Source) Close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}
