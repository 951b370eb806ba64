package device

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File is a new file being written. Its bytes are on storage after Sync, its name after SyncDir of its folder.
type File struct {
	m    *Machine
	f    *os.File
	path string
	size int64
}

// Create makes a new file, replacing what is there, for writing in order.
func (m *Machine) Create(path string, perm fs.FileMode) (*File, error) {
	host := m.Path(path)
	var f *os.File
	err := m.change("create "+path, func() (*undo, error) {
		existed := m.Exists(path)
		var err error
		f, err = os.OpenFile(host, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, perm)
		if err != nil {
			return nil, err
		}
		if existed {
			// The name is on storage already; the old bytes may be gone at once.
			return nil, nil
		}
		return nameChange(func(Loss) {
			if m.tracks() && !m.fault.reached[path] {
				_ = os.Remove(host)
			}
		}, path), nil
	})
	if err != nil {
		return nil, err
	}
	return &File{m: m, f: f, path: path}, nil
}

// Write appends to the file.
func (f *File) Write(p []byte) (int, error) {
	n := 0
	err := f.m.change(fmt.Sprintf("write %s at %d", f.path, f.size), func() (*undo, error) {
		var err error
		n, err = f.f.Write(p)
		if !f.m.tracks() {
			return nil, err
		}
		// Half of the bytes reached the storage: the worst a cut can do to a file that was never synced.
		keep := f.size + int64(n)/2
		held := f.f
		return &undo{file: held, path: f.path, back: func(Loss) { _ = held.Truncate(keep) }}, err
	})
	f.size += int64(n)
	return n, err
}

// Sync puts the bytes on storage.
func (f *File) Sync() error {
	err := f.m.Change("sync "+f.path, f.f.Sync)
	if err == nil {
		f.m.synced(func(u *undo) bool { return u.file == f.f })
	}
	return err
}

// DropCache makes the next reads come from storage: written pages are synced and forgotten. It is advice, best effort by nature.
func (f *File) DropCache() { _ = unix.Fadvise(int(f.f.Fd()), 0, 0, unix.FADV_DONTNEED) }

// ReadAt reads back what was written.
func (f *File) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

// Close releases the file. With a fault the descriptor stays open, because a later cut has to reach the bytes.
func (f *File) Close() error {
	if f.m.tracks() {
		return nil
	}
	return f.f.Close()
}

// ReplaceFile gives path new content: a temporary file beside it, fsync, rename, fsync of the folder. On a file system with atomic
// rename a power cut leaves the old content or the new, never a mixture.
func (m *Machine) ReplaceFile(path string, content []byte, perm fs.FileMode) error {
	tmp := path + ".tmp"
	f, err := m.Create(tmp, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := m.Rename(tmp, path); err != nil {
		return err
	}
	return m.SyncDir(filepath.Dir(path))
}

// WriteAttribute writes a sysfs attribute: one write to a file that the kernel made.
func (m *Machine) WriteAttribute(path, value string) error {
	return m.Change("write "+value+" to "+path, func() error {
		f, err := os.OpenFile(m.Path(path), os.O_WRONLY|os.O_TRUNC, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString(value)
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		return err
	})
}
