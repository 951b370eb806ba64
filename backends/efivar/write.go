package efivar

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Writable says whether efivarfs can be written; some systems mount it read-only.
func (b *Backend) Writable(_ context.Context) error { return b.vars.Writable() }

// MarkBootable sets status 0 and full retries. The status comes first: cut between the two, the retry count alone still
// keeps a slot from booting as long as the scratch register is valid.
func (b *Backend) MarkBootable(ctx context.Context, s backends.Slot) error {
	if err := b.setNumber(statusVariable(s), backends.StatusNormal); err != nil {
		return err
	}
	if b.attribute(s) == "" {
		return b.refillByNVIDIA(ctx, s)
	}
	n, err := b.limit()
	if err != nil {
		return err
	}
	return b.setRetries(s, n)
}

// MarkUnbootable sets status 0xFF and no retries: the launcher reads the status only when it initialises its scratch
// register, and after that the retry counts alone (edk2-nvidia L4TRootfsValidation.c).
func (b *Backend) MarkUnbootable(_ context.Context, s backends.Slot) error {
	if err := b.setNumber(statusVariable(s), backends.StatusUnbootable); err != nil {
		return err
	}
	return b.setRetries(s, 0)
}

// ClearTrial deletes BootChainFwStatus: left over with any value but 1 it makes the firmware drop the next switch without a word.
func (b *Backend) ClearTrial(_ context.Context) error {
	return b.vars.Delete(efivarfs.BootChainFwStatus)
}

// SetNext writes BootChainFwNext and reads it back.
func (b *Backend) SetNext(_ context.Context, s backends.Slot) error {
	return b.setNumber(efivarfs.BootChainFwNext, s.Index())
}

// CancelNext deletes BootChainFwNext.
func (b *Backend) CancelNext(_ context.Context) error {
	return b.vars.Delete(efivarfs.BootChainFwNext)
}

// setNumber writes a u32 and reads it back. The store leaves an equal value alone, because each write wears the flash;
// it keeps the attributes a variable has, because the firmware refuses others.
func (b *Backend) setNumber(n efivarfs.Name, value uint32) error {
	word := uint32(attributes)
	if v, err := b.vars.Read(n); err == nil {
		word = v.Attributes
	}
	data := binary.LittleEndian.AppendUint32(nil, value)
	if err := b.vars.Write(n, word, data); err != nil {
		return err
	}
	got, err := b.number(n)
	if err != nil {
		return err
	}
	if got == nil || *got != value {
		return fail.New(fail.IO, "cannot set the UEFI variable %s to %d: read back, it %s", n.Name, value, describe(got))
	}
	return nil
}

// attribute returns the sysfs file of a slot's retry count, "" where the kernel has none: R35 and R36 kernels place it
// differently, and kernels before 5.15.148 have none.
func (b *Backend) attribute(s backends.Slot) string {
	name := chip.AttrRetryA
	if s == backends.B {
		name = chip.AttrRetryB
	}
	for _, folder := range b.pmc {
		if file := path.Join(folder, name); b.m.Exists(file) {
			return file
		}
	}
	return ""
}

func (b *Backend) retries(s backends.Slot) (int, error) {
	file := b.attribute(s)
	if file == "" {
		return 0, fs.ErrNotExist
	}
	text, err := b.m.ReadText(file)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(text, 0, 8)
	if err != nil {
		return 0, fmt.Errorf("cannot read %s: %w", file, err)
	}
	return int(n), nil
}

// setRetries writes a slot's retry count and reads it back. A kernel without the file is no error:
// State.RetriesWritable says so, and check warns.
func (b *Backend) setRetries(s backends.Slot, n int) error {
	file := b.attribute(s)
	if file == "" {
		return nil
	}
	have, err := b.retries(s)
	if err == nil && have == n {
		return nil
	}
	if err := b.m.WriteAttribute(file, fmt.Sprintf("0x%x", n)); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return fail.New(fail.Permission, "cannot set the retry count of slot %s: %w", s, err).Then("run as root")
		}
		return fail.New(fail.IO, "cannot set the retry count of slot %s: %w", s, err)
	}
	have, err = b.retries(s)
	if err != nil {
		return fail.New(fail.IO, "cannot read back the retry count of slot %s: %w", s, err)
	}
	if have != n {
		return fail.New(fail.IO, "cannot set the retry count of slot %s: wrote %d, read back %d", s, n, have)
	}
	return nil
}
