package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

// The names that SWUpdate gives to the first two members.
const (
	descriptionName = "sw-description"
	signatureName   = "sw-description.sig"
)

// SWUOptions says how to write a .swu.
type SWUOptions struct {
	// Container is cpio.CRC if zero, whose sums SWUpdate checks, too; or cpio.NewC.
	Container cpio.Format
	// Syntax of sw-description; libconfig if "".
	Syntax syntax.Format
	// Sign signs sw-description; nil leaves it unsigned.
	Sign     *sign.Options
	Progress Progress
}

// WriteDescription prints the sw-description.
func (p *Plan) WriteDescription(w io.Writer, s syntax.Format) error {
	var err error
	if s == syntax.JSON {
		err = p.Description().PrintJSON(w)
	} else {
		err = p.Description().PrintLibconfig(w)
	}
	if err != nil {
		return fmt.Errorf("cannot print sw-description: %w", err)
	}
	return nil
}

// WriteSWU writes the archive: sw-description, its signature, the images in the order in which SWUpdate meets them, and the step
// that activates them. The same plan gives the same bytes, except for ECDSA and PSS signatures and for encrypted images.
func (p *Plan) WriteSWU(ctx context.Context, w io.Writer, o SWUOptions) error {
	var text bytes.Buffer
	if err := p.WriteDescription(&text, o.Syntax); err != nil {
		return err
	}
	if o.Container == 0 {
		o.Container = cpio.CRC
	}
	a := cpio.NewWriter(w, o.Container)
	if err := small(a, descriptionName, text.Bytes()); err != nil {
		return err
	}
	if o.Sign != nil {
		signature, err := sign.Sign(ctx, text.Bytes(), *o.Sign)
		if err != nil {
			return err
		}
		if err := small(a, signatureName, signature); err != nil {
			return err
		}
	}
	m := newMeter(o.Progress, "packing", p.storedSize())
	activate := false
	for _, part := range p.Parts {
		if err := part.write(ctx, a, m); err != nil {
			return err
		}
		activate = activate || part.slotBound()
	}
	if activate {
		if err := small(a, activateName, activateContent); err != nil {
			return err
		}
	}
	return a.Close()
}

// WriteMembers writes the members that sw-description names, as they lie in a .swu, into a folder: for a build that packs by itself.
func (p *Plan) WriteMembers(ctx context.Context, dir string, report Progress) error {
	m := newMeter(report, "writing", p.storedSize())
	activate := false
	for _, part := range p.Parts {
		if err := part.copyStored(ctx, filepath.Join(dir, part.Name), m); err != nil {
			return err
		}
		activate = activate || part.slotBound()
	}
	if !activate {
		return nil
	}
	if err := os.WriteFile(filepath.Join(dir, activateName), activateContent, 0o644); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", activateName, err)
	}
	return nil
}

// Changed lists the members whose bytes are not those of a component's file: they were compressed or encrypted for this plan.
func (p *Plan) Changed() []string {
	var names []string
	for i, part := range p.Parts {
		if part.stored != p.file(i) || part.IV != nil {
			names = append(names, part.Name)
		}
	}
	return names
}

func (p *Plan) storedSize() int64 {
	var n int64
	for _, part := range p.Parts {
		n += part.Stored.Size
	}
	return n
}

func small(a *cpio.Writer, name string, content []byte) error {
	g := measured(content)
	return a.WriteMember(cpio.Header{Name: name, Size: g.size, Sum: g.sum}, bytes.NewReader(content))
}

func (p Part) write(ctx context.Context, a *cpio.Writer, m *meter) error {
	r, err := p.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := a.WriteMember(cpio.Header{Name: p.Name, Size: p.Stored.Size, Sum: p.Sum}, watched{ctx, r, m}); err != nil {
		return fail.New(fail.CodeOf(err), "cannot pack %s: %w", p.Component.File, err)
	}
	return nil
}
