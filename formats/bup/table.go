package bup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

// readTable reads header and entry table, checks all that they can tell, and returns their bytes too, for replay. size
// is the length of the whole package, -1 if unknown.
func readTable(r io.Reader, size int64) (*Package, []byte, error) {
	head := make([]byte, HeaderSizePlain)
	if err := readFull(r, head, 0, "header"); err != nil {
		return nil, nil, err
	}
	h, err := decodeHeader(head, size)
	if err != nil {
		return nil, nil, err
	}
	// Only now, with every size bounded, is the memory for the table asked for.
	raw := make([]byte, h.TableEnd())
	n := copy(raw, head)
	if err := readFull(r, raw[n:], int64(n), "entry table"); err != nil {
		return nil, nil, err
	}
	if h.HeaderSize == HeaderSizeAccessory {
		a := &Accessory{MB1Ratchet: raw[40], MTSRatchet: raw[41], RollbackRatchet: raw[42]}
		copy(a.Reserved[:], raw[43:])
		h.Accessory = a
	}
	p := &Package{Header: h, Entries: make([]Entry, h.EntryCount)}
	for i := range p.Entries {
		at := int64(h.HeaderSize) + int64(i)*int64(h.Format.EntrySize())
		if p.Entries[i], err = decodeEntry(h, raw[at:], at); err != nil {
			return nil, nil, err
		}
	}
	if err := p.checkLayout(); err != nil {
		return nil, nil, err
	}
	return p, raw, nil
}

// readFull fills buf, which starts at offset of the package. A stream that ends early is malformed data; any other
// failure to read is passed on.
func readFull(r io.Reader, buf []byte, offset int64, field string) error {
	n, err := io.ReadFull(r, buf)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return malformed(offset+int64(n), field, "the file ends here")
	}
	return fmt.Errorf("cannot read BUP at offset %d: %w", offset+int64(n), err)
}

func decodeHeader(raw []byte, size int64) (Header, error) {
	le := binary.LittleEndian
	h := Header{
		Format:           formatOf(raw),
		Version:          le.Uint32(raw[16:]),
		Size:             le.Uint32(raw[20:]),
		HeaderSize:       le.Uint32(raw[24:]),
		EntryCount:       le.Uint32(raw[28:]),
		Type:             le.Uint32(raw[32:]),
		UncompressedSize: le.Uint32(raw[36:]),
	}
	if h.Format == 0 {
		return h, malformed(0, "magic", "%q is neither %s nor %s", raw[:magicSize], magicV2, magicV3)
	}
	if size >= 0 && int64(h.Size) != size {
		return h, malformed(20, "blob_size", "header says %d bytes, the file has %d", h.Size, size)
	}
	if h.HeaderSize != HeaderSizePlain && h.HeaderSize != HeaderSizeAccessory {
		return h, malformed(24, "header_size", "%d, want %d or %d", h.HeaderSize, HeaderSizePlain, HeaderSizeAccessory)
	}
	if h.EntryCount == 0 || h.EntryCount > MaxEntries {
		return h, malformed(28, "entry_count", "%d, want 1 to %d", h.EntryCount, MaxEntries)
	}
	if h.TableEnd() > int64(h.Size) {
		return h, malformed(28, "entry_count", "a table of %d entries ends at %d, behind the end of the file at %d",
			h.EntryCount, h.TableEnd(), h.Size)
	}
	if h.Type != TypeUpdate && h.Type != TypeBMP {
		return h, malformed(32, "type", "%d, want %d (update) or %d (BMP)", h.Type, TypeUpdate, TypeBMP)
	}
	return h, nil
}

