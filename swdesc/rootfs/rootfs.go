// Package rootfs looks into a root file system image without mounting it, and says what would not boot on a Jetson.
//
// It runs debugfs, the reader of the people who write ext4 (package e2fsprogs; tested with 1.47.0): a reader in pure Go, such as
// go-diskfs, knows fewer of ext4's features, and an image that it cannot read is no image that does not boot. What debugfs is told
// are inode numbers alone. Names and links of the image are followed here, as the device would with the image as its root, so a
// hostile name never becomes part of a command.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Places of the image, as the device names them.
const (
	releaseFile  = "/etc/nv_tegra_release"
	extlinuxFile = "/boot/extlinux/extlinux.conf" // EXTLINUX_CONF_PATH of edk2-nvidia, L4TLauncher.h
	kernelFile   = "/boot/Image"
	modulesDir   = "/lib/modules"
)

// Limits of what is read, so that a hostile image costs bounded time and memory.
const (
	maxReleaseText  = 4 << 10   // bytes of nv_tegra_release; a real one has about 300
	maxExtlinuxText = 1 << 20   // bytes of extlinux.conf
	maxKernel       = 512 << 20 // bytes of a kernel, packed or not
	maxModules      = 64        // folders in /lib/modules
)

// ErrNotExt4 is wrapped in Look's error when the file is no ext2, ext3 or ext4 image: it may be a sound image all the same.
var ErrNotExt4 = errors.New("not an ext2, ext3 or ext4 file system")

// Image is what is inside.
type Image struct {
	// L4T is the version of /etc/nv_tegra_release; nil if the file is missing or names none.
	L4T *capsule.Version
	// L4TLine is that file's first line; "" if it is missing.
	L4TLine string
	// Modules are the kernel releases that have modules: the folders in /lib/modules that hold a modules.dep or a kernel, sorted.
	Modules []string
	// Kernel is the release of the file at KernelPath; "" if there is no such file, or no release in it.
	Kernel string
	// KernelPath is the kernel that extlinux.conf's default label names, else /boot/Image. KernelFound says whether it exists.
	KernelPath  string
	KernelFound bool
	// Extlinux are the labels of /boot/extlinux/extlinux.conf; nil if the file is missing or has none.
	Extlinux []Entry
}

// Look looks into the image at path, a regular file, uncompressed. The error wraps ErrNotExt4 if there is another file system in
// it, has exit code 65 for an image that is damaged or cut off, and 69 where debugfs is missing or too old.
func Look(ctx context.Context, path string) (*Image, error) {
	img, err := look(ctx, path)
	var known *fail.Error
	if err == nil || errors.As(err, &known) {
		return img, err
	}
	code := fail.CodeOf(err)
	switch {
	case errors.Is(err, ErrNotExt4):
		code = fail.Data
	case code == fail.Internal: // the context's end, or pipes and processes that the host refuses
		code = fail.IO
	}
	return nil, fail.New(code, "cannot look into %s: %w", path, err)
}

func look(ctx context.Context, path string) (*Image, error) {
	info, err := os.Stat(path) // before the file is opened: a pipe would wait there
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot open the image: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fail.New(fail.Usage, "cannot look into %s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot open the image: %w", err)
	}
	defer f.Close()
	if err := checkSuperblock(f, info.Size()); err != nil {
		return nil, err
	}
	r, err := newReader(f)
	if err != nil {
		return nil, err
	}
	img := new(Image)
	for _, part := range []func(context.Context, *reader) error{img.readRelease, img.readModules, img.readExtlinux, img.readKernel} {
		if err := part(ctx, r); err != nil {
			return nil, err
		}
	}
	return img, nil
}

func (img *Image) readRelease(ctx context.Context, r *reader) error {
	text, err := r.text(ctx, releaseFile, maxReleaseText)
	if err != nil {
		return ignoreMissing(err)
	}
	img.L4TLine, img.L4T = parseRelease(text)
	return nil
}

// safeName is what uname -r may print; 64 characters is the kernel's own limit (__NEW_UTS_LEN). modprobe looks for no other folder.
var safeName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+~-]{0,63}$`)

func (img *Image) readModules(ctx context.Context, r *reader) error {
	dir, err := r.resolve(ctx, nil, modulesDir)
	if err != nil {
		return ignoreMissing(err)
	}
	var names []string
	err = r.list(ctx, dir[len(dir)-1], func(n node) error {
		if safeName.MatchString(n.name) && (n.isDir() || n.isLink()) {
			names = append(names, n.name)
		}
		if len(names) > maxModules {
			return malformed("%s has more than %d folders", modulesDir, maxModules)
		}
		return nil
	})
	if err != nil {
		return ignoreMissing(err)
	}
	slices.Sort(names)
	for _, name := range names {
		found := false
		sub, err := r.resolve(ctx, dir, name)
		if err == nil {
			err = r.list(ctx, sub[len(sub)-1], func(n node) error {
				if n.name == "modules.dep" || n.name == "kernel" && n.isDir() {
					found = true
					return errStop
				}
				return nil
			})
		}
		if err := ignoreMissing(err); err != nil {
			return err
		}
		if found {
			img.Modules = append(img.Modules, name)
		}
	}
	return nil
}

func (img *Image) readExtlinux(ctx context.Context, r *reader) error {
	text, err := r.text(ctx, extlinuxFile, maxExtlinuxText+1)
	if err != nil {
		return ignoreMissing(err)
	}
	if len(text) > maxExtlinuxText {
		return malformed("%s has more than %d bytes", extlinuxFile, maxExtlinuxText)
	}
	img.Extlinux, err = parseExtlinux(text)
	return err
}

func (img *Image) readKernel(ctx context.Context, r *reader) error {
	img.KernelPath = kernelFile
	for _, e := range img.Extlinux {
		if e.Default && e.Linux != "" {
			img.KernelPath = e.Linux
		}
	}
	file, err := r.file(ctx, img.KernelPath)
	if err != nil {
		return ignoreMissing(err)
	}
	img.KernelFound = true
	if file.size > maxKernel {
		return malformed("%.100q has more than %d bytes", img.KernelPath, maxKernel)
	}
	err = r.cat(ctx, file, func(content io.Reader) (err error) {
		img.Kernel, err = KernelRelease(content)
		return err
	})
	if err != nil && !errors.Is(err, ErrNoRelease) {
		return fmt.Errorf("%.100q: %w", img.KernelPath, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// malformedError says what is wrong in an image; Look adds the file's name.
type malformedError struct{ reason string }

func (e *malformedError) Error() string       { return e.reason }
func (e *malformedError) MalformedData() bool { return true }

func malformed(format string, args ...any) error {
	return &malformedError{fmt.Sprintf(format, args...)}
}
