package device

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

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
		atomic := m.renamesAtomically(to)
		u.back = func(l Loss) {
			if atomic && (l == RenameBoth || l == RenameNeither) {
				l = LoseUnsynced
			}
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

// SyncFS puts everything on the file system that holds path on storage. A FAT folder that was only fsynced can still be
// lost with the allocation table, which this flushes.
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

// renamesAtomically says that a path is known to lie on a file system whose rename a power cut cannot halve: any but FAT.
func (m *Machine) renamesAtomically(path string) bool {
	mt, found, err := m.MountOf(path)
	return err == nil && found && mt.Type != "vfat" && mt.Type != "msdos"
}
