// Package payload takes boot firmware as it comes, a bare BUP or a UEFI capsule around one, keeps the BUP in a file, and gives
// its images back.
//
// It is for those who write images themselves (NVIDIA's nv_update_engine, the flash): the capsule's signature is looked at and
// checked, but nothing of the capsule's wrapping is kept.
package payload

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// chunk is how much is read and written at a time, in bytes: memory stays constant whatever the payload holds.
const chunk = 1 << 20

// headBuffer is what the first read may take of the stream, in bytes.
const headBuffer = 64 << 10

// scanner is what bup.Scanner and capsule.Scanner have in common.
type scanner interface {
	io.Reader
	Finish() error
}

// Head is a payload whose tables were read and accepted; its images are still in the stream.
type Head struct {
	scanner scanner
	pkg     *bup.Package
	capsule *capsule.Capsule // nil for a bare BUP
	trusted []*x509.Certificate
	ctx     context.Context
}

// Open reads the tables in front of the images and refuses what is malformed, with fail.Data. Nothing is written.
func Open(r io.Reader) (*Head, error) {
	buffered := bufio.NewReaderSize(r, headBuffer)
	start, err := buffered.Peek(16)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("cannot read the firmware: %w", err)
	case len(start) == 0:
		return nil, fail.New(fail.Data, "cannot read the firmware: it is empty")
	case bup.IsBUP(start):
		s, err := bup.NewScanner(buffered, -1)
		if err != nil {
			return nil, err
		}
		pkg := s.Package()
		if pkg.Header.Type != bup.TypeUpdate {
			return nil, fail.New(fail.Data, "cannot install the BUP: its type is %d, boot firmware has %d", pkg.Header.Type, bup.TypeUpdate).
				Then("build a BUP of the bootloader, not of splash screens")
		}
		return &Head{scanner: s, pkg: pkg, ctx: context.Background()}, nil
	case capsule.IsCapsule(start):
		s, err := capsule.NewScanner(buffered)
		if err != nil {
			return nil, err
		}
		return &Head{scanner: s, pkg: s.Capsule().BUP, capsule: s.Capsule(), ctx: context.Background()}, nil
	}
	return nil, fail.New(fail.Data, "cannot read the firmware: it starts with %q, neither a BUP nor a UEFI capsule", start)
}

// WithContext makes Keep and Drain end between two reads when ctx does; it returns the same head.
func (h *Head) WithContext(ctx context.Context) *Head {
	h.ctx = ctx
	return h
}

// Package returns what the table says; its digests are complete after Keep or Drain.
func (h *Head) Package() *bup.Package { return h.pkg }

// Capsule returns the wrapping, nil for a bare BUP.
func (h *Head) Capsule() *capsule.Capsule { return h.capsule }

// Size is how many bytes Keep writes: those of the BUP.
func (h *Head) Size() int64 { return int64(h.pkg.Header.Size) }

// Signed says whether there is a signature at all; a bare BUP has none.
func (h *Head) Signed() bool { return h.capsule != nil && h.capsule.Signed }

// Trust makes Keep and Drain refuse a payload whose signer is none of these certificates and does not chain up to one. Without
// certificates everything is accepted; with some, a payload without signature is refused here, with fail.Data.
func (h *Head) Trust(certs ...*x509.Certificate) error {
	h.trusted = certs
	switch {
	case len(certs) == 0 || h.Signed():
		return nil
	case h.capsule == nil:
		return fail.New(fail.Data, "cannot trust the firmware: a bare BUP carries no signature, and capsule_trust wants one").
			Then("install a signed capsule, or clear capsule_trust in [firmware]")
	}
	return fail.New(fail.Data, "cannot trust the firmware: the capsule is not signed, and capsule_trust wants it to be").
		Then("sign the capsule, or clear capsule_trust in [firmware]")
}

// Version is the version as far as the head tells it: the capsule's, else the one that the BUP's entries agree on; 0 unknown.
func (h *Head) Version() capsule.Version {
	if h.capsule != nil {
		return h.capsule.FirmwareVersion
	}
	return EntriesVersion(h.pkg)
}

// Drain reads the rest without keeping it, and checks it as Keep does.
func (h *Head) Drain() error {
	if err := h.copyBUP(io.Discard); err != nil {
		return err
	}
	return h.finish()
}

// copyBUP writes the BUP to w and leaves the wrapping out.
func (h *Head) copyBUP(w io.Writer) error {
	skip := int64(0)
	if h.capsule != nil {
		skip = h.capsule.BUPOffset
	}
	buffer := make([]byte, chunk)
	for {
		if err := h.ctx.Err(); err != nil {
			return fmt.Errorf("cannot read the firmware: %w", err)
		}
		n, err := io.ReadFull(h.scanner, buffer)
		part := buffer[:n]
		drop := min(skip, int64(n))
		part, skip = part[drop:], skip-drop
		if len(part) > 0 {
			if _, werr := w.Write(part); werr != nil {
				return werr
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF { // io.ReadFull's own; a wrapped one is a truncated input's
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// finish checks what only the whole file can tell: size, the signature's digest, and, where asked for, the signer.
func (h *Head) finish() error {
	if err := h.scanner.Finish(); err != nil {
		return err
	}
	if h.capsule == nil || len(h.trusted) == 0 {
		return nil
	}
	return h.capsule.VerifySigner(h.trusted...)
}
