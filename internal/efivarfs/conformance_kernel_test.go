package efivarfs_test

import (
	"errors"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

// kernelRules are what a plain folder cannot show, because no kernel and no firmware judges what is written to it: that
// they refuse what the store's checks assume they refuse, and what the store makes of their answers.
var kernelRules = []rule{
	{"kernel: what the store creates is immutable", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte("x")))
		p.wantProtected(t, n)
	}},
	{"kernel: stored attributes cannot be changed", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte("old")))
		must(t, p.flag(n, false))
		for _, attributes := range []uint32{efivarfs.NonVolatile | efivarfs.BootService, efivarfs.BootService | efivarfs.Runtime, 0x80} {
			if err := p.openAndWrite(n, content(attributes, "new")); !errors.Is(err, unix.EINVAL) {
				t.Errorf("attributes %#x: %v, want EINVAL", attributes, err)
			}
		}
		p.wantContent(t, n, content(all, "old"))
	}},
	{"kernel: the attributes alone delete", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte("old")))
		must(t, p.flag(n, false))
		must(t, p.openAndWrite(n, content(all, "")))
		p.wantAbsent(t, n)
	}},
	{"firmware: no volatile variable at run time", func(t *testing.T, p place) {
		n := p.own(t)
		p.wantRefused(t, n, efivarfs.BootService|efivarfs.Runtime, []byte("x"))
		p.wantAbsent(t, n)
	}},
	{"firmware: too large", func(t *testing.T, p place) {
		n := p.own(t)
		tooLarge := make([]byte, 64<<10)
		p.wantRefused(t, n, all, tooLarge)
		p.wantAbsent(t, n)
		must(t, p.Write(n, all, []byte("old")))
		p.wantRefused(t, n, all, tooLarge)
		p.wantContent(t, n, content(all, "old"))
		p.wantProtected(t, n)
	}},
	{"kernel: OsIndications has eight bytes", func(t *testing.T, p place) {
		n := p.absent(t, efivarfs.OsIndications)
		p.wantRefused(t, n, all, []byte{4, 0, 0, 0})
		p.wantAbsent(t, n)
	}},
	{"firmware: a locked variable", func(t *testing.T, p place) {
		n := efivarfs.OsIndicationsSupported
		before, err := p.Read(n)
		must(t, err)
		if err := p.Write(n, before.Attributes, make([]byte, 8)); fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("write: %v", err)
		}
		if err := p.Delete(n); fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("delete: %v", err)
		}
		p.wantContent(t, n, content(before.Attributes, string(before.Data)))
	}},
}

// wantRefused: the firmware's no is the device's condition, in words and with a next step.
func (p place) wantRefused(t *testing.T, n efivarfs.Name, attributes uint32, data []byte) {
	t.Helper()
	err := p.Write(n, attributes, data)
	if !errors.Is(err, unix.EINVAL) || fail.CodeOf(err) != fail.Unavailable || fail.NextOf(err) == "" {
		t.Errorf("%v", err)
	}
}
