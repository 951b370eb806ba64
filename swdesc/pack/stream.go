package pack

import (
	"crypto/sha256"
	"hash"
	"io"
	"os"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
)

// chunk is how much is read at once. Two of them are in use per file, so that reading and hashing overlap.
const chunk = 1 << 20

// gauge measures what is written to it.
type gauge struct {
	sha  hash.Hash
	sum  uint32
	size int64
}

func newGauge() *gauge { return &gauge{sha: sha256.New()} }

func (g *gauge) Write(p []byte) (int, error) {
	g.size += int64(len(p))
	g.sum = cpio.Sum(g.sum, p)
	return g.sha.Write(p)
}

func (g *gauge) digest() Digest {
	d := Digest{Size: g.size}
	g.sha.Sum(d.SHA256[:0])
	return d
}

// pump copies r to w. The next chunk is read while this one is worked on.
func pump(w io.Writer, r io.Reader) error {
	type piece struct {
		b   []byte
		err error
	}
	pieces, free := make(chan piece), make(chan []byte, 2)
	stop := make(chan struct{})
	defer close(stop)
	free <- make([]byte, chunk)
	free <- make([]byte, chunk)
	go func() {
		for {
			var b []byte
			select {
			case b = <-free:
			case <-stop:
				return
			}
			n, err := io.ReadFull(r, b)
			if err == io.ErrUnexpectedEOF {
				err = io.EOF
			}
			select {
			case pieces <- piece{b[:n], err}:
			case <-stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		p := <-pieces
		if _, err := w.Write(p.b); err != nil {
			return err
		}
		switch p.err {
		case nil:
			free <- p.b[:chunk]
		case io.EOF:
			return nil
		default:
			return p.err
		}
	}
}

// sparse writes a file and leaves holes where whole blocks are zero: a decompressed root file system is mostly such blocks.
type sparse struct {
	f   *os.File
	end int64
}

// block is the smallest hole worth making; every file system in use has blocks of at most this size or a multiple of it.
const block = 4096

func (s *sparse) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(block-int(s.end%block), len(p)-done)
		part := p[done : done+n]
		if !zero(part) {
			if _, err := s.f.WriteAt(part, s.end); err != nil {
				return done, err
			}
		}
		s.end += int64(n)
		done += n
	}
	return len(p), nil
}

// finish gives the file its length, which a hole at the end does not.
func (s *sparse) finish() error { return s.f.Truncate(s.end) }

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// verified fails at the end of a reader whose bytes are not those of the first pass.
type verified struct {
	r    io.Reader
	g    *gauge
	want Digest
	name string
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	_, _ = v.g.Write(p[:n]) // a gauge never fails
	if err == io.EOF && v.g.digest() != v.want {
		return n, fail.New(fail.IO, "cannot pack %s: it changed while it was read", v.name).Then("pack again when nothing writes to it")
	}
	return n, err
}

// open returns the bytes of a part as they lie in the update; they are checked against the first pass.
func (p Part) open() (io.ReadCloser, error) {
	f, err := os.Open(p.stored)
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot read %s: %w", p.Name, err)
	}
	var r io.Reader = f
	closer := f.Close
	if p.IV != nil {
		pipe, w := io.Pipe()
		go func() {
			e := crypt.NewWriter(w, *p.key, *p.IV)
			err := pump(e, f)
			if err == nil {
				err = e.Close()
			}
			_ = w.CloseWithError(err)
		}()
		r, closer = pipe, func() error { _ = pipe.Close(); return f.Close() }
	}
	return readCloser{&verified{r: r, g: newGauge(), want: p.Stored, name: p.Component.File}, closer}, nil
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }
