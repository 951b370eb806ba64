package mtd

import (
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"golang.org/x/sys/unix"
)

// On returns the device behind a driver, with this package's rules, as node of a machine. Tests give it a nor.Chip.
func On(m *device.Machine, node string, d Driver) Flash {
	return &flash{m: m, node: node, d: d, info: d.Info()}
}

type flash struct {
	m        *device.Machine
	node     string
	d        Driver
	info     Info
	readOnly bool
}

func (f *flash) Info() Info                              { return f.info }
func (f *flash) ReadAt(p []byte, off int64) (int, error) { return f.d.ReadAt(p, off) }
func (f *flash) Close() error                            { return f.d.Close() }

// Program writes everything or says from where on it is not known what was programmed. The kernel names no place when a write
// fails half-way, so that place is where the failed call began.
func (f *flash) Program(p []byte, off int64) error {
	if err := f.within("program", off, int64(len(p))); err != nil {
		return err
	}
	if len(p) == 0 {
		return nil
	}
	return f.change("program", off, func() error {
		for done := 0; done < len(p); {
			n, err := f.d.WriteAt(p[done:], off+int64(done))
			if err == nil && n <= 0 {
				err = fmt.Errorf("the driver wrote nothing of %d bytes", len(p)-done)
			}
			if err != nil {
				return fail.New(codeOf(err), "cannot program %d bytes of %s at %#x: %w; bytes from %#x on may have been programmed",
					len(p), f.node, off, err, off+int64(max(n, 0)+done))
			}
			done += n
		}
		return nil
	})
}

// Erase erases whole blocks.
func (f *flash) Erase(off, length int64) error {
	if err := f.within("erase", off, length); err != nil {
		return err
	}
	if size := f.info.EraseSize; size <= 0 || off%size != 0 || length%size != 0 {
		return fail.New(fail.Internal, "cannot erase %d bytes of %s at %#x: they are not whole erase blocks of %d bytes", length, f.node, off, size)
	}
	if length == 0 {
		return nil
	}
	return f.change("erase", off, func() error {
		if err := f.d.MemErase(off, length); err != nil {
			return fail.New(codeOf(err), "cannot erase %d bytes of %s at %#x: %w; some of its blocks may have been erased, one of them partly",
				length, f.node, off, err)
		}
		return nil
	})
}

// Unlock asks the driver to, and takes "not supported" for an answer: EOPNOTSUPP of spi-nor, ENOTSUPP of others.
func (f *flash) Unlock(off, length int64) error {
	if err := f.within("unlock", off, length); err != nil {
		return err
	}
	return f.change("unlock", off, func() error {
		err := f.d.MemUnlock(off, length)
		if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, nor.ENOTSUPP) {
			return nil
		}
		return fail.New(codeOf(err), "cannot unlock %d bytes of %s at %#x: %w", length, f.node, off, err).
			Then("see whether the chip's write-protect pin is tied")
	})
}

// within refuses what is not inside the device: the kernel would do the part that fits.
func (f *flash) within(verb string, off, length int64) error {
	if f.readOnly && verb != "read" {
		return fail.New(fail.Internal, "cannot %s %s at %#x: it was opened for reading: %w", verb, f.node, off, unix.EBADF)
	}
	if off < 0 || length < 0 || length > f.info.Size-off {
		return fail.New(fail.Internal, "cannot %s %d bytes of %s at %#x: the device ends at %#x: %w",
			verb, length, f.node, off, f.info.Size, unix.ENOSPC)
	}
	return nil
}

// change counts as one change of the machine. A model whose power was cut stops the machine it belongs to afterwards, because
// nobody may ask a Fault for anything during a change.
func (f *flash) change(verb string, off int64, do func() error) error {
	err := f.m.Change(fmt.Sprintf("%s %s at %#x", verb, f.node, off), do)
	if cut, ok := f.d.(interface{ AfterCut() }); ok && errors.Is(err, device.ErrPowerCut) {
		cut.AfterCut()
	}
	return err
}

func codeOf(err error) fail.Code { return fail.InputCode(err, fail.IO) }
