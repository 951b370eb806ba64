// Package mtd reads, erases and programs raw flash through Linux's MTD character devices.
//
// The rules are those that hold for each driver that was measured (spi-nor, mtdram, block2mtd, nandsim; Linux 6.1): nothing is
// synced, because fsync is EINVAL there and an answered write is in the chip; the size comes from MEMGETINFO, because stat says 0;
// alignment is the caller's, because spi-nor accepts an erase that starts inside a block and wipes part of the next one; and only
// reading back tells that a program failed, because programming clears bits and never says that it could not set one.
package mtd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
)

// Info is what MEMGETINFO says about a flash device; sizes are in bytes.
type Info = nor.Info

// Flash is one flash device: a whole chip or a partition of one. Offsets and lengths are in bytes from its start.
type Flash interface {
	Info() Info
	// ReadAt is io.ReaderAt's.
	ReadAt(p []byte, off int64) (int, error)
	// Program clears the bits that are 0 in p; it sets none. After an error, bytes from the offset that the error names on may have
	// been programmed. Success means that the driver took p, not that the chip now holds it: read back.
	Program(p []byte, off int64) error
	// Erase sets all bits of whole blocks; off and length must be multiples of Info().EraseSize.
	Erase(off, length int64) error
	// Unlock takes away software write protection. A chip or driver without any is no error.
	Unlock(off, length int64) error
	Close() error
}

// Driver is one device with the kernel's own answers: ReadAt and WriteAt are pread and pwrite, MemErase and MemUnlock the
// ioctls. nor.Chip is one.
type Driver interface {
	Info() Info
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	MemErase(off, length int64) error
	MemUnlock(off, length int64) error
	Close() error
}

// Open opens a device node (/dev/mtd0) for reading and writing. On a machine that is a folder, a regular file there is a chip in
// good order (nor.Chip) of the file's size; its erase size is what sys/class/mtd says for it, else 64 KiB. An absent node is
// fs.ErrNotExist.
func Open(m *device.Machine, node string) (Flash, error) {
	// The kernel's EACCES for a read-only partition looks like a lack of privilege.
	if text, err := m.ReadText(attribute(node, "flags")); err == nil {
		if flags, err := strconv.ParseUint(text, 0, 32); err == nil && flags&unix.MTD_WRITEABLE == 0 {
			return nil, readOnly(node, uint32(flags))
		}
	}
	return open(m, node, os.O_RDWR)
}

// OpenReadOnly opens a device node for reading: /dev/mtd0ro, whose driver refuses every change, where it exists, else the node
// itself. Program, Erase and Unlock answer EBADF.
func OpenReadOnly(m *device.Machine, node string) (Flash, error) {
	f, err := open(m, node+"ro", os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = open(m, node, os.O_RDONLY)
	}
	return f, err
}

func open(m *device.Machine, node string, flags int) (Flash, error) {
	d, err := openDriver(m, node, flags)
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.Unavailable), "cannot open flash device %s: %w", node, err)
	}
	f := On(m, node, d).(*flash)
	f.readOnly = flags == os.O_RDONLY
	return f, nil
}

func openDriver(m *device.Machine, node string, flags int) (Driver, error) {
	host, err := m.Resolve(node)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(host, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	var d Driver
	switch {
	case err != nil:
	case st.Mode()&fs.ModeCharDevice != 0:
		d, err = kernel(f)
	case st.Mode().IsRegular() && m.IsPrefixed():
		d, err = chip(m, node, f, st.Size())
	default:
		err = unix.ENOTTY // what an ioctl of this device would say
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return d, nil
}

// chip is the model on a file of a machine that is a folder.
func chip(m *device.Machine, node string, f *os.File, size int64) (Driver, error) {
	c := nor.Config{Size: size, Storage: f}
	text, err := m.ReadText(attribute(node, "erasesize"))
	switch {
	case err == nil:
		if c.EraseSize, err = strconv.ParseInt(text, 10, 64); err != nil || c.EraseSize <= 0 {
			return nil, fmt.Errorf("%s holds %q, want a number of bytes", attribute(node, "erasesize"), text)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return nor.New(c)
}

// attribute is the path of what sysfs says about a device (Documentation/ABI/testing/sysfs-class-mtd).
func attribute(node, name string) string {
	return "/sys/class/mtd/" + strings.TrimSuffix(path.Base(node), "ro") + "/" + name
}

func readOnly(node string, flags uint32) error {
	return fail.New(fail.Unavailable, "cannot write flash device %s: the kernel keeps it read-only (flags %#x)", node, flags).
		Then("look for read-only in the partition's device tree node")
}

// CheckNOR refuses what the writer of boot firmware cannot work on: anything but writable NOR flash of whole erase blocks. NAND has
// bad blocks and pages that must not be programmed twice, and RAM would hide a missing erase.
func CheckNOR(node string, i Info) error {
	kinds := map[uint8]string{unix.MTD_RAM: "RAM", unix.MTD_ROM: "ROM", unix.MTD_NANDFLASH: "NAND", unix.MTD_MLCNANDFLASH: "MLC NAND"}
	kind := kinds[i.Type]
	if kind == "" {
		kind = "an unknown kind of memory"
	}
	switch {
	case i.Type != unix.MTD_NORFLASH:
		return fail.New(fail.Unavailable, "cannot use flash device %s: it is %s (MTD type %d), want NOR flash", node, kind, i.Type)
	case i.Flags&unix.MTD_WRITEABLE == 0:
		return readOnly(node, i.Flags)
	case i.Flags&unix.MTD_NO_ERASE != 0 || i.Flags&unix.MTD_BIT_WRITEABLE == 0:
		return fail.New(fail.Unavailable, "cannot use flash device %s: it cannot be erased or programmed bit by bit (flags %#x)", node, i.Flags)
	case i.EraseSize <= 0 || i.Size <= 0 || i.Size%i.EraseSize != 0:
		return fail.New(fail.Unavailable, "cannot use flash device %s: %d bytes are not whole erase blocks of %d bytes", node, i.Size, i.EraseSize)
	}
	return nil
}
