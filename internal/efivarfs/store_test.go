package efivarfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const all = efivarfs.NonVolatile | efivarfs.BootService | efivarfs.Runtime

// folder makes a machine with an empty variable store.
func folder(t testing.TB) (*device.Machine, *efivarfs.Store) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, efivarfs.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	m := device.New(root)
	return m, efivarfs.New(m)
}

// put makes a variable's file by hand.
func put(t *testing.T, m *device.Machine, name, content string) string {
	t.Helper()
	host := filepath.Join(m.Path(efivarfs.Dir), name)
	if err := os.WriteFile(host, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return host
}

func bytesOf(t *testing.T, m *device.Machine, n efivarfs.Name) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.Path(efivarfs.Dir), n.String()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNames(t *testing.T) {
	for want, n := range map[string]efivarfs.Name{
		"BootChainFwNext-781e084c-a330-417c-b678-38e696380cb9":   efivarfs.BootChainFwNext,
		"RootfsStatusSlotB-781e084c-a330-417c-b678-38e696380cb9": efivarfs.RootfsStatusSlotB,
		"OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c":     efivarfs.OsIndications,
		"Boot001A-8be4df61-93ca-11d2-aa0d-00e098032b8c":          efivarfs.BootOption(26),
		"BootFFFF-8be4df61-93ca-11d2-aa0d-00e098032b8c":          efivarfs.BootOption(0xffff),
		"a-b-781e084c-a330-417c-b678-38e696380cb9":               {Name: "a-b", GUID: efivarfs.Public},
	} {
		if n.String() != want {
			t.Errorf("%s, want %s", n, want)
		}
		if got, err := efivarfs.ParseName(want); err != nil || got != n {
			t.Errorf("%+v, %v; want %+v", got, err, n)
		}
	}
	for _, s := range []string{"", "x", "781e084c-a330-417c-b678-38e696380cb9", "-781e084c-a330-417c-b678-38e696380cb9", "x_781e084c-a330-417c-b678-38e696380cb9", "x-781e084c-a330-417c-b678-38e696380cbx"} {
		if n, err := efivarfs.ParseName(s); err == nil {
			t.Errorf("%q was accepted as %+v", s, n)
		}
	}
}

// The bytes are those that NVIDIA's firmware has: BootChainFwNext=1, OsIndications with bit 2.
func TestReadKnownBytes(t *testing.T) {
	m, s := folder(t)
	put(t, m, efivarfs.BootChainFwNext.String(), "\x07\x00\x00\x00\x01\x00\x00\x00")
	put(t, m, efivarfs.OsIndications.String(), "\x07\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00")
	v, err := s.Read(efivarfs.BootChainFwNext)
	if n, nerr := v.Uint32(); err != nil || nerr != nil || n != 1 || v.Attributes != all {
		t.Errorf("%+v, %v, %v", v, err, nerr)
	}
	if _, err := v.Uint64(); err == nil {
		t.Error("four bytes passed for eight")
	}
	v, err = s.Read(efivarfs.OsIndications)
	if n, nerr := v.Uint64(); err != nil || nerr != nil || n != 4 {
		t.Errorf("%+v, %v, %v", v, err, nerr)
	}
	if _, err := v.Uint32(); err == nil {
		t.Error("eight bytes passed for four")
	}
}

func TestAbsent(t *testing.T) {
	m, s := folder(t)
	if _, err := s.Read(efivarfs.BootNext); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, phantom := range []string{"", "\x07\x00\x00"} {
		put(t, m, efivarfs.BootNext.String(), phantom)
		if _, err := s.Read(efivarfs.BootNext); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("phantom of %d bytes: %v", len(phantom), err)
		}
	}
	put(t, m, efivarfs.BootNext.String(), "\x07\x00\x00\x00")
	if v, err := s.Read(efivarfs.BootNext); err != nil || v.Attributes != 7 || len(v.Data) != 0 {
		t.Errorf("attributes alone: %+v, %v", v, err)
	}
}

func TestList(t *testing.T) {
	m, s := folder(t)
	put(t, m, efivarfs.BootNext.String(), "\x07\x00\x00\x00\x01\x00")
	put(t, m, efivarfs.BootChainFwNext.String(), "\x07\x00\x00\x00\x01\x00\x00\x00")
	put(t, m, efivarfs.BootChainFwStatus.String(), "")
	put(t, m, "no variable", "12345678")
	if err := os.Mkdir(filepath.Join(m.Path(efivarfs.Dir), efivarfs.OsIndications.String()), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]efivarfs.Name{efivarfs.BootChainFwNext, efivarfs.BootNext}, got); d != "" {
		t.Error(d)
	}
}

func TestNoStore(t *testing.T) {
	m := device.New(t.TempDir())
	s := efivarfs.New(m)
	_, readErr := s.Read(efivarfs.BootNext)
	_, listErr := s.List()
	for name, err := range map[string]error{
		"available": s.Available(), "writable": s.Writable(), "read": readErr, "list": listErr,
		"write": s.Write(efivarfs.BootNext, all, []byte{1, 0}), "delete": s.Delete(efivarfs.BootNext),
	} {
		if fail.CodeOf(err) != fail.Unavailable || fail.NextOf(err) == "" || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.MkdirAll(m.Path("/sys/firmware/efi"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(efivarfs.Dir), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.Available(); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("a file in the folder's place: %v", err)
	}
}

// The machine that runs the tests either has a real efivarfs or is told so; a plain folder never passes for one.
func TestAvailableOnThisSystem(t *testing.T) {
	err := efivarfs.New(device.New("/")).Available()
	mt, found, mountErr := device.New("/").MountOf(efivarfs.Dir)
	if mountErr != nil {
		t.Fatal(mountErr)
	}
	mounted := found && mt.Point == efivarfs.Dir && mt.Type == "efivarfs"
	if mounted != (err == nil) || !mounted && fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("mounted %v, but %v", mounted, err)
	}
}

func TestReadOnlyMount(t *testing.T) {
	m, s := folder(t)
	put(t, m, efivarfs.BootNext.String(), "\x07\x00\x00\x00\x01\x00")
	if err := os.MkdirAll(m.Path("/proc/self"), 0o755); err != nil {
		t.Fatal(err)
	}
	for options, refused := range map[string]bool{"rw": false, "ro,nosuid": true} {
		line := "24 1 0:30 / " + efivarfs.Dir + " " + options + " - efivarfs efivarfs rw\n"
		if err := os.WriteFile(m.Path("/proc/self/mountinfo"), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"writable": s.Writable(), "write": s.Write(efivarfs.BootChainFwNext, all, []byte{1, 0, 0, 0}),
			"delete": s.Delete(efivarfs.BootChainFwNext),
		} {
			// Deleting what is absent changes nothing, so that it succeeds on a read-only mount as well.
			want := refused && name != "delete"
			if (err != nil) != want || want && (fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "remount,rw")) {
				t.Errorf("%s, %s: %v", options, name, err)
			}
		}
		// What already holds the value needs no write and succeeds.
		if err := s.Write(efivarfs.BootNext, all, []byte{1, 0}); err != nil {
			t.Errorf("%s, equal: %v", options, err)
		}
		os.Remove(filepath.Join(m.Path(efivarfs.Dir), efivarfs.BootChainFwNext.String()))
	}
}
