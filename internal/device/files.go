package device

import (
	"errors"
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

// MkdirAll makes a folder and those above it, and syncs the folders above, so that the path survives a power cut.
func (m *Machine) MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if st, err := m.Stat(path); err == nil {
		if !st.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: path, Err: unix.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := m.MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	err := m.change("make folder "+path, func() (*undo, error) {
		if err := os.Mkdir(m.Path(path), perm); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		return nameChange(func(Loss) { _ = os.RemoveAll(m.Path(path)) }, path), nil
	})
	if err != nil {
		return err
	}
	return m.SyncDir(parent)
}

// Rename moves a file within one file system.
func (m *Machine) Rename(from, to string) error {
	hostFrom, hostTo := m.Path(from), m.Path(to)
	return m.change("rename "+from+" to "+to, func() (*undo, error) {
		var moved, replaced []byte
		hadTarget := false
		if m.tracks() {
			moved, _ = os.ReadFile(hostFrom)
			if b, err := os.ReadFile(hostTo); err == nil {
				replaced, hadTarget = b, true
			}
		}
		if err := os.Rename(hostFrom, hostTo); err != nil {
			return nil, err
		}
		if !m.tracks() {
			return nil, nil
		}
		u := nameChange(nil, from, to)
		u.back = func(l Loss) {
			// Across folders each half is on storage when its own folder was synced: the new name first leaves both for a while,
			// the old one first leaves neither.
			gone, arrived := !u.dirs[filepath.Dir(from)], !u.dirs[filepath.Dir(to)]
			switch {
			case l == RenameBoth && !gone:
				_ = os.WriteFile(hostFrom, moved, 0o644)
				m.fault.reached[from] = true
			case l == LoseUnsynced && arrived:
				_ = os.WriteFile(hostFrom, moved, 0o644)
			case l == RenameNeither && !arrived, l == LoseUnsynced && gone:
				_ = os.Remove(hostTo)
			case l == LoseUnsynced:
				_ = os.Rename(hostTo, hostFrom)
				if hadTarget {
					_ = os.WriteFile(hostTo, replaced, 0o644)
				}
			}
		}
		return u, nil
	})
}

// Remove deletes a file; a file that is not there is no error.
func (m *Machine) Remove(path string) error {
	host := m.Path(path)
	if !m.Exists(path) {
		return nil
	}
	return m.change("remove "+path, func() (*undo, error) {
		back := func(Loss) {}
		if m.tracks() {
			if st, err := os.Lstat(host); err == nil && st.IsDir() {
				back = func(Loss) { _ = os.Mkdir(host, st.Mode().Perm()) }
			} else if old, err := os.ReadFile(host); err == nil {
				back = func(Loss) { _ = os.WriteFile(host, old, st.Mode().Perm()) }
			}
		}
		if err := os.Remove(host); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nameChange(back, path), nil
	})
}

// SyncDir puts the names of a folder on storage.
func (m *Machine) SyncDir(path string) error {
	err := m.Change("sync folder "+path, func() error {
		d, err := os.Open(m.Path(path))
		if err != nil {
			return err
		}
		defer d.Close()
		return d.Sync()
	})
	if err == nil {
		m.synced(func(u *undo) bool {
			delete(u.dirs, filepath.Clean(path))
			return u.file == nil && len(u.dirs) == 0
		})
	}
	return err
}

// SyncFS puts everything on the file system that holds path on storage. A FAT folder that was only fsynced can still be lost with the
// allocation table, which this flushes.
func (m *Machine) SyncFS(path string) error {
	err := m.Change("sync the file system of "+path, func() error {
		d, err := os.Open(m.Path(path))
		if err != nil {
			return err
		}
		defer d.Close()
		if err := unix.Syncfs(int(d.Fd())); err != nil {
			return &fs.PathError{Op: "syncfs", Path: path, Err: err}
		}
		return nil
	})
	if err == nil {
		on := m.fileSystemOf(path)
		m.synced(func(u *undo) bool {
			return !u.block && (within(u.path, path) || on != "" && m.fileSystemOf(u.path) == on)
		})
	}
	return err
}

// fileSystemOf returns the mount point above a path, or "" where nothing tells mounts.
func (m *Machine) fileSystemOf(path string) string {
	mt, found, err := m.MountOf(path)
	if err != nil || !found {
		return ""
	}
	return mt.Point
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
