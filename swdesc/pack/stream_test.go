package pack_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/pack"
)

// A decompressed root file system is mostly holes: the temporary copy must not need the room of what is not there.
func TestPlainCopyIsSparse(t *testing.T) {
	dir := t.TempDir()
	image := make([]byte, 16<<20)
	copy(image[5<<20:], random(70_001)) // off the blocks' boundaries at both ends
	copy(image[len(image)-10:], "0123456789")
	write(t, filepath.Join(dir, "a.img"), image)
	tool(t, "zstd", "-q", filepath.Join(dir, "a.img"))
	work := t.TempDir()
	prepare(t, dir, head+component("rootfs", "a.img.zst"), pack.PrepareOptions{WorkFolder: work})
	copies, err := filepath.Glob(filepath.Join(work, "*", "*.plain"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("%v %v", copies, err)
	}
	if digest(read(t, copies[0])) != digest(image) {
		t.Error("the plain copy is another image")
	}
	st, err := os.Stat(copies[0])
	if err != nil {
		t.Fatal(err)
	}
	if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
		t.Errorf("%d bytes are used on the disk for 70 KB of data", used)
	}
}

// What is written is there whole or not at all, and what was there before stays until then.
func TestOutput(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "update.swu")
	write(t, path, []byte("before"))
	failed := errors.New("no more bytes")
	err := pack.Output(path, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return failed
	})
	if !errors.Is(err, failed) || string(read(t, path)) != "before" {
		t.Errorf("%v, %q", err, read(t, path))
	}
	if err := pack.Output(path, func(w io.Writer) error { _, err := io.WriteString(w, "after"); return err }); err != nil {
		t.Fatal(err)
	}
	if string(read(t, path)) != "after" {
		t.Errorf("%q", read(t, path))
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := pack.Output(filepath.Join(dir, "no", "folder"), func(io.Writer) error { return nil }); err == nil ||
		!strings.HasPrefix(err.Error(), "cannot write "+dir) {
		t.Errorf("%v", err)
	}
}
