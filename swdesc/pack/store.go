package pack

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
)

// measure is for a file that is stored as it is.
func (p *Part) measure(r io.Reader) error {
	g := newGauge()
	if err := pump(g, r); err != nil {
		return fail.New(fail.IO, "cannot read component %s: %w", p.Component.File, err)
	}
	p.Plain, p.Stored, p.Sum = g.digest(), g.digest(), g.sum
	return nil
}

// compress makes a compressed copy. Whoever wants more than the library's default compresses the file beforehand: expand takes it.
func (p *Plan) compress(part *Part, r io.Reader, i int) error {
	out, err := p.temporary(i, "zst")
	if err != nil {
		return err
	}
	defer out.Close()
	plain, stored := newGauge(), newGauge()
	e, err := zstd.NewWriter(io.MultiWriter(out, stored), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	if err != nil {
		return fail.New(fail.Internal, "cannot compress: %w", err)
	}
	if err := pump(io.MultiWriter(plain, e), r); err == nil {
		err = e.Close()
	} else {
		_ = e.Close()
		return fail.New(fail.IO, "cannot compress component %s: %w", part.Component.File, err)
	}
	if err != nil {
		return fail.New(fail.IO, "cannot write a temporary file: %w", err)
	}
	part.Plain, part.Stored, part.Sum = plain.digest(), stored.digest(), stored.sum
	part.Zstd, part.stored = true, out.Name()
	return nil
}

// window is how far back a match may lie: SWUpdate and tegra-image hold as much while they decompress.
const window = 4 << 20

// expand is for a file that is compressed already. Its content is checked in a plain copy, which RAUC gets, too.
func (p *Plan) expand(part *Part, r io.Reader, i int) error {
	out, err := p.temporary(i, "plain")
	if err != nil {
		return err
	}
	defer out.Close()
	stored, plain, copied := newGauge(), newGauge(), &sparse{f: out}
	src, err := source.Open("-", io.TeeReader(r, stored))
	if err != nil {
		return err
	}
	defer src.Close()
	if err := pump(io.MultiWriter(plain, copied), src); err != nil {
		return fail.New(fail.CodeOf(err), "cannot decompress component %s: %w", part.Component.File, err)
	}
	if err := copied.finish(); err != nil {
		return fail.New(fail.IO, "cannot write a temporary file: %w", err)
	}
	part.Plain, part.Stored, part.Sum = plain.digest(), stored.digest(), stored.sum
	part.Zstd, part.plain = true, out.Name()
	return nil
}

// encrypt replaces what is known of the stored bytes by what encryption makes of them; they are encrypted again while they are
// packed, so that no copy is needed.
func (p *Plan) encrypt(ctx context.Context, part *Part, key *crypt.Key) error {
	iv, err := crypt.NewIV()
	if err != nil {
		return fail.New(fail.Internal, "cannot encrypt: %w", err)
	}
	f, err := os.Open(part.stored)
	if err != nil {
		return fail.New(fail.IO, "cannot read component %s: %w", part.Component.File, err)
	}
	defer f.Close()
	g := newGauge()
	e := crypt.NewWriter(g, *key, iv)
	if err := pump(e, watched{ctx, f, newMeter(nil, "", 0)}); err != nil {
		return fail.New(fail.IO, "cannot read component %s: %w", part.Component.File, err)
	}
	if err := e.Close(); err != nil {
		return fail.New(fail.Internal, "cannot encrypt: %w", err)
	}
	part.Stored, part.Sum, part.IV, part.key = g.digest(), g.sum, &iv, key
	return nil
}

func (p *Plan) temporary(i int, suffix string) (*os.File, error) {
	f, err := os.Create(filepath.Join(p.work, fmt.Sprintf("%d-%s.%s", i, p.Parts[i].Component.Type, suffix)))
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot write a temporary file: %w", err)
	}
	return f, nil
}
