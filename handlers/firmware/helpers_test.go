package firmware_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const (
	stagedFile   = "boot/efi/EFI/tegra-ota/staged.cap"
	incomingFile = "boot/efi/EFI/tegra-ota/incoming.tmp"
	armedFile    = "boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"
	esrtFolder   = "sys/firmware/efi/esrt/entries/entry0"
)

var ctx = context.Background()

// orin is a virtual device with firmware 36.4.0 unless said otherwise.
type orin struct {
	t   *testing.T
	dir string
	m   *device.Machine
}

func newOrin(t *testing.T, opts virtual.CreateOptions) orin {
	t.Helper()
	opts.AppSize, opts.ImageSize = 64<<10, 256
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), opts)
	if err != nil {
		t.Fatal(err)
	}
	return orin{t, o.Dir(), device.New(o.Dir())}
}

func (o orin) stager(opts firmware.Options) *firmware.Stager {
	return firmware.New(o.m, chip.T234, opts)
}

func (o orin) path(p string) string { return filepath.Join(o.dir, p) }

func (o orin) write(p, content string) {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Dir(o.path(p)), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(o.path(p), []byte(content), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

func (o orin) exists(p string) bool {
	_, err := os.Stat(o.path(p))
	return err == nil
}

func (o orin) set(n efivarfs.Name, data []byte) {
	o.t.Helper()
	o.write("sys/firmware/efi/efivars/"+n.String(), "\x07\x00\x00\x00"+string(data))
}

func (o orin) delete(n efivarfs.Name) {
	o.t.Helper()
	if err := os.Remove(o.path("sys/firmware/efi/efivars/" + n.String())); err != nil {
		o.t.Fatal(err)
	}
}

// indications is OsIndications; absent is 0, false.
func (o orin) indications() (uint64, bool) {
	b, err := os.ReadFile(o.path("sys/firmware/efi/efivars/" + efivarfs.OsIndications.String()))
	if err != nil || len(b) != 12 {
		return 0, false
	}
	return binary.LittleEndian.Uint64(b[4:]), true
}

func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

func build(t *testing.T, opts virtual.CapsuleOptions) []byte {
	t.Helper()
	if opts.L4T == "" {
		opts.L4T = "36.4.3"
	}
	opts.ImageSize = 256
	b, err := virtual.BuildCapsule(opts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// stage opens and stages a capsule.
func stage(t *testing.T, s *firmware.Stager, raw []byte) backends.Staged {
	t.Helper()
	c, err := s.Open(ctx, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	staged, err := c.Stage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	version, err := capsule.ParseVersion("36.4.3")
	if err != nil {
		t.Fatal(err)
	}
	if want := (backends.Staged{Size: int64(len(raw)), SHA256: fmt.Sprintf("%x", sha256.Sum256(raw)), Version: version}); staged != want {
		t.Fatalf("staged %+v, want %+v", staged, want)
	}
	return staged
}

func pending(t *testing.T, s *firmware.Stager, staged *backends.Staged) backends.Pending {
	t.Helper()
	p, err := s.Pending(ctx, staged)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFailure(t *testing.T, err error, code fail.Code, text string) {
	t.Helper()
	if err == nil {
		t.Fatal("it was accepted")
	}
	if fail.CodeOf(err) != code || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v; want %s: ...%s...", fail.CodeOf(err), err, code, text)
	}
}
