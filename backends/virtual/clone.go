package virtual

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Clone copies a device with all its state into a folder that is empty or does not exist. Holes stay holes, so that disks
// that nobody wrote to cost nothing.
func Clone(src, dst string) (*Orin, error) {
	if entries, err := os.ReadDir(dst); err == nil && len(entries) > 0 {
		return nil, fail.New(fail.Unavailable, "cannot clone to %s: the folder is not empty", dst)
	}
	if err := copyTree(src, dst, true); err != nil {
		return nil, fmt.Errorf("cannot clone %s: %w", src, err)
	}
	return Open(dst)
}

// CopyFrom makes a device the same as another one, of which it is a clone. It touches only what differs, which makes it
// the cheap way through a sweep: one clone, put back before each run.
func (o *Orin) CopyFrom(src *Orin) error {
	if err := removeExtra(src.dir, o.dir); err != nil {
		return fmt.Errorf("cannot copy %s: %w", src.dir, err)
	}
	if err := copyTree(src.dir, o.dir, false); err != nil {
		return fmt.Errorf("cannot copy %s: %w", src.dir, err)
	}
	o.board = src.board
	return nil
}

// removeExtra removes what the copy has and the original has not, or has as something else.
func removeExtra(src, dst string) error {
	return filepath.WalkDir(dst, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dst, path)
		if err != nil {
			return err
		}
		info, err := os.Lstat(filepath.Join(src, rel))
		if err == nil && info.Mode().Type() == d.Type() {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// copyTree copies files, links and folders; fresh says that there is nothing yet to compare with.
func copyTree(src, dst string, fresh bool) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			return copyLink(path, to)
		case d.Type().IsRegular():
			return copyFile(path, to, d, fresh)
		}
		return nil // sockets and the like are a running program's, not the device's
	})
}

func copyLink(src, dst string) error {
	target, err := os.Readlink(src)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(dst); err == nil {
		if old == target {
			return nil
		}
		if err := os.Remove(dst); err != nil {
			return err
		}
	}
	return os.Symlink(target, dst)
}

// smallFile is where asking for holes, or for times, costs more than reading.
const smallFile = 64 << 10

// copyFile copies small files by content. A large one is taken for unchanged while size and time agree, which copySparse
// sees to: whoever writes to it gives it a later time.
func copyFile(src, dst string, d fs.DirEntry, fresh bool) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if info.Size() <= smallFile {
		raw, err := os.ReadFile(src)
		if err != nil {
			return err
		}
		if err := writeFile(dst, raw); err != nil {
			return err
		}
		if info.Mode()&0o111 != 0 {
			return os.Chmod(dst, info.Mode().Perm())
		}
		return nil
	}
	if !fresh {
		old, err := os.Stat(dst)
		if err == nil && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
			return nil
		}
		if err := os.Remove(dst); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := copySparse(src, dst); err != nil {
		return err
	}
	return os.Chtimes(dst, info.ModTime(), info.ModTime())
}

// copySparse copies the parts of a file that hold data, as lseek(2) tells them.
func copySparse(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer out.Close()
	size := info.Size()
	if err := out.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		start, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // only a hole is left
		}
		if err != nil {
			return &fs.PathError{Op: "seek", Path: src, Err: err}
		}
		end, err := unix.Seek(int(in.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return &fs.PathError{Op: "seek", Path: src, Err: err}
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, start), io.NewSectionReader(in, start, end-start)); err != nil {
			return err
		}
		at = end
	}
	return out.Close()
}
