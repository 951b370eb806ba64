// Package efivarfs reads and writes UEFI variables through the kernel's efivarfs, or through a plain folder that holds the same
// files.
//
// A variable is the file NAME-GUID with four bytes of attributes, little endian, and the data behind them. One write(2) is one
// SetVariable: that is the atomic step, and there is no other (rename is refused, fsync answers EINVAL). See the kernel's
// Documentation/filesystems/efivarfs.rst; what is said about its behaviour below was measured with Linux 6.1.
package efivarfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

// Dir is where efivarfs is mounted.
const Dir = "/sys/firmware/efi/efivars"

// attributesSize is how many bytes precede the data. A shorter file is a phantom: what a failed or missing first write leaves.
const attributesSize = 4

// Variable is what a variable holds.
type Variable struct {
	Attributes uint32
	Data       []byte
}

// Text returns the data of a variable that holds ASCII, up to the first NUL.
func (v Variable) Text() string {
	text, _, _ := strings.Cut(string(v.Data), "\x00")
	return text
}

// Uint32 returns the data of a variable that holds four bytes, little endian.
func (v Variable) Uint32() (uint32, error) {
	if len(v.Data) != 4 {
		return 0, fmt.Errorf("cannot read a 32-bit value: the variable holds %d bytes", len(v.Data))
	}
	return binary.LittleEndian.Uint32(v.Data), nil
}

// Uint64 returns the data of a variable that holds eight bytes, little endian.
func (v Variable) Uint64() (uint64, error) {
	if len(v.Data) != 8 {
		return 0, fmt.Errorf("cannot read a 64-bit value: the variable holds %d bytes", len(v.Data))
	}
	return binary.LittleEndian.Uint64(v.Data), nil
}

// Store is a machine's UEFI variables.
type Store struct {
	m      *device.Machine
	outbox string // folder of changes that wait for the next boot; "" writes efivarfs itself
}

// New returns the variables of a machine. It touches nothing; Available says whether there are any.
func New(m *device.Machine) *Store { return &Store{m: m} }

// Available says whether the machine has UEFI variables. On the running system the folder must be an efivarfs: an unmounted one
// is an empty folder, which would look as if every variable were absent. Where the folder is missing altogether (no UEFI), the
// error matches fs.ErrNotExist.
func (s *Store) Available() error {
	st, err := s.m.Stat(Dir)
	if err != nil {
		code := fail.Unavailable
		if !errors.Is(err, fs.ErrNotExist) {
			code = fail.CodeOf(err)
		}
		return fail.New(code, "cannot use UEFI variables: %w", err).Then("boot through UEFI with CONFIG_EFIVAR_FS in the kernel")
	}
	if !st.IsDir() {
		return fail.New(fail.Unavailable, "cannot use UEFI variables: %s is not a folder", Dir)
	}
	if s.m.IsPrefixed() {
		return nil
	}
	real, err := isEfivarfs(s.m.Path(Dir))
	if err != nil {
		return fmt.Errorf("cannot use UEFI variables: %w", err)
	}
	if !real {
		return fail.New(fail.Unavailable, "cannot use UEFI variables: efivarfs is not mounted").Then("run: mount -t efivarfs efivarfs %s", Dir)
	}
	return nil
}

// Writable says whether variables could be changed as far as the mount goes; some systems mount efivarfs read-only.
func (s *Store) Writable() error {
	if err := s.Available(); err != nil {
		return err
	}
	if s.outbox != "" {
		return s.outboxWritable()
	}
	mt, found, err := s.m.MountOf(Dir)
	if errors.Is(err, fs.ErrNotExist) && s.m.IsPrefixed() {
		return nil
	}
	if err != nil {
		return err
	}
	if found && mt.Type == "efivarfs" && mt.ReadOnly {
		return fail.New(fail.Unavailable, "cannot change UEFI variables: efivarfs is mounted read-only").Then("run: mount -o remount,rw %s", Dir)
	}
	return nil
}

// Read returns a variable. The error matches fs.ErrNotExist where there is none, which includes a phantom: a file shorter than
// the attributes.
func (s *Store) Read(n Name) (Variable, error) {
	if err := n.check(); err != nil {
		return Variable{}, err
	}
	if v, err, waits := s.waiting(n); waits {
		return v, err
	}
	b, err := s.m.ReadFile(s.path(n))
	if errors.Is(err, fs.ErrNotExist) {
		// Without a store "absent" would be a guess, and callers act on absence.
		if err := s.Available(); err != nil {
			return Variable{}, fmt.Errorf("cannot read variable %s: %w", n, err)
		}
	}
	if err == nil && len(b) < attributesSize {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Variable{}, fmt.Errorf("cannot read variable %s: %w", n, err)
	}
	return Variable{Attributes: binary.LittleEndian.Uint32(b), Data: b[attributesSize:]}, nil
}

// List returns the variables in name order, without phantoms and without files that are no variables.
func (s *Store) List() ([]Name, error) {
	if err := s.Available(); err != nil {
		return nil, err
	}
	entries, err := s.m.ReadDir(Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list UEFI variables: %w", err)
	}
	var names []Name
	for _, e := range entries {
		n, err := ParseName(e.Name())
		if err != nil || !e.Type().IsRegular() {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() < attributesSize {
			continue
		}
		names = append(names, n)
	}
	return names, nil
}

func (s *Store) path(n Name) string { return path.Join(Dir, n.String()) }

// isEfivarfs says whether a host path lies on a real efivarfs rather than in a plain folder.
func isEfivarfs(host string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(host, &st); err != nil {
		return false, &fs.PathError{Op: "statfs", Path: host, Err: err}
	}
	return uint32(st.Type) == unix.EFIVARFS_MAGIC, nil
}
