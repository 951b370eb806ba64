// Package efivar controls the slots of a T234 or T264 through UEFI variables, as JetPack 5 to 7 keep them, and the
// launcher's scratch register in the PMC's sysfs.
//
// It depends on no variable that NVIDIA's firmware does not have: RootfsRetryCountA and B, BootChainOsNext,
// BootChainOsStatus and CapsuleUpdateStatus, which public guides name, are not real (edk2-nvidia: BootChainDxe.c,
// L4TRootfsValidation.c, DefaultVariableDxe.c).
package efivar

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// attributes of every variable that we create: the firmware's own (0x07).
const attributes = efivarfs.NonVolatile | efivarfs.BootService | efivarfs.Runtime

// retryMax is RootfsRetryCountMax's default (edk2-nvidia L4TConfiguration.dts), and all that two bits hold.
const retryMax = 3

// Backend is boot control on UEFI variables.
type Backend struct {
	m    *device.Machine
	vars *efivarfs.Store
	pmc  []string // candidate folders of the scratch register

	nvbootctrl string // NVIDIA's program; "" looks for it
}

var _ backends.Backend = (*Backend)(nil)

// New returns the backend of a chip on a machine.
func New(m *device.Machine, c chip.Chip) *Backend {
	return &Backend{m: m, vars: efivarfs.New(m), pmc: c.PMC}
}

// WithNVBootctrl names NVIDIA's nvbootctrl, which refills the running slot's retries where the kernel does not show
// them; "" looks in the usual folders.
func (b *Backend) WithNVBootctrl(path string) *Backend {
	b.nvbootctrl = path
	return b
}

// WithOutbox has every change of a variable wait in a folder of the EFI system partition until the firmware takes it up
// (efivarfs.Store.WithOutbox): the way of devices whose variables cannot be written at run time.
func (b *Backend) WithOutbox(folder string) *Backend {
	b.vars = b.vars.WithOutbox(folder)
	return b
}

// Probe says whether this backend is the machine's: yes, no, or yes but broken (an error). T234 and T264 with a
// readable BootChainFwCurrent are; on other chips UEFI variables do not decide.
func Probe(m *device.Machine, c chip.Chip) (bool, error) {
	if c.Name != chip.T234.Name && c.Name != chip.T264.Name {
		return false, nil
	}
	vars := efivarfs.New(m)
	if err := vars.Available(); err != nil {
		return true, err
	}
	_, err := vars.Read(efivarfs.BootChainFwCurrent)
	if errors.Is(err, fs.ErrNotExist) {
		return true, fail.New(fail.Unavailable, "cannot read BootChainFwCurrent: this firmware does not publish its boot chain: %w", err).
			Then("check that the device booted NVIDIA's UEFI")
	}
	return err == nil, err
}

// Name is "efivar".
func (b *Backend) Name() string { return "efivar" }

// Read reads every variable and retry count.
func (b *Backend) Read(_ context.Context) (backends.State, error) {
	st := backends.State{Slots: map[backends.Slot]backends.SlotState{}}
	if err := b.vars.Available(); err != nil {
		return st, err
	}
	current, err := b.number(efivarfs.BootChainFwCurrent)
	if err != nil {
		return st, err
	}
	if current == nil || backends.SlotAt(*current) == backends.None {
		return st, fail.New(fail.Unavailable, "cannot tell the running chain: BootChainFwCurrent %s", describe(current))
	}
	st.Current = backends.SlotAt(*current)
	if err := b.readOptional(&st); err != nil {
		return st, err
	}
	versions, err := b.versions()
	if err != nil {
		return st, err
	}
	for _, s := range backends.Slots {
		status, err := b.number(statusVariable(s))
		if err != nil {
			return st, err
		}
		slot := backends.SlotState{Status: status, Firmware: versions[s]}
		if r, err := b.retries(s); err == nil {
			slot.Retries = &r
		}
		st.Slots[s] = slot
	}
	st.RetriesWritable = b.attribute(backends.A) != "" && b.attribute(backends.B) != ""
	return st, nil
}

// readOptional reads what may be absent: absence is an answer, a failed read is not.
func (b *Backend) readOptional(st *backends.State) error {
	next, err := b.number(efivarfs.BootChainFwNext)
	if err != nil {
		return err
	}
	if next != nil {
		st.Next, st.NextPending = backends.SlotAt(*next), true
	}
	root, err := b.number(efivarfs.BootChainOsCurrent)
	if err != nil {
		return err
	}
	if root != nil {
		st.RootCurrent = backends.SlotAt(*root)
	}
	if st.TrialStatus, err = b.number(efivarfs.BootChainFwStatus); err != nil {
		return err
	}
	if st.Redundancy, err = b.number(efivarfs.RootfsRedundancyLevel); err != nil {
		return err
	}
	if st.RetryMax, err = b.limit(); err != nil {
		return err
	}
	if _, err := b.vars.Read(efivarfs.BootNext); err == nil {
		st.BootNext = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if st.Spec, err = b.text(efivarfs.TegraPlatformSpec); err != nil {
		return err
	}
	st.Compat, err = b.text(efivarfs.TegraPlatformCompatSpec)
	return err
}

// number reads a u32; nil when absent. Some releases store a byte (FmpCapsuleSinglePartitionChain's habit), so any
// width up to four is taken.
func (b *Backend) number(n efivarfs.Name) (*uint32, error) {
	v, err := b.vars.Read(n)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(v.Data) == 0 || len(v.Data) > 4 {
		return nil, fail.New(fail.Unavailable, "cannot read the UEFI variable %s: it holds %d bytes, a number has four", n.Name, len(v.Data))
	}
	var word [4]byte
	copy(word[:], v.Data)
	x := binary.LittleEndian.Uint32(word[:])
	return &x, nil
}

// text reads an ASCII variable; "" when absent.
func (b *Backend) text(n efivarfs.Name) (string, error) {
	v, err := b.vars.Read(n)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return v.Text(), err
}

// limit is how many retries a refill gives: RootfsRetryCountMax as far as two bits hold it.
func (b *Backend) limit() (int, error) {
	n, err := b.number(efivarfs.RootfsRetryCountMax)
	if err != nil || n == nil || *n < 1 || *n > retryMax {
		return retryMax, err
	}
	return int(*n), nil
}

// versions reads SystemFwVersions: a u32 for each chain, 0xFFFFFFFF for unknown; absent before L4T R36.3.
func (b *Backend) versions() (map[backends.Slot]*capsule.Version, error) {
	versions := map[backends.Slot]*capsule.Version{}
	v, err := b.vars.Read(efivarfs.SystemFwVersions)
	if errors.Is(err, fs.ErrNotExist) {
		return versions, nil
	}
	if err != nil {
		return nil, err
	}
	for i, s := range backends.Slots {
		if len(v.Data) < 4*i+4 {
			break
		}
		if word := binary.LittleEndian.Uint32(v.Data[4*i:]); word != 0xFFFFFFFF {
			version := capsule.Version(word)
			versions[s] = &version
		}
	}
	return versions, nil
}

func statusVariable(s backends.Slot) efivarfs.Name {
	if s == backends.B {
		return efivarfs.RootfsStatusSlotB
	}
	return efivarfs.RootfsStatusSlotA
}

func describe(v *uint32) string {
	if v == nil {
		return "is absent"
	}
	return fmt.Sprintf("holds %d", *v)
}
