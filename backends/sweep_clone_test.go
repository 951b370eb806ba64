package backends_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// sweepConstant says that neither a verb nor the firmware ever writes a file of a device. Clones share such files: a
// sweep makes thousands.
func sweepConstant(rel string) bool {
	for _, folder := range []string{"/sys/class", "/proc/device-tree", "/boot/efi/EFI/BOOT", "/dev/disk"} {
		if strings.HasPrefix(rel, folder+"/") {
			return true
		}
	}
	return rel == "/dev/nvme0n1" || rel == "/qspi/board.json"
}

// What a clone may share with its original, because nobody writes it in the clone: the flash, which verbs do not see,
// and the root file systems, which only an install writes.
const (
	shareFlash = 1 << iota
	shareRoots
)

// shares says whether a clone uses the original's file.
func shares(rel string, what int) bool {
	return sweepConstant(rel) || what&shareFlash != 0 && strings.HasPrefix(rel, "/qspi/") ||
		what&shareRoots != 0 && strings.HasPrefix(rel, "/dev/nvme0n1p")
}

// unshare gives a clone its own root file systems.
func (d *sweepDevice) unshare() error {
	for _, s := range backends.Slots {
		file, err := filepath.EvalSymlinks(d.path("dev/disk/by-partlabel", s.RootPartition()))
		if err != nil {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// cloneDevice copies a device.
func cloneDevice(src, dst string, share int) (*virtual.Orin, error) {
	err := filepath.WalkDir(src, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, src)
		to := dst + rel
		switch {
		case rel == "/run":
			return filepath.SkipDir
		case e.IsDir():
			if rel == "" {
				return nil
			}
			return os.Mkdir(to, 0o755)
		case e.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(target, to)
		case shares(rel, share):
			return os.Link(p, to)
		}
		return copyRegular(p, to, e)
	})
	if err != nil {
		return nil, err
	}
	return virtual.Open(dst)
}

func copyRegular(src, dst string, e fs.DirEntry) error {
	info, err := e.Info()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	hole := ok && st.Blocks == 0
	if hole {
		if err := os.WriteFile(dst, nil, info.Mode().Perm()); err != nil {
			return err
		}
		return os.Truncate(dst, info.Size())
	}
	var writeErr error
	err = withContent(src, func(content []byte) { writeErr = os.WriteFile(dst, content, info.Mode().Perm()) })
	return errors.Join(err, writeErr)
}

var sweepSeed = maphash.MakeSeed()

// fingerprint tells devices apart by everything that is kept over a boot. Unless it is exact, two half-written chains
// are the same if the firmware cannot tell them apart: it writes each image anew and compares only the partition table.
func (d *sweepDevice) fingerprint(exact bool) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(sweepSeed)
	root := d.orin.Dir()
	if !exact {
		for _, s := range []virtual.Slot{virtual.A, virtual.B} {
			c, err := d.orin.Chain(s)
			if err != nil {
				return 0, err
			}
			_, _ = h.WriteString(fmt.Sprintf("%v %v %s\x00", c.Whole, c.Startable, c.VersionText))
		}
	}
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, root)
		switch rel {
		case "/run", "/sys/class", "/proc/device-tree", "/dev/disk":
			return filepath.SkipDir
		}
		image := strings.HasPrefix(rel, "/qspi/A/") || strings.HasPrefix(rel, "/qspi/B/")
		if sweepConstant(rel) || image && !exact && e.Name() != "secondary_gpt" {
			return nil
		}
		_, _ = h.WriteString(rel + "\x00")
		if !e.Type().IsRegular() {
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		_, _ = h.Write(binary.LittleEndian.AppendUint64(nil, uint64(info.Size())))
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks == 0 {
			return nil
		}
		return withContent(p, func(content []byte) { _, _ = h.Write(content) })
	})
	return h.Sum64(), err
}

// sweepBuffers are reused: a sweep reads root file systems tens of thousands of times.
var sweepBuffers = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 2*sweepAppSize)) }}

// withContent hands over a file's content, which is valid until use returns.
func withContent(file string, use func([]byte)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	b := sweepBuffers.Get().(*bytes.Buffer)
	defer sweepBuffers.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(f); err != nil {
		return err
	}
	use(b.Bytes())
	return nil
}
