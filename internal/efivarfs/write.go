package efivarfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

// attempts is how often an operation is tried while other programs set the immutable flag again in between.
const attempts = 5

// Write gives a variable a value, creating it where it is absent, and reads it back.
//
// Nothing is written when the variable already holds just that: each write wears the flash that holds the variables. A variable
// that exists with other attributes is refused, as the firmware does (UEFI specification 2.10, section 8.2, SetVariable).
func (s *Store) Write(n Name, attributes uint32, data []byte) error {
	if err := n.check(); err != nil {
		return err
	}
	if len(data) == 0 {
		return fail.New(fail.Internal, "cannot write variable %s: a write without data deletes it", n)
	}
	if attributes&appendWrite != 0 {
		return fail.New(fail.Internal, "cannot write variable %s: attributes %#x append instead of replacing", n, attributes)
	}
	stored, err := s.Read(n)
	switch {
	case err == nil && stored.Attributes != attributes:
		return fail.New(fail.Unavailable, "cannot write variable %s: it has attributes %#x, and the firmware accepts no others (%#x)", n, stored.Attributes, attributes).
			Then("find out what created the variable; deleting it lets it be created anew")
	case err == nil && bytes.Equal(stored.Data, data):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := s.Available(); err != nil {
		return err
	}
	if err := s.Writable(); err != nil {
		return err
	}

	payload := append(binary.LittleEndian.AppendUint32(nil, attributes), data...)
	if s.outbox != "" {
		if err := s.post(n, payload); err != nil {
			return err
		}
	} else if err := s.m.Change("write variable "+n.String(), func() error { return put(s.m.Path(s.path(n)), payload) }); err != nil {
		return explain("write", n, err)
	}

	back, err := s.Read(n)
	if err != nil {
		return fail.New(fail.IO, "cannot verify variable %s after writing it: %w", n, err)
	}
	if back.Attributes != attributes || !bytes.Equal(back.Data, data) {
		return fail.New(fail.IO, "cannot verify variable %s: wrote attributes %#x and %x, read back %#x and %x", n, attributes, data, back.Attributes, back.Data)
	}
	return nil
}

// Delete removes a variable, or the phantom of one, and verifies that it is gone. An absent variable is no error.
func (s *Store) Delete(n Name) error {
	if err := n.check(); err != nil {
		return err
	}
	if s.outbox != "" {
		return s.postDeletion(n)
	}
	if !s.m.Exists(s.path(n)) {
		return s.Available()
	}
	if err := s.Writable(); err != nil {
		return err
	}
	if err := s.m.Change("delete variable "+n.String(), func() error { return remove(s.m.Path(s.path(n))) }); err != nil {
		return explain("delete", n, err)
	}
	if s.m.Exists(s.path(n)) {
		return fail.New(fail.IO, "cannot delete variable %s: it is still there after the firmware accepted its deletion", n)
	}
	return nil
}

// put makes one write(2) of the whole payload: one SetVariable.
func put(host string, payload []byte) error {
	st, err := os.Lstat(host)
	if err == nil && st.Size() < attributesSize {
		// A phantom cannot be trusted to accept a write; without it the variable is created afresh.
		if err := remove(host); err != nil {
			return err
		}
		err = fs.ErrNotExist
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	existed := err == nil
	err = withoutImmutable(host, func() error { return writeOnce(host, payload) })
	if err != nil && !existed {
		// The phantom that a failed creation leaves would answer the next writer EPERM.
		if st, statErr := os.Lstat(host); statErr == nil && st.Size() < attributesSize {
			if removeErr := remove(host); removeErr != nil {
				err = fmt.Errorf("%w (and the empty file it left cannot be removed: %w)", err, removeErr)
			}
		}
	}
	return err
}

func writeOnce(host string, payload []byte) error {
	// Neither O_TRUNC nor O_APPEND: to the firmware a truncation is a deletion.
	f, err := os.OpenFile(host, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	// Not os.File.Write, which would continue a short write with a second SetVariable.
	n, err := unix.Write(int(f.Fd()), payload)
	if err == nil && n != len(payload) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = &fs.PathError{Op: "write", Path: host, Err: err}
	}
	if real, realErr := isEfivarfs(host); err == nil && realErr == nil && !real {
		// efivarfs makes the file as long as what was written; a plain folder has to be told.
		err = f.Truncate(int64(len(payload)))
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func remove(host string) error {
	err := withoutImmutable(host, func() error { return os.Remove(host) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// explain turns the kernel's answer to a change into what it means here (drivers/firmware/efi, efi_status_to_err).
func explain(verb string, n Name, err error) error {
	switch {
	case errors.Is(err, unix.EINVAL):
		return fail.New(fail.Unavailable, "cannot %s variable %s: the firmware refuses it: %w", verb, n, err).
			Then("the variable is locked, or its size or attributes are not what the firmware expects")
	case errors.Is(err, unix.ENOSPC):
		return fail.New(fail.Unavailable, "cannot %s variable %s: the variable store is full: %w", verb, n, err).
			Then("delete variables that nothing uses, and reboot: the firmware reclaims their space then")
	case errors.Is(err, unix.EROFS):
		return fail.New(fail.Unavailable, "cannot %s variable %s: efivarfs or the variable is read-only: %w", verb, n, err)
	}
	return fmt.Errorf("cannot %s variable %s: %w", verb, n, err)
}
