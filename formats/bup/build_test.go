package bup_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

func TestBuildRefuses(t *testing.T) {
	one := []bup.Image{{Name: "mb1"}}
	for want, o := range map[string]bup.BuildOptions{
		"0 images":              {},
		"4097 images":           {Images: make([]bup.Image, bup.MaxEntries+1)},
		"unknown format":        {Format: 4, Images: one},
		"header size 44":        {HeaderSize: 44, Images: one},
		"accessory needs":       {HeaderSize: 40, Accessory: &bup.Accessory{}, Images: one},
		"unknown type 2":        {Type: 2, Images: one},
		"gaps":                  {Gap: 1, Images: one},
		`name ""`:               {Images: make([]bup.Image, 1)},
		"name \"nnn":            {Images: []bup.Image{{Name: strings.Repeat("n", 40)}}},
		`name "a b"`:            {Images: []bup.Image{{Name: "a b"}}},
		"at most 63 printable":  {Format: bup.V2, Images: []bup.Image{{Name: "mb1", Spec: strings.Repeat("s", 64)}}},
		"at most 127 printable": {Images: []bup.Image{{Name: "mb1", Spec: strings.Repeat("s", 128)}}},
		"op_mode 3":             {Images: []bup.Image{{Name: "mb1", OpMode: 3}}},
		"more than a package":   {Format: bup.V2, Gap: 0xffffffff, Images: append(one, one...)},
	} {
		if b, err := bup.BuildBytes(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: built %d bytes, error %v", want, len(b), err)
		}
	}
}

func TestBuildDefaults(t *testing.T) {
	b := build(t, bup.BuildOptions{Images: []bup.Image{{Name: "mb1"}}, Accessory: &bup.Accessory{MB1Ratchet: 7}})
	if string(b[:16]) != "NVIDIA__BLOB__V3" || b[24] != 48 || b[40] != 7 || len(b) != 48+184 {
		t.Errorf("%d bytes, header % x", len(b), b[:48])
	}
}

type failingWriter struct{ left int }

var errFull = errors.New("full")

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestBuildWriteError(t *testing.T) {
	o := small(bup.V2)
	o.Gap = 3
	for n := range len(build(t, o)) {
		if err := bup.Build(&failingWriter{n}, o); !errors.Is(err, errFull) {
			t.Errorf("full after %d bytes: %v", n, err)
		}
	}
}

func TestStrings(t *testing.T) {
	for got, want := range map[string]string{
		bup.V2.String(): "V2", bup.V3.String(): "V3", bup.Format(0).String(): "Format(0)",
		bup.Always.String(): "always", bup.NonProduction.String(): "non-production", bup.Production.String(): "production",
		bup.OpMode(9).String(): "OpMode(9)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if bup.V2.EntrySize() != 120 || bup.V3.EntrySize() != 184 || bup.Format(1).EntrySize() != 0 {
		t.Error("entry sizes")
	}
	if bup.IsBUP([]byte("NVIDIA__BLOB__V")) || bup.IsBUP(nil) || !bup.IsBUP([]byte("NVIDIA__BLOB__V2...")) {
		t.Error("IsBUP")
	}
}