func decodeEntry(h Header, raw []byte, at int64) (Entry, error) {
	var e Entry
	var err error
	if e.Name, err = decodeText(raw[:NameSize], at, "name"); err != nil {
		return e, err
	}
	if e.Name == "" {
		return e, malformed(at, "name", "empty")
	}
	le := binary.LittleEndian
	e.Offset, e.Length = le.Uint32(raw[40:]), le.Uint32(raw[44:])
	e.Version, e.OpMode = le.Uint32(raw[48:]), OpMode(le.Uint32(raw[52:]))
	if end := int64(e.Offset) + int64(e.Length); end > int64(h.Size) {
		return e, malformed(at+40, "offset", "%s ends at %d, behind the end of the file at %d", e.Name, end, h.Size)
	}
	if int64(e.Offset) < h.TableEnd() && e.Length > 0 {
		return e, malformed(at+40, "offset", "%s starts at %d, inside the entry table, which ends at %d", e.Name, e.Offset, h.TableEnd())
	}
	if e.OpMode > Production {
		return e, malformed(at+52, "op_mode", "%d of %s, want 0, 1 or 2", uint32(e.OpMode), e.Name)
	}
	// Firmware copies the spec as a string; without a NUL it would run on into the next entry.
	e.Spec, err = decodeText(raw[56:56+h.Format.SpecSize()], at+56, "tnspec")
	return e, err
}

// decodeText reads a NUL padded field. Control characters are refused: these strings reach logs and terminals.
func decodeText(field []byte, at int64, name string) (string, error) {
	n := bytes.IndexByte(field, 0)
	if n < 0 {
		return "", malformed(at, name, "%d bytes without a NUL", len(field))
	}
	if bad := unprintable(string(field[:n])); bad >= 0 {
		return "", malformed(at+int64(bad), name, "byte 0x%02x is not printable ASCII", field[bad])
	}
	return string(field[:n]), nil
}

// unprintable returns the index of the first byte of s that is not printable ASCII, -1 if all are.
func unprintable(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return i
		}
	}
	return -1
}

// byOffset returns the indices of the entries that hold bytes, in the order of the file.
func (p *Package) byOffset() []int {
	var order []int
	for i, e := range p.Entries {
		if e.Length > 0 {
			order = append(order, i)
		}
	}
	sort.SliceStable(order, func(a, b int) bool { return p.Entries[order[a]].Offset < p.Entries[order[b]].Offset })
	return order
}

// checkLayout finds overlaps and gaps. For V3 firmware wants blob_size to be header, table and images and nothing more
// (FwPackageValidateImageInfoArray), so that a gap is an error there; older writers of V2 were never held to that.
func (p *Package) checkLayout() error {
	h := p.Header
	at := func(i int) int64 { return int64(h.HeaderSize) + int64(i)*int64(h.Format.EntrySize()) + 40 }
	if h.Format == V3 {
		sum := h.TableEnd()
		for _, e := range p.Entries {
			sum += int64(e.Length)
		}
		if sum != int64(h.Size) {
			return malformed(20, "blob_size", "%d, but header, table and images are %d bytes", h.Size, sum)
		}
	}
	end, last := h.TableEnd(), -1
	for _, i := range p.byOffset() {
		e := p.Entries[i]
		if start := int64(e.Offset); start < end {
			return malformed(at(i), "offset", "%s at %d overlaps %s, which ends at %d", e.Name, start, p.Entries[last].Name, end)
		} else if start > end {
			p.Gaps = append(p.Gaps, Gap{Offset: end, Length: start - end})
		}
		end, last = int64(e.Offset)+int64(e.Length), i
	}
	if end < int64(h.Size) {
		p.Gaps = append(p.Gaps, Gap{Offset: end, Length: int64(h.Size) - end})
	}
	if h.Format == V3 && len(p.Gaps) > 0 {
		g := p.Gaps[0]
		return malformed(g.Offset, "images", "%d bytes belong to no image", g.Length)
	}
	return nil
}

// Names returns every name of the package once, in the order of the table.
func (p *Package) Names() []string {
	var names []string
	for _, e := range p.Entries {
		if !slices.Contains(names, e.Name) {
			names = append(names, e.Name)
		}
	}
	return names
}
