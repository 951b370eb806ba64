package bup_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

const (
	nanoSpec   = "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-"
	nanoCompat = "3767--0005--1--jetson-orin-nano-devkit-"
	agxSpec    = "3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-"
)

func build(t testing.TB, o bup.BuildOptions) []byte {
	t.Helper()
	b, err := bup.BuildBytes(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// small is a package of each format with three images, of which the last is empty.
func small(f bup.Format) bup.BuildOptions {
	return bup.BuildOptions{Format: f, Images: []bup.Image{
		{Name: "mb1", Data: []byte("first"), Version: 0x3920, OpMode: bup.Production},
		{Name: "mb2", Data: []byte("second image"), Spec: nanoSpec},
		{Name: "VER"},
	}}
}

// wantPackage is what a reader must find in a package built with o.
func wantPackage(o bup.BuildOptions, size int) *bup.Package {
	p := &bup.Package{Header: bup.Header{
		Format: o.Format, Version: o.Version, Size: uint32(size), HeaderSize: o.HeaderSize,
		EntryCount: uint32(len(o.Images)), Type: o.Type, UncompressedSize: uint32(size),
	}}
	if o.HeaderSize == bup.HeaderSizeAccessory {
		p.Header.Accessory = &bup.Accessory{}
		if o.Accessory != nil {
			*p.Header.Accessory = *o.Accessory
		}
	}
	at := p.Header.TableEnd()
	gapStart := at
	for i, im := range o.Images {
		if i > 0 {
			at += int64(o.Gap)
		}
		if len(im.Data) > 0 {
			if at > gapStart {
				p.Gaps = append(p.Gaps, bup.Gap{Offset: gapStart, Length: at - gapStart})
			}
			gapStart = at + int64(len(im.Data))
		}
		p.Entries = append(p.Entries, bup.Entry{
			Name: im.Name, Offset: uint32(at), Length: uint32(len(im.Data)), Version: im.Version,
			OpMode: im.OpMode, Spec: im.Spec, SHA256: sha256.Sum256(im.Data),
		})
		at += int64(len(im.Data))
	}
	if at > gapStart {
		p.Gaps = append(p.Gaps, bup.Gap{Offset: gapStart, Length: at - gapStart})
	}
	return p
}

func options() *rapid.Generator[bup.BuildOptions] {
	return rapid.Custom(func(t *rapid.T) bup.BuildOptions {
		o := bup.BuildOptions{
			Format:     rapid.SampledFrom([]bup.Format{bup.V2, bup.V3}).Draw(t, "format"),
			HeaderSize: rapid.SampledFrom([]uint32{40, 48}).Draw(t, "header size"),
			Version:    rapid.Uint32Min(1).Draw(t, "version"),
			Type:       rapid.SampledFrom([]uint32{bup.TypeUpdate, bup.TypeBMP}).Draw(t, "type"),
		}
		if o.HeaderSize == 48 && rapid.Bool().Draw(t, "accessory") {
			o.Accessory = &bup.Accessory{MB1Ratchet: 1, MTSRatchet: 2, RollbackRatchet: 3, Reserved: [5]byte{4, 5, 6, 7, 8}}
		}
		if o.Format == bup.V2 {
			o.Gap = rapid.Uint32Range(0, 20).Draw(t, "gap")
		}
		limit := o.Format.SpecSize() - 1
		o.Images = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) bup.Image {
			return bup.Image{
				Name:    rapid.StringMatching(`[!-~]{1,39}`).Draw(t, "name"),
				Spec:    rapid.StringMatching(fmt.Sprintf(`[!-~]{0,%d}`, limit)).Draw(t, "spec"),
				OpMode:  bup.OpMode(rapid.Uint32Range(0, 2).Draw(t, "op_mode")),
				Version: rapid.Uint32().Draw(t, "entry version"),
				Data:    rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "data"),
			}
		}), 1, 12).Draw(t, "images")
		return o
	})
}

// entryHeader writes one row of an entry table.
func entryHeader(f bup.Format, name string, offset, length, version, mode uint32, spec string) []byte {
	b := make([]byte, f.EntrySize())
	copy(b, name)
	for i, v := range []uint32{offset, length, version, mode} {
		binary.LittleEndian.PutUint32(b[40+4*i:], v)
	}
	copy(b[56:], spec)
	return b
}

// sparse is a file of zeros with head at its start.
type sparse struct {
	head []byte
	size int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), s.size-off))
	clear(p[:n])
	if off < int64(len(s.head)) {
		copy(p[:n], s.head[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
