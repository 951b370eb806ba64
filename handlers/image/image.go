// Package image writes root file system, kernel and device tree images into the slot that does not run.
//
// The image is hashed while it is written, synced, and read back past the page cache: what is called written is what the next
// boot reads.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// chunk is how much is written at a time, and all the memory an image takes.
const chunk = 1 << 20

// Options say what is expected of the image. Size and digest are those of the plain image.
type Options struct {
	Partition   string // APP, kernel or kernel-dtb
	Size        int64  // bytes; -1 unknown
	SHA256      string // hexadecimal; "" unknown
	ID          string // names the update; "" for an updater that gives none
	Unconfirmed bool   // the updater's verdict on its input comes later
}

// Result says what was written.
type Result struct {
	Slot   backends.Slot
	Label  string
	Device string
	Size   int64
	SHA256 string
}

// Install writes an image into the target slot's partition. Everything that can be refused is refused before the slot is
// touched; after an error the slot is marked torn and unbootable, and the running slot is as it was.
func Install(ctx context.Context, m *device.Machine, control *backends.Control, src *source.Source, o Options) (Result, error) {
	if err := o.complete(src); err != nil {
		return Result{}, err
	}
	w, err := control.Prepare(ctx, o.ID, o.Partition)
	if err != nil {
		return Result{}, err
	}
	defer w.Close()
	r := Result{Slot: w.Target, Label: w.Partition.Label, Device: w.Partition.Device}
	block, err := m.OpenBlock(w.Partition.Node)
	if err != nil {
		return r, openError(w.Partition.Label, w.Partition.Device, err)
	}
	defer block.Close()
	// The first bytes are read before the slot is touched: an unreadable or empty image changes nothing.
	first := make([]byte, chunk)
	n, err := io.ReadFull(src, first)
	if err != nil && !isEnd(err) {
		return r, readError(err)
	}
	switch {
	case n == 0:
		return r, fail.New(fail.Data, "cannot install the image: it is empty")
	case capsule.IsCapsule(first[:n]):
		// It would be written without a complaint, and nothing would boot from it.
		return r, fail.New(fail.Data, "cannot install the image: it is a UEFI capsule").Then("this is boot firmware: use tegra-bup")
	case o.Size > block.Size():
		return r, tooSmall(r, block.Size(), o.Size)
	case int64(n) > block.Size():
		return r, tooSmall(r, block.Size(), int64(n))
	}
	if err := w.Begin(ctx); err != nil {
		w.Fail(ctx, err)
		return r, err
	}
	if err := write(ctx, block, src, first, n, o, &r); err != nil {
		w.Fail(ctx, err)
		return r, err
	}
	return r, w.Finish(r.Size, r.SHA256, o.Unconfirmed)
}

// complete fills in what a regular file tells by itself, and insists on size and digest for a stream, whose end proves nothing.
func (o *Options) complete(src *source.Source) error {
	if o.SHA256 != "" {
		if b, err := hex.DecodeString(o.SHA256); err != nil || len(b) != sha256.Size {
			return fail.New(fail.Usage, "cannot use --sha256 %q: want 64 hexadecimal digits", o.SHA256)
		}
	}
	if o.Size < 0 && src.Size >= 0 {
		o.Size = src.Size
	}
	if src.Stream && (o.Size < 0 || o.SHA256 == "") {
		return fail.New(fail.Usage, "cannot install a stream without --size and --sha256 of the plain image: "+
			"its end is no proof that it is complete")
	}
	if src.Size >= 0 && o.Size != src.Size {
		return fail.New(fail.Data, "cannot install the image: it has %d bytes, %d were announced", src.Size, o.Size)
	}
	return nil
}

// write copies the image, first the bytes read already, and reads it back.
func write(ctx context.Context, block *device.Block, src io.Reader, buffer []byte, n int, o Options, r *Result) error {
	h := sha256.New()
	var err error
	for n > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("cannot write %s: %w", r.Label, ctx.Err())
		}
		switch {
		case o.Size >= 0 && r.Size+int64(n) > o.Size:
			return fail.New(fail.Data, "cannot install the image: it has more than the %d bytes announced", o.Size)
		case r.Size+int64(n) > block.Size():
			return tooSmall(*r, block.Size(), r.Size+int64(n))
		}
		h.Write(buffer[:n])
		if _, err := block.WriteAt(buffer[:n], r.Size); err != nil {
			return fail.New(fail.IO, "cannot write %s (%s) at %d: %w", r.Label, r.Device, r.Size, err)
		}
		r.Size += int64(n)
		n, err = io.ReadFull(src, buffer)
		if err != nil && !isEnd(err) {
			return readError(err)
		}
	}
	r.SHA256 = hex.EncodeToString(h.Sum(nil))
	if o.Size >= 0 && r.Size != o.Size {
		return fail.New(fail.Data, "cannot install the image: it ended after %d bytes, %d were announced", r.Size, o.Size)
	}
	if o.SHA256 != "" && !strings.EqualFold(r.SHA256, o.SHA256) {
		return fail.New(fail.Data, "cannot install the image: its SHA-256 is %s, %s was announced", r.SHA256, strings.ToLower(o.SHA256))
	}
	return readBack(block, buffer, r)
}

// readBack compares what the storage holds with what was written.
func readBack(block *device.Block, buffer []byte, r *Result) error {
	if err := block.Sync(); err != nil {
		return fail.New(fail.IO, "cannot sync %s (%s): %w", r.Label, r.Device, err)
	}
	if err := block.DropCache(); err != nil {
		return fail.New(fail.IO, "cannot read back %s (%s): %w", r.Label, r.Device, err)
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.NewSectionReader(block, 0, r.Size), buffer); err != nil {
		return fail.New(fail.IO, "cannot read back %s (%s): %w", r.Label, r.Device, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != r.SHA256 {
		return fail.New(fail.IO, "cannot trust %s (%s): read back, its SHA-256 is %s, %s was written", r.Label, r.Device, got, r.SHA256).
			Then("check the storage and install the update again")
	}
	return nil
}

// isEnd says that io.ReadFull came to the input's end. It compares rather than unwraps: a decoder whose input is cut off wraps
// ErrUnexpectedEOF, and a truncated file must not pass for a whole one.
func isEnd(err error) bool { return err == io.EOF || err == io.ErrUnexpectedEOF }

func readError(err error) error {
	var coded *fail.Error
	if errors.As(err, &coded) { // the source said what it is
		return err
	}
	return fail.New(fail.IO, "cannot read the image: %w", err)
}

func tooSmall(r Result, have, want int64) error {
	return fail.New(fail.Unavailable, "cannot write %s (%s): it has %d bytes, the image needs %d", r.Label, r.Device, have, want).
		Then("build the image for this partition layout")
}

func openError(label, dev string, err error) error {
	if errors.Is(err, unix.EBUSY) {
		return fail.New(fail.Unavailable, "cannot write %s (%s): it is in use: %w", label, dev, err).Then("unmount it")
	}
	return fmt.Errorf("cannot open %s (%s): %w", label, dev, err)
}
