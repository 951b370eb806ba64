package dbusapi_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tree is every file of the device with a digest, but for the lock and the copy of the journal that a verb leaves even if it is
// refused.
func (r *rig) tree() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(r.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, r.dir)
		switch {
		case name == "/run/tegra-ota/lock" || name == "/run/tegra-ota/journal.json":
			return nil
		case strings.HasPrefix(name, "/dev/") && e.Type().IsRegular():
			st, err := e.Info()
			if err == nil {
				all[name] = st.ModTime().String() // large
			}
			return err
		case !e.Type().IsRegular():
			all[name] = e.Type().String()
			return nil
		}
		text, err := os.ReadFile(path)
		all[name] = fmt.Sprintf("%x", sha256.Sum256(text))
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func (r *rig) read(p string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(p))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}

// fifo is a pipe on which a program of the device waits. When the test ends nobody waits any longer.
func (r *rig) fifo() string {
	r.t.Helper()
	name := filepath.Join(r.tmp, "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // who reads it finds its end
			_ = f.Close()
		}
	})
	return name
}

// away takes a file or folder away, and back puts it back.
func (r *rig) away(p string) {
	r.t.Helper()
	if err := os.Rename(r.path(p), r.path(p)+".away"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) back(p string) {
	r.t.Helper()
	if err := os.RemoveAll(r.path(p)); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.path(p)+".away", r.path(p)); err != nil {
		r.t.Fatal(err)
	}
}
