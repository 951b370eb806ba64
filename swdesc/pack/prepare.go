package pack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// PrepareOptions says how the files of a release are stored.
type PrepareOptions struct {
	Format Format
	// WorkFolder is where compressed and decompressed copies lie until Plan.Close; "" is the system's folder for temporary
	// files. It may need as much room as the release's images.
	WorkFolder string
	// EncryptionKey is for components with "encrypt"; nil where there are none.
	EncryptionKey *crypt.Key
	Progress      Progress
}

// zstdMagic starts a zstd frame (RFC 8878, 3.1.1).
var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// workers is how many files are read at once; more would compete for the disk.
const workers = 2

// Prepare reads every file of a release, compresses what is to be stored compressed, and checks what it found (Plan.Problems).
// An error is a file that cannot be used at all.
func Prepare(ctx context.Context, r *release.Release, o PrepareOptions) (*Plan, error) {
	p := &Plan{Release: r, Format: o.Format, Parts: partsOf(r)}
	if err := p.refuse(o); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(o.WorkFolder, "swdesc-")
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot make a folder for temporary files: %w", err)
	}
	p.work = work
	if err := p.read(ctx, o); err != nil {
		_ = p.Close()
		return nil, err
	}
	p.Update = p.id()
	if err := p.check(ctx); err != nil {
		_ = p.Close()
		return nil, err
	}
	return p, nil
}

// read measures all parts, workers at a time, the largest first.
func (p *Plan) read(ctx context.Context, o PrepareOptions) error {
	var total int64
	for i := range p.Parts {
		n, err := p.look(i)
		if err != nil {
			return err
		}
		total += n
	}
	if err := p.refuseNames(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMeter(o.Progress, "reading", total)
	slots, errs := make(chan struct{}, workers), make([]error, len(p.Parts))
	var wg sync.WaitGroup
	for i := range p.Parts {
		slots <- struct{}{}
		wg.Add(1)
		go func(i int) {
			defer func() { <-slots; wg.Done() }()
			if errs[i] = p.readPart(ctx, i, o, m); errs[i] != nil {
				cancel()
			}
		}(i)
	}
	wg.Wait()
	return first(errs)
}

// first returns the error that made the others give up.
func first(errs []error) error {
	var cancelled error
	for _, err := range errs {
		if errors.Is(err, context.Canceled) {
			cancelled = err
		} else if err != nil {
			return err
		}
	}
	return cancelled
}

// look opens a component for the first time: how large it is, and whether it is compressed already.
func (p *Plan) look(i int) (size int64, err error) {
	part := &p.Parts[i]
	c := part.Component
	st, err := os.Stat(p.file(i))
	if err == nil && !st.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return 0, fail.New(fail.InputCode(err, fail.Data), "cannot read component %s: %w", c.File, err)
	}
	f, err := os.Open(p.file(i))
	if err != nil {
		return 0, fail.New(fail.InputCode(err, fail.IO), "cannot read component %s: %w", c.File, err)
	}
	defer f.Close()
	head := make([]byte, zstd.HeaderMaxSize)
	n, err := io.ReadFull(f, head)
	switch err {
	case nil, io.ErrUnexpectedEOF:
	case io.EOF:
		return 0, fail.New(fail.Data, "cannot pack component %s: it is empty", c.File)
	default:
		return 0, fail.New(fail.IO, "cannot read component %s: %w", c.File, err)
	}
	part.Name = c.MemberName()
	// A file for the device, or a script, is what it is: only where it is to be stored compressed does its content count.
	part.Zstd = bytes.HasPrefix(head[:n], zstdMagic) && (part.slotBound() || c.Compression == release.Zstd)
	if part.Zstd && c.Name == "" && !strings.HasSuffix(part.Name, ".zst") {
		part.Name += ".zst"
	}
	if part.Zstd {
		p.checkWindow(part, head[:n])
	}
	return st.Size(), nil
}

func (p *Plan) file(i int) string { return p.Parts[i].Component.Path(p.Release.Base) }

// readPart is one pass over a component's file, in which everything is made that the update needs of it.
func (p *Plan) readPart(ctx context.Context, i int, o PrepareOptions, m *meter) error {
	part := &p.Parts[i]
	c := part.Component
	f, err := os.Open(p.file(i))
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot read component %s: %w", c.File, err)
	}
	defer f.Close()
	part.stored, part.plain = f.Name(), f.Name()
	in := watched{ctx, f, m}
	switch {
	case part.Zstd:
		err = p.expand(part, in, i)
	case c.Compression == release.Zstd && o.Format != RAUC:
		err = p.compress(part, in, i)
	default:
		err = part.measure(in)
	}
	if err != nil {
		return err
	}
	if o.Format == RAUC || o.Format == Mender || !c.Encrypt {
		return nil
	}
	return p.encrypt(ctx, part, o.EncryptionKey)
}
