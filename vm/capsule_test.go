package vm_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/firmware"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// Paths on the ESP, as the firmware knows them.
const (
	stagedFile = "/boot/efi/EFI/tegra-ota/staged.cap"
	armedFile  = "/boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"
)

// requested is OsIndications bit 2, the request to process capsules; others are bits that belong to nobody here, and
// that no firmware acts on.
const (
	requested = 1 << 2
	others    = 1<<40 | 1<<8
)

// stage puts a file where an installed capsule lies. Its content is none of the firmware's business: nothing here can
// process a capsule.
func (m machine) stage(t *testing.T) backends.Staged {
	t.Helper()
	data := []byte("not a capsule, only its place\n")
	must(t, os.RemoveAll(m.Path("/boot/efi/EFI/UpdateCapsule")))
	must(t, os.MkdirAll(filepath.Dir(m.Path(stagedFile)), 0o755))
	must(t, os.WriteFile(m.Path(stagedFile), data, 0o644))
	return identify(data)
}

func identify(data []byte) backends.Staged {
	sum := sha256.Sum256(data)
	return backends.Staged{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// TestCapsule arms and disarms: on a real FAT, with a real GPT around it and a real OsIndications, where there is a kernel.
func TestCapsule(t *testing.T) {
	m := newMachine(t)
	m.asOrin(t)
	t.Cleanup(func() { m.remove(t, efivarfs.OsIndications) }) // whatever happens: bits that stay could stop the next boot
	s := firmware.New(m.Machine, chip.T234, firmware.Options{})
	ctx := context.Background()
	staged := m.stage(t)
	// Generic firmware announces no capsules from files, but takes the request.
	pending := backends.Pending{Staged: true, Unsupported: m.kernel}
	armed := backends.Pending{Armed: true, Unsupported: m.kernel, Requested: true}
	taken := pending
	taken.Requested = true
	for _, step := range []struct {
		name string
		do   func() error
		want string // OsIndications
		is   backends.Pending
	}{
		{"staged", func() error { return s.Verify(ctx, staged) }, "", pending},
		{"armed", func() error { return s.Arm(ctx, staged) }, u64(requested), armed},
		{"armed again", func() error { return s.Arm(ctx, staged) }, u64(requested), armed},
		{"taken back, request and all", func() error { return s.Disarm(ctx, staged, true) }, u64(0), pending},
		{"armed beside other requests", func() error {
			m.set(t, efivarfs.OsIndications, u64(others))
			return s.Arm(ctx, staged)
		}, u64(others | requested), armed},
		{"taken back beside other requests", func() error { return s.Disarm(ctx, staged, true) }, u64(others), pending},
		{"taken back, the request stays", func() error {
			if err := s.Arm(ctx, staged); err != nil {
				return err
			}
			return s.Disarm(ctx, staged, false)
		}, u64(others | requested), taken},
	} {
		t.Run(step.name, func(t *testing.T) {
			must(t, step.do())
			m.want(t, efivarfs.OsIndications, step.want)
			got, err := s.Pending(ctx, &staged)
			must(t, err)
			if d := cmp.Diff(step.is, got); d != "" {
				t.Error(d)
			}
			if m.Exists(armedFile) != step.is.Armed || m.Exists(stagedFile) != step.is.Staged {
				t.Errorf("armed file: %v, staged file: %v", m.Exists(armedFile), m.Exists(stagedFile))
			}
		})
	}
	must(t, s.Discard(ctx, staged))
	if m.Exists(armedFile) || m.Exists(stagedFile) {
		t.Error("the capsule is still there")
	}
}
