// Package firmware applies boot firmware: it stages UEFI capsules on the ESP, arms them, and takes them back.
//
// A capsule is the only way firmware gets into a stock Orin: UEFI hides the QSPI flash from Linux. The firmware takes
// any file in EFI/UpdateCapsule of the ESP it booted from when OsIndications bit 2 is set, and deletes it (edk2-nvidia
// CapsuleUpdateJetson.md). Staging keeps the file outside that folder; arming moves it in and sets the bit, last.
package firmware

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Names on the ESP. The firmware takes any name in its folder; TEGRA_BL.Cap is NVIDIA's.
const (
	stagingFolder = "EFI/tegra-ota"
	stagedName    = "staged.cap"
	incomingName  = "incoming.tmp"
	armedName     = "TEGRA_BL.Cap"
)

// fileCapsule is OsIndications bit 2, EFI_OS_INDICATIONS_FILE_CAPSULE_DELIVERY_SUPPORTED (UEFI 2.10, 8.5.4).
const fileCapsule = 1 << 2

// Options are the stager's settings.
type Options struct {
	ESPMountPoint string // "" looks
	CapsuleTrust  string // path of a PEM certificate, or "" to leave the signer to the firmware
}

// Stager stages capsules on a machine's ESP.
type Stager struct {
	m    *device.Machine
	vars *efivarfs.Store
	chip chip.Chip
	opts Options
}

var _ backends.FirmwareStager = (*Stager)(nil)

// New returns the stager of a machine with that chip.
func New(m *device.Machine, c chip.Chip, opts Options) *Stager {
	return &Stager{m: m, vars: efivarfs.New(m), chip: c, opts: opts}
}

// Method is ByCapsule.
func (s *Stager) Method() backends.Method { return backends.ByCapsule }

// places are the paths of the device that matter.
type places struct{ mount, staging, staged, incoming, folder, armed string }

func (s *Stager) places() (places, error) {
	e, err := esp.Find(s.m, s.vars, esp.Options{MountPoint: s.opts.ESPMountPoint})
	if err != nil {
		return places{}, err
	}
	p := places{mount: e.MountPoint, staging: path.Join(e.MountPoint, stagingFolder), folder: path.Join(e.MountPoint, esp.Capsules)}
	p.staged, p.incoming, p.armed = path.Join(p.staging, stagedName), path.Join(p.staging, incomingName), path.Join(p.folder, armedName)
	return p, nil
}

// trusted are the certificates that signers must be or chain to; none where none is configured.
func (s *Stager) trusted() ([]*x509.Certificate, error) {
	return payload.Certificates(s.m, s.opts.CapsuleTrust)
}

// indications reads OsIndications; an absent variable is 0.
func (s *Stager) indications(n efivarfs.Name) (value uint64, present bool, err error) {
	v, err := s.vars.Read(n)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if value, err = v.Uint64(); err != nil {
		return 0, true, fail.New(fail.Unavailable, "cannot use the UEFI variable %s: it holds %d bytes, a set of indications has eight", n.Name, len(v.Data))
	}
	return value, true, nil
}

// request sets or clears bit 2 and keeps the others, then reads back.
func (s *Stager) request(on bool) error {
	value, present, err := s.indications(efivarfs.OsIndications)
	if err != nil {
		return err
	}
	want := value &^ fileCapsule
	if on {
		want |= fileCapsule
	}
	if want == value && (present || !on) {
		return nil
	}
	word := uint32(efivarfs.NonVolatile | efivarfs.BootService | efivarfs.Runtime)
	if v, err := s.vars.Read(efivarfs.OsIndications); err == nil {
		word = v.Attributes
	}
	data := make([]byte, 8)
	for i := range data {
		data[i] = byte(want >> (8 * i))
	}
	if err := s.vars.Write(efivarfs.OsIndications, word, data); err != nil {
		return err
	}
	got, _, err := s.indications(efivarfs.OsIndications)
	if err != nil {
		return err
	}
	if got != want {
		return fail.New(fail.IO, "cannot set OsIndications to %#x: read back, it holds %#x", want, got)
	}
	return nil
}

func named(file string, err error) error {
	return fmt.Errorf("cannot stage capsule in %s: %w", file, err)
}
