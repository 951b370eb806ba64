package pack

import (
	"io"
	"os"
	"path/filepath"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Output writes a file that is there whole or not at all: it is written beside the name, synced and renamed. What was there
// before is replaced only then.
func Output(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := settle(f); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", path, err)
	}
	return nil
}

// settle makes a temporary file one that others may read, and brings it to the disk.
func settle(f *os.File) error {
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// OutputFolder is Output for a folder, which must not exist yet.
func OutputFolder(path string, fill func(dir string) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fail.New(fail.Data, "cannot write folder %s: it exists", path).Then("remove it, or name another")
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), "."+filepath.Base(path)+".")
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write folder %s: %w", path, err)
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return err
	}
	// RAUC makes the folder the root of the bundle, and MkdirTemp makes it private.
	if err := os.Chmod(dir, 0o755); err != nil {
		return fail.New(fail.IO, "cannot write folder %s: %w", path, err)
	}
	if err := os.Rename(dir, path); err != nil {
		return fail.New(fail.IO, "cannot write folder %s: %w", path, err)
	}
	return nil
}
