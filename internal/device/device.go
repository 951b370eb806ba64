// Package device is the seam between tegra-ota and the machine it runs on: the root prefix, files, block devices, mounts,
// programs and locks. Nothing else in the project opens a path of the device.
//
// Every change goes through a Machine, which makes two things possible: a folder stands in for a whole device, and a test
// can fail or cut the power at the N-th change (Fault).
package device

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine is one device: the running system, or a folder that holds the same paths.
type Machine struct {
	root     string
	fault    *Fault
	programs map[string]Program
}

// New returns the machine below root; "" and "/" are the running system.
func New(root string) *Machine {
	if root == "" {
		root = "/"
	}
	return &Machine{root: filepath.Clean(root)}
}

// WithFault returns the same machine with a fault that counts, fails or cuts its changes. For tests.
func (m *Machine) WithFault(f *Fault) *Machine {
	return &Machine{root: m.root, fault: f, programs: m.programs}
}

// Program stands in for an executable of the device.
type Program func(ctx context.Context, m *Machine, c Command) (Result, error)

// WithProgram returns the same machine on which path runs a function of this process instead of an executable: it makes its
// changes through the machine that it is given, so that a fault counts them, too. For tests.
func (m *Machine) WithProgram(path string, p Program) *Machine {
	programs := map[string]Program{path: p}
	for k, v := range m.programs {
		if k != path {
			programs[k] = v
		}
	}
	return &Machine{root: m.root, fault: m.fault, programs: programs}
}

// Root returns the prefix, "/" for the running system.
func (m *Machine) Root() string { return m.root }

// IsPrefixed says whether the machine is a folder rather than the running system. Programs that act on the whole system
// (reboot) are not run then.
func (m *Machine) IsPrefixed() bool { return m.root != "/" }

// Path returns where a path of the device lies on this host; ".." leads no higher than the root.
func (m *Machine) Path(path string) string { return filepath.Join(m.root, filepath.Join("/", path)) }

// ReadFile reads a whole file.
func (m *Machine) ReadFile(path string) ([]byte, error) { return os.ReadFile(m.Path(path)) }

// ReadText reads a file of one line, without the blanks around it; sysfs and procfs end theirs with a newline.
func (m *Machine) ReadText(path string) (string, error) {
	b, err := m.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// ReadDir lists a folder in name order.
func (m *Machine) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(m.Path(path)) }

// Stat follows links.
func (m *Machine) Stat(path string) (fs.FileInfo, error) { return os.Stat(m.Path(path)) }

// Exists says whether something is at the path; an error other than "not there" counts as there.
func (m *Machine) Exists(path string) bool {
	_, err := os.Lstat(m.Path(path))
	return !errors.Is(err, fs.ErrNotExist)
}

// Open opens a file for reading.
func (m *Machine) Open(path string) (*os.File, error) { return os.Open(m.Path(path)) }

// Resolve follows the links of a device node and returns its place on this host. A link that is relative stays inside the
// folder; an absolute one is followed as it is, so that a folder's partition can be a block device of the host.
func (m *Machine) Resolve(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(m.Path(path))
	if err != nil {
		return "", err
	}
	return resolved, nil
}

// FreeBytes returns how many bytes an unprivileged writer could still put on the file system that holds path.
func (m *Machine) FreeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(m.Path(path), &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// BootID returns the kernel's identity of this boot; it changes with every boot and with nothing else (random(4)).
func (m *Machine) BootID() (string, error) {
	id, err := m.ReadText("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot identity: %w", err)
	}
	if id == "" {
		return "", fmt.Errorf("cannot read the boot identity: %s is empty", "/proc/sys/kernel/random/boot_id")
	}
	return id, nil
}

// Readlink returns where a symbolic link points.
func (m *Machine) Readlink(path string) (string, error) { return os.Readlink(m.Path(path)) }
