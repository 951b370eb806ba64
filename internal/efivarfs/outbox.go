package efivarfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// OutboxFolder is where NVIDIA's firmware looks for variables to set, from the top of the EFI system partition
// (edk2-nvidia Silicon/NVIDIA/Drivers/DefaultVariableDxe, ESP_VAR_DIR_PATH).
const OutboxFolder = "EFI/NVDA/Variables"

// What that driver demands: these attributes, all of them, and a name of less than 64 characters up to the first hyphen.
const (
	outboxAttributes = NonVolatile | BootService | Runtime
	outboxMaxName    = 63
)

// WithOutbox returns the same variables on a device whose firmware cannot write them at run time, because the flash that
// holds them belongs to the operating system by then: AGX Xavier, whose variables lie in the eMMC.
//
// Write and Delete leave files in the folder, NAME-GUID with the bytes of efivarfs, attributes alone for a deletion. At the
// next boot, as soon as variables can be written and so before capsules, boot chain and launcher read any, the firmware sets
// them and deletes the files, those it refused too (edk2-nvidia DefaultVariableDxe.c, GetAndProcessEspVariables). Read
// answers what a variable will be then. List does not look into the folder.
func (s *Store) WithOutbox(folder string) *Store {
	return &Store{m: s.m, outbox: folder}
}

// waiting returns what waits for the firmware. A file that it will refuse does not count.
func (s *Store) waiting(n Name) (v Variable, err error, waits bool) {
	if s.outbox == "" {
		return Variable{}, nil, false
	}
	b, err := s.m.ReadFile(s.waitingPath(n))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Variable{}, fmt.Errorf("cannot read what waits for variable %s: %w", n, err), true
	}
	if err != nil || len(b) < attributesSize || binary.LittleEndian.Uint32(b)&outboxAttributes != outboxAttributes {
		return Variable{}, nil, false
	}
	if len(b) == attributesSize {
		return Variable{}, fmt.Errorf("cannot read variable %s: it is deleted at the next boot: %w", n, fs.ErrNotExist), true
	}
	return Variable{Attributes: binary.LittleEndian.Uint32(b), Data: b[attributesSize:]}, nil, true
}

// post leaves a file for the firmware. The temporary one lies beside the folder and not in it: the firmware would take
// NAME-GUID.tmp for the variable, too, because it stops reading the name behind the GUID, and four bytes of a torn one
// would delete the variable. A cut during the rename may leave neither file, as if nothing had been asked for.
func (s *Store) post(n Name, payload []byte) error {
	if strings.Contains(n.Name, "-") || len(n.Name) > outboxMaxName {
		return fail.New(fail.Internal, "cannot leave variable %s to the firmware: it takes names of %d characters without a hyphen",
			n, outboxMaxName)
	}
	if a := binary.LittleEndian.Uint32(payload); a&outboxAttributes != outboxAttributes {
		return fail.New(fail.Unavailable,
			"cannot leave variable %s to the firmware: it takes none with attributes %#x from the EFI system partition", n, a)
	}
	wrap := func(err error) error {
		if err == nil {
			return nil
		}
		return fmt.Errorf("cannot leave variable %s to the firmware: %w", n, err)
	}
	if err := s.m.MkdirAll(s.outbox, 0o755); err != nil {
		return wrap(err)
	}
	beside := path.Dir(s.outbox)
	tmp := path.Join(beside, n.String())
	f, err := s.m.Create(tmp, 0o644)
	if err != nil {
		return wrap(err)
	}
	_, err = f.Write(payload)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return wrap(err)
	}
	if err := s.m.Rename(tmp, s.waitingPath(n)); err != nil {
		return wrap(err)
	}
	return wrap(s.settle())
}

// postDeletion takes back what waits where the variable does not exist, and else leaves its deletion to the firmware.
func (s *Store) postDeletion(n Name) error {
	if err := s.Available(); err != nil {
		return err
	}
	set, err := (&Store{m: s.m}).Read(n)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if _, err, waits := s.waiting(n); waits && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := s.outboxWritable(); err != nil {
			return err
		}
		return s.post(n, binary.LittleEndian.AppendUint32(nil, set.Attributes))
	}
	if !s.m.Exists(s.waitingPath(n)) {
		return nil
	}
	if err := s.outboxWritable(); err != nil {
		return err
	}
	if err := s.m.Remove(s.waitingPath(n)); err != nil {
		return fmt.Errorf("cannot take back variable %s: %w", n, err)
	}
	return s.settle()
}

// settle puts the names on storage; a FAT keeps them in its allocation table as well.
func (s *Store) settle() error {
	if err := s.m.SyncDir(s.outbox); err != nil {
		return err
	}
	if err := s.m.SyncDir(path.Dir(s.outbox)); err != nil {
		return err
	}
	return s.m.SyncFS(path.Dir(s.outbox))
}

// outboxWritable says whether the file system of the folder can be written as far as its mount goes.
func (s *Store) outboxWritable() error {
	mt, found, err := s.m.MountOf(s.outbox)
	if errors.Is(err, fs.ErrNotExist) && s.m.IsPrefixed() {
		return nil
	}
	if err != nil {
		return err
	}
	if found && mt.ReadOnly {
		return fail.New(fail.Unavailable,
			"cannot change UEFI variables: the EFI system partition, where changes wait for the firmware, is mounted read-only").
			Then("run: mount -o remount,rw %s", mt.Point)
	}
	return nil
}

func (s *Store) waitingPath(n Name) string { return path.Join(s.outbox, n.String()) }
