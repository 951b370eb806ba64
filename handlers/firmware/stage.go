package firmware

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// chunk is how much is written at a time: memory stays constant, and FAT gets whole clusters.
const chunk = 1 << 20

// candidate is a capsule whose head was accepted.
type candidate struct {
	stager   *Stager
	scanner  *capsule.Scanner
	capsule  *capsule.Capsule
	places   places
	running  capsule.Version
	warnings []string
}

// Version is the version of the firmware inside.
func (c *candidate) Version() capsule.Version { return c.capsule.FirmwareVersion }

// Warnings are doubts for the log.
func (c *candidate) Warnings() []string { return c.warnings }

// Verify reads the rest and checks it without keeping it.
func (c *candidate) Verify(ctx context.Context) error {
	if _, err := copyChunks(ctx, io.Discard, c.scanner); err != nil {
		return err
	}
	return c.finish()
}

// finish checks what only the whole file can tell: size, the signature's digest, and, where configured, the signer.
func (c *candidate) finish() error {
	if err := c.scanner.Finish(); err != nil {
		return err
	}
	certs, err := c.stager.trusted()
	if err != nil || certs == nil {
		return err
	}
	return c.capsule.VerifySigner(certs...)
}

// Stage writes the capsule under a temporary name, syncs, checks, renames, syncs folder and file system, and reads back
// what is on storage.
func (c *candidate) Stage(ctx context.Context) (backends.Staged, error) {
	m, p := c.stager.m, c.places
	if err := m.MkdirAll(p.staging, 0o755); err != nil {
		return backends.Staged{}, named(p.staging, err)
	}
	f, err := m.Create(p.incoming, 0o644)
	if err != nil {
		return backends.Staged{}, named(p.incoming, err)
	}
	h := sha256.New()
	size, err := copyChunks(ctx, io.MultiWriter(f, h), c.scanner)
	if err == nil {
		err = c.finish()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = m.Remove(p.incoming)
		if errors.Is(err, unix.ENOSPC) {
			return backends.Staged{}, fail.New(fail.Unavailable, "cannot stage the capsule: the ESP at %s is full: %w", p.mount, err).Then("free space on the ESP")
		}
		return backends.Staged{}, err
	}
	if err := c.stager.move(p.incoming, p.staged, p); err != nil {
		return backends.Staged{}, err
	}
	staged := backends.Staged{Size: size, SHA256: hex.EncodeToString(h.Sum(nil)), Version: c.Version()}
	return staged, c.stager.Verify(ctx, staged)
}

// Verify reads the staged capsule from storage and compares it.
func (s *Stager) Verify(_ context.Context, staged backends.Staged) error {
	p, err := s.places()
	if err != nil {
		return err
	}
	same, err := s.is(p.staged, staged)
	if err != nil {
		return fail.New(fail.IO, "cannot read back the staged capsule: %w", err).Then("install the update again")
	}
	if !same {
		return fail.New(fail.IO, "cannot trust the staged capsule %s: read back, it differs from what was written", p.staged).
			Then("check the ESP's file system and install the update again")
	}
	return nil
}

// is compares a file's content, read past the page cache, with what was staged.
func (s *Stager) is(file string, staged backends.Staged) (bool, error) {
	st, err := s.m.Stat(file)
	if err != nil {
		return false, err
	}
	if !st.Mode().IsRegular() || st.Size() != staged.Size {
		return false, nil
	}
	f, err := s.m.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	// The pages are clean after the syncs, so the kernel can forget them; that is advice, and best effort on a file.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return false, err
	}
	return hex.EncodeToString(h.Sum(nil)) == staged.SHA256, nil
}

// move renames within the ESP and puts both folders on storage. FAT keeps the entry and the allocation table apart, and
// a capsule whose entry did not reach the storage is silently absent (wendyos-update), so the whole file system is
// synced, too.
func (s *Stager) move(from, to string, p places) error {
	if err := s.m.Rename(from, to); err != nil {
		return named(to, err)
	}
	// The new name first: with only the old folder on storage, a cut would leave neither.
	for _, folder := range folders(to, from) {
		if err := s.m.SyncDir(folder); err != nil {
			return named(folder, err)
		}
	}
	if err := s.m.SyncFS(p.mount); err != nil {
		return named(p.mount, err)
	}
	return nil
}

func copyChunks(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buffer := make([]byte, chunk)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := io.ReadFull(r, buffer)
		if n > 0 {
			if _, werr := w.Write(buffer[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF { // io.ReadFull's own; a wrapped one is a truncated input's
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) }
