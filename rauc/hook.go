package rauc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// SlotHook is what RAUC says in the environment of a bundle's slot-install hook (RAUC 1.8, run). It is not trusted: the
// image must lie in the mounted bundle and have the digest of the manifest, and the slot must be the inactive one.
type SlotHook struct {
	Bundle   string // where the bundle is mounted
	Image    string // absolute since RAUC 0.1, though its documentation says "file name"
	Digest   string // SHA-256 in hexadecimal, from the signed manifest
	Slot     string // the slot's name in system.conf
	Bootname string // the parent's for a slot that has one
	State    string // "inactive" for a slot of the group that does not run
}

// ReadSlotHook reads the environment. The error is Usage if it is not that of a slot hook.
func ReadSlotHook(getenv func(string) string) (SlotHook, error) {
	var h SlotHook
	for _, v := range []struct {
		name string
		to   *string
	}{
		{"RAUC_BUNDLE_MOUNT_POINT", &h.Bundle}, {"RAUC_IMAGE_NAME", &h.Image}, {"RAUC_IMAGE_DIGEST", &h.Digest},
		{"RAUC_SLOT_NAME", &h.Slot}, {"RAUC_SLOT_BOOTNAME", &h.Bootname}, {"RAUC_SLOT_STATE", &h.State},
	} {
		if *v.to = getenv(v.name); *v.to == "" {
			return h, fail.New(fail.Usage, "cannot run the slot hook: %s is not set", v.name).
				Then("let RAUC run it: hooks=install in the image's section of the manifest")
		}
	}
	return h, nil
}

// Check refuses every slot but the one that does not run.
func (h SlotHook) Check(names Names, booted backends.Slot) error {
	slot, err := names.Slot(h.Bootname)
	if err != nil {
		return fail.New(fail.Unavailable, "cannot install into slot %s: its bootname %s is not known here", h.Slot, h.Bootname).
			Then("let [rauc] in the configuration and system.conf name the slots alike")
	}
	if slot == booted || h.State != "inactive" {
		return fail.New(fail.Unavailable, "cannot install into slot %s (bootname %s): it is %s, and slot %s runs", h.Slot, h.Bootname, h.State, booted).
			Then("correct parent= and bootname= in system.conf, and let RAUC know the booted slot")
	}
	return nil
}

// Open opens the image, wherever a link may lead, if it is a regular file of the mounted bundle and has its digest.
// Reading it gives the digest's bytes or an error at the end: a bundle of format plain can change under RAUC.
func (h SlotHook) Open() (io.ReadCloser, error) {
	path := h.path()
	f, err := openWithin(h.Bundle, path)
	if err != nil {
		return nil, err
	}
	want, err := hex.DecodeString(h.Digest)
	if err != nil || len(want) != sha256.Size {
		_ = f.Close()
		return nil, fail.New(fail.Usage, "cannot check image %s: %q is no SHA-256", path, h.Digest)
	}
	v := &verified{f: f, sum: sha256.New(), want: want}
	if _, err := io.Copy(io.Discard, v); err != nil {
		_ = f.Close()
		return nil, err
	}
	v.sum.Reset()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		_ = f.Close()
		return nil, fail.New(fail.IO, "cannot read image %s: %w", path, err)
	}
	return v, nil
}

// openWithin opens a regular file that lies on the file system mounted at a folder. Like every image that a caller names, it is
// one of this host's, whatever folder stands in for the device.
func openWithin(bundle, path string) (*os.File, error) {
	root, err := filepath.EvalSymlinks(bundle)
	if err != nil {
		return nil, fail.New(fail.Data, "cannot open the bundle: %w", err)
	}
	if mounted, err := isMountPoint(root); err != nil || !mounted {
		return nil, fail.New(fail.Usage, "cannot open the bundle: nothing is mounted at %s", root)
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fail.New(fail.Data, "cannot open image %s: %w", path, err)
	}
	if !strings.HasPrefix(file, root+"/") {
		return nil, fail.New(fail.Data, "cannot open image %s: it lies outside of the bundle mounted at %s", path, root)
	}
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fail.New(fail.Data, "cannot open image %s: %w", path, err)
	}
	same, err := sameFileSystem(f, root)
	if err != nil || !same {
		_ = f.Close()
		return nil, fail.New(fail.Data, "cannot open image %s: it is no regular file of the bundle mounted at %s", path, root)
	}
	return f, nil
}

// isMountPoint says that a folder lies on another file system than the folder above it.
func isMountPoint(path string) (bool, error) {
	var here, above unix.Stat_t
	if err := unix.Stat(path, &here); err != nil {
		return false, err
	}
	if err := unix.Stat(filepath.Dir(path), &above); err != nil {
		return false, err
	}
	return here.Dev != above.Dev, nil
}

func sameFileSystem(f *os.File, folder string) (bool, error) {
	var file, root unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &file); err != nil {
		return false, err
	}
	if err := unix.Stat(folder, &root); err != nil {
		return false, err
	}
	return file.Dev == root.Dev && file.Mode&unix.S_IFMT == unix.S_IFREG, nil
}

// verified is a file whose end is an error unless its digest is right.
type verified struct {
	f    *os.File
	sum  hash.Hash
	want []byte
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.sum.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF) && subtle.ConstantTimeCompare(v.sum.Sum(nil), v.want) != 1:
		return n, fail.New(fail.Data, "cannot use image %s: its SHA-256 is %x, the manifest says %x", v.f.Name(), v.sum.Sum(nil), v.want)
	case err != nil && !errors.Is(err, io.EOF):
		return n, fail.New(fail.IO, "cannot read image %s: %w", v.f.Name(), err)
	}
	return n, err
}

// Close closes the file.
func (v *verified) Close() error { return v.f.Close() }
