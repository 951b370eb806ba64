package device

import (
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceVolatile gives a file below /run new content in one step for its readers. Such files end with the boot, so a
// power cut cannot catch them half-done, and a Fault neither counts nor fails them; after a cut they are no longer
// written.
func (m *Machine) ReplaceVolatile(path string, content []byte, perm fs.FileMode) error {
	if m.fault != nil && m.fault.WasCut() {
		return ErrPowerCut
	}
	host := m.Path(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(host), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(perm)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), host)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// RemoveVolatile deletes a file below /run; a file that is not there is no error.
func (m *Machine) RemoveVolatile(path string) error {
	if err := os.Remove(m.Path(path)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
