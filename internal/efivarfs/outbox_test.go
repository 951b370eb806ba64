package efivarfs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const outboxFolder = "/boot/efi/" + efivarfs.OutboxFolder

// outbox makes an empty variable store with an outbox on a FAT.
func outbox(t *testing.T) *device.Machine {
	t.Helper()
	m, _ := folder(t)
	for name, content := range map[string]string{
		"proc/self/mountinfo": "30 22 259:1 / /boot/efi rw - vfat /dev/mmcblk0p2 rw\n", "boot/efi/EFI/x": "",
	} {
		must(t, os.MkdirAll(filepath.Dir(m.Path(name)), 0o755))
		must(t, os.WriteFile(m.Path(name), []byte(content), 0o644))
	}
	return m
}

// takeUp is the firmware at the next boot (edk2-nvidia DefaultVariableDxe.c): the name ends at the first hyphen, the GUID
// behind 36 characters, whatever follows; every file is deleted.
func takeUp(t *testing.T, m *device.Machine) {
	t.Helper()
	entries, err := m.ReadDir(outboxFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	must(t, err)
	for _, e := range entries {
		b, err := m.ReadFile(outboxFolder + "/" + e.Name())
		must(t, err)
		must(t, os.Remove(m.Path(outboxFolder+"/"+e.Name())))
		name, rest, ok := strings.Cut(e.Name(), "-")
		if !ok || len(name) > 63 || len(rest) < 36 || len(b) < 4 || b[0]&7 != 7 {
			continue
		}
		g, err := guid.Parse(rest[:36])
		if err != nil {
			continue
		}
		host := m.Path(efivarfs.Dir + "/" + efivarfs.Name{Name: name, GUID: g}.String())
		if len(b) == 4 {
			_ = os.Remove(host)
			continue
		}
		must(t, os.WriteFile(host, b, 0o644))
	}
}

// What is read is what will be after the next boot, and efivarfs itself stays as it is until then.
func TestOutbox(t *testing.T) {
	m := outbox(t)
	s, now := efivarfs.New(m).WithOutbox(outboxFolder), efivarfs.New(m)
	n := efivarfs.BootChainFwStatus
	put(t, m, n.String(), content(all, "\x0c\x00\x00\x00"))
	must(t, s.Writable())
	for _, tt := range []struct {
		name   string
		do     func() error
		want   string // "" for absent
		before string
	}{
		{"rewrite", func() error { return s.Write(n, all, []byte{1, 0, 0, 0}) }, "\x01\x00\x00\x00", "\x0c\x00\x00\x00"},
		{"delete", func() error { return s.Delete(n) }, "", "\x01\x00\x00\x00"},
		{"create", func() error { return s.Write(n, all, []byte{2, 0, 0, 0}) }, "\x02\x00\x00\x00", ""},
		{"write again before the boot", func() error {
			must(t, s.Write(n, all, []byte{3, 0, 0, 0}))
			return s.Write(n, all, []byte{4, 0, 0, 0})
		}, "\x04\x00\x00\x00", "\x02\x00\x00\x00"},
		{"delete what waits", func() error {
			must(t, s.Write(n, all, []byte{5, 0, 0, 0}))
			return s.Delete(n)
		}, "", "\x04\x00\x00\x00"},
		{"delete what is absent", func() error { return s.Delete(n) }, "", ""},
		{"take back what waits", func() error {
			must(t, s.Write(n, all, []byte{6, 0, 0, 0}))
			return s.Delete(n)
		}, "", ""},
	} {
		must(t, tt.do())
		fault := &device.Fault{}
		if got := value(t, now, n); got != tt.before {
			t.Errorf("%s: efivarfs holds %q before the boot, want %q", tt.name, got, tt.before)
		}
		if got := value(t, s, n); got != tt.want {
			t.Errorf("%s: %q waits, want %q", tt.name, got, tt.want)
		}
		again := efivarfs.New(m.WithFault(fault)).WithOutbox(outboxFolder)
		if tt.want == "" {
			must(t, again.Delete(n))
		} else {
			must(t, again.Write(n, all, []byte(tt.want)))
		}
		if fault.Count() != 0 {
			t.Errorf("%s again: %q", tt.name, fault.Changes())
		}
		takeUp(t, m)
		if got := value(t, now, n); got != tt.want {
			t.Errorf("%s: efivarfs holds %q after the boot, want %q", tt.name, got, tt.want)
		}
	}
}

// value is a variable's data; "" if absent.
func value(t *testing.T, s *efivarfs.Store, n efivarfs.Name) string {
	t.Helper()
	v, err := s.Read(n)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	must(t, err)
	return string(v.Data)
}

// What the firmware will refuse does not wait, and is not left to it.
func TestOutboxKnowsWhatTheFirmwareRefuses(t *testing.T) {
	m := outbox(t)
	s := efivarfs.New(m).WithOutbox(outboxFolder)
	n := efivarfs.RootfsStatusSlotB
	put(t, m, n.String(), content(all, "\x00\x00\x00\x00"))
	must(t, os.MkdirAll(m.Path(outboxFolder), 0o755))
	for _, refused := range []string{"", "\x07\x00", content(efivarfs.BootService|efivarfs.Runtime, "\xff\x00\x00\x00")} {
		must(t, os.WriteFile(m.Path(outboxFolder+"/"+n.String()), []byte(refused), 0o644))
		if got := value(t, s, n); got != "\x00\x00\x00\x00" {
			t.Errorf("%q waits: %q", refused, got)
		}
	}
	for name, err := range map[string]error{
		"a hyphen":  s.Write(efivarfs.Name{Name: "a-b", GUID: efivarfs.Public}, all, []byte{1}),
		"a name":    s.Write(efivarfs.Name{Name: strings.Repeat("x", 64), GUID: efivarfs.Public}, all, []byte{1}),
		"volatile":  s.Write(efivarfs.BootChainFwNext, efivarfs.BootService|efivarfs.Runtime, []byte{1}),
		"no data":   s.Write(n, all, nil),
		"a changed": s.Write(n, efivarfs.NonVolatile|efivarfs.BootService, []byte{1}),
	} {
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	must(t, os.WriteFile(m.Path("proc/self/mountinfo"), []byte("30 22 259:1 / /boot/efi ro - vfat /dev/mmcblk0p2 ro\n"), 0o644))
	for name, err := range map[string]error{"writable": s.Writable(), "write": s.Write(n, all, []byte{9, 0, 0, 0}), "delete": s.Delete(n)} {
		if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "remount,rw /boot/efi") {
			t.Errorf("%s on a read-only ESP: %v", name, err)
		}
	}
}

// Cut anywhere, the firmware finds the old state, the new one, or, where a FAT lost a rename, none that waits; never another.
func TestOutboxPowerCuts(t *testing.T) {
	n := efivarfs.RootfsStatusSlotB
	for _, loss := range device.Losses {
		for cut := 1; ; cut++ {
			m := outbox(t)
			put(t, m, n.String(), content(all, "old!"))
			must(t, efivarfs.New(m).WithOutbox(outboxFolder).Write(n, all, []byte("wait")))
			fault := &device.Fault{CutAt: cut, Loss: loss}
			err := efivarfs.New(m.WithFault(fault)).WithOutbox(outboxFolder).Write(n, all, []byte("new!"))
			if fault.WasCut() == (err == nil) {
				t.Fatalf("%s, cut %d: %v", loss, cut, err)
			}
			name := fmt.Sprintf("%s, cut %d of %q", loss, cut, fault.Changes())
			takeUp(t, m)
			got := value(t, efivarfs.New(m), n)
			if got != "wait" && got != "new!" && !(got == "old!" && loss == device.RenameNeither) || err == nil && got != "new!" {
				t.Errorf("%s: %q", name, got)
			}
			must(t, efivarfs.New(m).WithOutbox(outboxFolder).Write(n, all, []byte("new!")))
			takeUp(t, m)
			if got := value(t, efivarfs.New(m), n); got != "new!" {
				t.Errorf("%s, and again: %q", name, got)
			}
			if !fault.WasCut() {
				break
			}
		}
	}
}
