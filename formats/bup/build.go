package bup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Image is one image to put into a package.
type Image struct {
	// Name has 1 to 39 printable ASCII characters.
	Name string
	// Spec is a TNSPEC of at most 63 (V2) or 127 (V3) characters; empty for all boards.
	Spec    string
	OpMode  OpMode
	Version uint32
	Data    []byte
}

// BuildOptions says what package to write. The zero value of each field but Images is a sound default.
type BuildOptions struct {
	// Format is V3 if zero.
	Format Format
	// HeaderSize is 40 or 48; if zero, 48 with an Accessory and 40 without.
	HeaderSize uint32
	// Version is the header's version word; if zero, 0x00020000 for V2 and 0x01030622 for V3, as seen in real packages.
	Version uint32
	// Type is TypeUpdate or TypeBMP.
	Type uint32
	// Accessory needs a header of 48 bytes; without one such a header's last 8 bytes are zero.
	Accessory *Accessory
	// Images has 1 to MaxEntries images.
	Images []Image
	// Gap is the number of zero bytes between images. Only V2 may have them.
	Gap uint32
}

// Build writes a package.
func Build(w io.Writer, o BuildOptions) error {
	head, err := o.head()
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return fmt.Errorf("cannot write BUP: %w", err)
	}
	gap := make([]byte, o.Gap)
	for i, im := range o.Images {
		if i > 0 {
			if _, err := w.Write(gap); err != nil {
				return fmt.Errorf("cannot write BUP: %w", err)
			}
		}
		if _, err := w.Write(im.Data); err != nil {
			return fmt.Errorf("cannot write %s to BUP: %w", im.Name, err)
		}
	}
	return nil
}

// BuildBytes returns a package in memory.
func BuildBytes(o BuildOptions) ([]byte, error) {
	var b bytes.Buffer
	if err := Build(&b, o); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// head checks the options and returns header and entry table.
func (o BuildOptions) head() ([]byte, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	h := Header{Format: o.Format, HeaderSize: o.HeaderSize, EntryCount: uint32(len(o.Images))}
	le := binary.LittleEndian
	table := make([]byte, 0, len(o.Images)*o.Format.EntrySize())
	at := h.TableEnd()
	for i, im := range o.Images {
		if err := im.check(o.Format); err != nil {
			return nil, err
		}
		if i > 0 {
			at += int64(o.Gap)
		}
		end := at + int64(len(im.Data))
		if end > math.MaxUint32 {
			return nil, fmt.Errorf("cannot build BUP: %s ends at byte %d, more than a package can have", im.Name, end)
		}
		table = append(table, padded(im.Name, NameSize)...)
		for _, v := range []uint32{uint32(at), uint32(len(im.Data)), im.Version, uint32(im.OpMode)} {
			table = le.AppendUint32(table, v)
		}
		table = append(table, padded(im.Spec, o.Format.SpecSize())...)
		at = end
	}
	head := []byte(o.Format.magic())
	for _, v := range []uint32{o.Version, uint32(at), o.HeaderSize, h.EntryCount, o.Type, uint32(at)} {
		head = le.AppendUint32(head, v)
	}
	if o.HeaderSize == HeaderSizeAccessory {
		var a Accessory
		if o.Accessory != nil {
			a = *o.Accessory
		}
		head = append(head, a.MB1Ratchet, a.MTSRatchet, a.RollbackRatchet)
		head = append(head, a.Reserved[:]...)
	}
	return append(head, table...), nil
}

// complete fills in defaults and checks what concerns the whole package.
func (o *BuildOptions) complete() error {
	if o.Format == 0 {
		o.Format = V3
	}
	if o.Format.EntrySize() == 0 {
		return fmt.Errorf("cannot build BUP: unknown format %v", o.Format)
	}
	if o.HeaderSize == 0 {
		o.HeaderSize = HeaderSizePlain
		if o.Accessory != nil {
			o.HeaderSize = HeaderSizeAccessory
		}
	}
	switch {
	case o.HeaderSize != HeaderSizePlain && o.HeaderSize != HeaderSizeAccessory:
		return fmt.Errorf("cannot build BUP: header size %d, want %d or %d", o.HeaderSize, HeaderSizePlain, HeaderSizeAccessory)
	case o.HeaderSize == HeaderSizePlain && o.Accessory != nil:
		return fmt.Errorf("cannot build BUP: an accessory needs a header of %d bytes", HeaderSizeAccessory)
	case o.Type != TypeUpdate && o.Type != TypeBMP:
		return fmt.Errorf("cannot build BUP: unknown type %d", o.Type)
	case len(o.Images) == 0 || len(o.Images) > MaxEntries:
		return fmt.Errorf("cannot build BUP: %d images, want 1 to %d", len(o.Images), MaxEntries)
	case o.Format == V3 && o.Gap != 0:
		return fmt.Errorf("cannot build BUP: firmware refuses gaps between the images of a V3 package")
	}
	if o.Version == 0 {
		o.Version = map[Format]uint32{V2: 0x00020000, V3: 0x01030622}[o.Format]
	}
	return nil
}

func (im Image) check(f Format) error {
	switch {
	case im.Name == "" || len(im.Name) >= NameSize || unprintable(im.Name) >= 0:
		return fmt.Errorf("cannot build BUP: name %q, want 1 to %d printable ASCII characters", im.Name, NameSize-1)
	case len(im.Spec) >= f.SpecSize() || unprintable(im.Spec) >= 0:
		return fmt.Errorf("cannot build BUP: spec %q of %s, want at most %d printable ASCII characters", im.Spec, im.Name, f.SpecSize()-1)
	case im.OpMode > Production:
		return fmt.Errorf("cannot build BUP: op_mode %d of %s, want 0, 1 or 2", uint32(im.OpMode), im.Name)
	}
	return nil
}

func padded(s string, size int) []byte {
	b := make([]byte, size)
	copy(b, s)
	return b
}
