package pack

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Output writes a file that is there whole or not at all: it is written beside the name, synced and renamed. What was there
// before is replaced only then.
func Output(path string, write func(io.Writer) error) error {
	// A link stays one: the file that it leads to is replaced.
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	// The process's ID is unique enough beside the file, and unlike os.CreateTemp this leaves the permissions to the umask.
	beside := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write %s: %w", path, err)
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	defer f.Close()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", path, err)
	}
	if err := f.Close(); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fail.New(fail.IO, "cannot write %s: %w", path, err)
	}
	return nil
}

// CanOutput says before any long work whether Output could write a file, or OutputFolder a folder: that nothing but a plain file is
// replaced, none of the inputs, and that the folder around it may be written.
func CanOutput(path string, folder bool, inputs ...string) error {
	st, err := os.Stat(path)
	switch {
	case folder && (err == nil || dangling(path)):
		return existing(path)
	case err != nil && dangling(path):
		return fail.New(fail.Usage, "cannot write %s: it is a link that leads nowhere", path).Then("name another")
	case err == nil && !st.Mode().IsRegular():
		return fail.New(fail.Usage, "cannot write %s: it is there, and no plain file", path).Then("name another")
	}
	for _, name := range inputs {
		if in, failed := os.Stat(name); err == nil && failed == nil && os.SameFile(st, in) {
			return fail.New(fail.Usage, "cannot write %s: it is read for this", path).Then("name another")
		}
	}
	probe, err := os.CreateTemp(filepath.Dir(path), ".swdesc-")
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write %s: %w", path, err)
	}
	_ = probe.Close()
	_ = os.Remove(probe.Name())
	return nil
}

func dangling(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode()&os.ModeSymlink != 0
}

func existing(path string) error {
	return fail.New(fail.Data, "cannot write folder %s: it exists", path).Then("remove it, or name another")
}

// OutputFolder is Output for a folder, which must not exist yet.
func OutputFolder(path string, fill func(dir string) error) error {
	if _, err := os.Lstat(path); err == nil {
		return existing(path)
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
