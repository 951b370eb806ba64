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
	err := filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
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
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		case d.Type().IsRegular():
			return copySparse(path, to)
		}
		return nil // sockets and the like are a running program's, not the device's
	})
	if err != nil {
		return nil, fmt.Errorf("cannot clone %s: %w", src, err)
	}
	return Open(dst)
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
	const small = 64 << 10 // asking for holes costs more than copying what is so small
	size := info.Size()
	if size <= small {
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
		return out.Close()
	}
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
