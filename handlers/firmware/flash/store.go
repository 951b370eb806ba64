package flash

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
)

// store is one device that holds regions: a flash device, a boot partition of an eMMC, or one of its ordinary partitions.
type store struct {
	node  string
	size  int64 // bytes
	unit  int64 // bytes that are compared, erased and programmed together
	block bool  // a block device: nothing is erased, and bytes can be set as well as cleared
	flash mtd.Flash
}

// opener opens a flash device. Tests put a chip with a power switch behind it.
type opener func(m *device.Machine, node string, write bool) (mtd.Flash, error)

func openMTD(m *device.Machine, node string, write bool) (mtd.Flash, error) {
	if write {
		return mtd.Open(m, node)
	}
	return mtd.OpenReadOnly(m, node)
}

// filler is what stands behind the end of an image in its last block. The firmware leaves erased flash there
// (CheckLastBlockTailAllFf in edk2-nvidia's TegraFmp.c), tegra-boot-tools zeros (write_completely_at).
func (s *store) filler() byte {
	if s.block {
		return 0
	}
	return 0xff
}

// sectorSize is the smallest write to an eMMC.
const sectorSize = 512

// blockFlash lets a block device answer as flash: a program is a write, and nothing needs an erase.
type blockFlash struct {
	m    *device.Machine
	node string
	size int64
	read *os.File      // opened for reading, or
	b    *device.Block // opened for writing
	open bool          // force_ro was cleared
}

// openBlock opens a block device. The boot partitions of an eMMC are read-only until force_ro is cleared
// (Linux's mmc-dev-parts.txt), and become so again when they are closed.
func openBlock(m *device.Machine, node string, write bool) (*blockFlash, error) {
	f := &blockFlash{m: m, node: node}
	var err error
	if !write {
		host, failed := m.Resolve(node)
		if failed == nil {
			f.read, failed = os.Open(host)
		}
		if failed == nil {
			f.size, failed = f.read.Seek(0, io.SeekEnd)
		}
		err = failed
	} else {
		if err = f.protect("0"); err == nil {
			f.open = true
			if f.b, err = m.OpenBlock(node); err == nil {
				f.size = f.b.Size()
			}
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fail.New(fail.InputCode(err, fail.Unavailable), "cannot open %s: %w", node, err)
	}
	return f, nil
}

// protect writes force_ro; an ordinary partition has none.
func (f *blockFlash) protect(value string) error {
	for _, boot := range bootNodes {
		if f.node != boot {
			continue
		}
		attribute := "/sys/block/" + boot[len("/dev/"):] + "/force_ro"
		if err := f.m.WriteAttribute(attribute, value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot write %s to %s: %w", value, attribute, err)
		}
	}
	return nil
}

func (f *blockFlash) Info() mtd.Info {
	return mtd.Info{Size: f.size, EraseSize: sectorSize, WriteSize: sectorSize}
}

func (f *blockFlash) ReadAt(p []byte, off int64) (int, error) {
	if f.b != nil {
		return f.b.ReadAt(p, off)
	}
	return f.read.ReadAt(p, off)
}

func (f *blockFlash) Program(p []byte, off int64) error {
	n, err := f.b.WriteAt(p, off)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot write %d bytes of %s at %#x: %w; some may have been written",
			len(p), f.node, off, err)
	}
	return nil
}

func (f *blockFlash) Erase(off, _ int64) error {
	return fail.New(fail.Internal, "cannot erase %s at %#x: it is a block device: %w", f.node, off, unix.EOPNOTSUPP)
}

func (f *blockFlash) Unlock(int64, int64) error { return nil }

// settle puts what was written on storage and makes the next reads come from there.
func (f *blockFlash) settle() error {
	err := f.b.Sync()
	if err == nil {
		err = f.b.DropCache()
	}
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot put %s on storage: %w", f.node, err)
	}
	return nil
}

func (f *blockFlash) Close() error {
	var errs []error
	if f.read != nil {
		errs = append(errs, f.read.Close())
	}
	if f.b != nil {
		errs = append(errs, f.b.Close())
		f.b = nil
	}
	if f.open { // also where the device was busy and did not open
		f.open = false
		errs = append(errs, f.protect("1"))
	}
	return errors.Join(errs...)
}
