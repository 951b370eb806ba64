package efivarfs_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

// rules hold in a plain folder and on a kernel's efivarfs alike.
var rules = []rule{
	{"create", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte{1, 0, 0, 0}))
		p.wantContent(t, n, content(all, "\x01\x00\x00\x00"))
		v, err := p.Read(n)
		if number, numberErr := v.Uint32(); err != nil || numberErr != nil || number != 1 || v.Attributes != all {
			t.Errorf("read back: %+v, %v, %v", v, err, numberErr)
		}
		names, err := p.List()
		if err != nil || !slices.Contains(names, n) {
			t.Errorf("not listed: %v, %v", names, err)
		}
	}},
	{"rewrite shorter, longer, as long", func(t *testing.T, p place) {
		n := p.own(t)
		for _, data := range []string{"12345678", "x", "123456789", "987654321", long, "1234"} {
			must(t, p.Write(n, all, []byte(data)))
			p.wantContent(t, n, content(all, data))
			if st, err := p.m.Stat(efivarfs.Dir + "/" + n.String()); err != nil || st.Size() != int64(4+len(data)) {
				t.Errorf("%d bytes of data: %v, %v", len(data), st.Size(), err)
			}
		}
	}},
	{"equal write is no write", func(t *testing.T, p place) {
		n := p.own(t)
		fault := &device.Fault{}
		s := efivarfs.New(p.m.WithFault(fault))
		for i := 0; i < 3; i++ {
			must(t, s.Write(n, all, []byte{1, 0, 0, 0}))
		}
		if d := cmp.Diff([]string{"write variable " + n.String()}, fault.Changes()); d != "" {
			t.Error(d)
		}
	}},
	{"delete", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte{1}))
		must(t, p.Delete(n))
		p.wantAbsent(t, n)
		must(t, p.Delete(n))
		must(t, p.Write(n, all, []byte{2}))
		p.wantContent(t, n, content(all, "\x02"))
	}},
	{"immutable once created, and again after a write", func(t *testing.T, p place) {
		n := p.own(t)
		p.byHand(t, n, content(all, "old"))
		p.wantProtected(t, n)
		must(t, p.Write(n, all, []byte("new, longer")))
		p.wantContent(t, n, content(all, "new, longer"))
		p.wantProtected(t, n)
		must(t, p.Delete(n))
		p.wantAbsent(t, n)
	}},
	{"changeable ones stay changeable", func(t *testing.T, p place) {
		n := p.absent(t, efivarfs.BootNext)
		for _, data := range []string{"\x01\x00", "\x02\x00"} {
			must(t, p.Write(n, all, []byte(data)))
			if isImmutable(t, p.host(n)) {
				t.Error("BootNext is immutable")
			}
		}
	}},
	{"without privilege nothing changes", func(t *testing.T, p place) {
		n := p.own(t)
		p.byHand(t, n, content(all, "old"))
		for name, change := range map[string]func() error{
			"write": func() error { return p.Write(n, all, []byte("new")) }, "delete": func() error { return p.Delete(n) },
		} {
			if err := withoutCapabilities(t, change); fail.CodeOf(err) != fail.Permission {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.wantContent(t, n, content(all, "old"))
		p.wantProtected(t, n)
	}},
	{"phantom", func(t *testing.T, p place) {
		n := p.own(t)
		for _, short := range []string{"", "\x07\x00\x00"} {
			p.phantom(t, n, short)
			if _, err := p.Read(n); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%d bytes: %v", len(short), err)
			}
			if names, err := p.List(); err != nil || slices.Contains(names, n) {
				t.Errorf("%d bytes: listed, or %v", len(short), err)
			}
			must(t, p.Delete(n))
			p.wantAbsent(t, n)
			p.phantom(t, n, short)
			must(t, p.Write(n, all, []byte("new")))
			p.wantContent(t, n, content(all, "new"))
			must(t, p.Delete(n))
		}
	}},
	{"other attributes are refused", func(t *testing.T, p place) {
		n := p.own(t)
		p.byHand(t, n, content(all, "old"))
		for _, data := range []string{"old", "new"} {
			err := p.Write(n, efivarfs.NonVolatile|efivarfs.BootService, []byte(data))
			if fail.CodeOf(err) != fail.Unavailable || fail.NextOf(err) == "" || !strings.Contains(err.Error(), "0x7") || !strings.Contains(err.Error(), "0x3") {
				t.Errorf("%s: %v", data, err)
			}
		}
		p.wantContent(t, n, content(all, "old"))
		p.wantProtected(t, n)
	}},
	{"misuse", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte("old")))
		for name, err := range map[string]error{
			"no data": p.Write(n, all, nil), "append": p.Write(n, all|0x40, []byte("new")),
			"a path": p.Write(efivarfs.Name{Name: "../" + n.Name, GUID: n.GUID}, all, []byte("new")),
		} {
			if fail.CodeOf(err) != fail.Internal {
				t.Errorf("%s: %v", name, err)
			}
		}
		p.wantContent(t, n, content(all, "old"))
	}},
	{"large value", func(t *testing.T, p place) {
		n := p.own(t)
		must(t, p.Write(n, all, []byte(long)))
		p.wantContent(t, n, content(all, long))
	}},
	{"name without GUID", func(t *testing.T, p place) {
		const bad = "TegraOtaWithoutGUID"
		err := os.WriteFile(p.m.Path(efivarfs.Dir+"/"+bad), []byte(content(all, "x")), 0o644)
		if refused := errors.Is(err, unix.EINVAL); refused != p.kernel || !refused && err != nil {
			t.Errorf("creating it: %v", err)
		}
		names, err := p.List()
		if err != nil || slices.ContainsFunc(names, func(n efivarfs.Name) bool { return strings.HasPrefix(n.Name, bad) }) {
			t.Errorf("listed: %v, %v", names, err)
		}
	}},
	{"read-only mount", func(t *testing.T, p place) {
		n, other := p.own(t), p.absent(t, efivarfs.BootNext)
		must(t, p.Write(n, all, []byte("old")))
		t.Run("while", func(t *testing.T) {
			p.readOnly(t)
			for name, err := range map[string]error{
				"writable": p.Writable(), "rewrite": p.Write(n, all, []byte("new")), "create": p.Write(other, all, []byte{1, 0}), "delete": p.Delete(n),
			} {
				if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "remount,rw") {
					t.Errorf("%s: %v", name, err)
				}
			}
			must(t, p.Write(n, all, []byte("old"))) // nothing to write
			must(t, p.Delete(other))                // nothing to delete
		})
		p.wantContent(t, n, content(all, "old"))
		p.wantAbsent(t, other)
	}},
}
