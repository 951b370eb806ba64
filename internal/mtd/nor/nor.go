// Package nor is a model of a NOR flash chip behind Linux's MTD layer, with a power switch. It gives the kernel's answers, the
// unhelpful ones too, and leaves rules to package mtd.
//
// What it answers was measured on the kernel's spi-nor driver (QEMU's ast2600-evb with a Macronix chip, Linux 6.1); vm/nor runs the
// same conformance test against that driver and keeps the model true. Programming only clears bits, page by page; an erase sets a
// whole block's; nothing says that a program met a bit that it could not set.
package nor

import (
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"golang.org/x/sys/unix"
)

// Info is what MEMGETINFO says about a flash device (struct mtd_info_user of Linux's mtd-abi.h); sizes are in bytes.
type Info struct {
	Type      uint8
	Flags     uint32
	Size      int64
	EraseSize int64
	WriteSize int64
}

// ENOTSUPP is Linux's internal "operation is not supported", which some MTD drivers let through to the caller of MEMUNLOCK.
// The syscall package has no name for it.
const ENOTSUPP = syscall.Errno(524)

// Storage holds a chip's bytes: a Memory, or a file of the chip's size.
type Storage interface {
	io.ReaderAt
	io.WriterAt
}

// Config describes a chip. The zero value of each field but Size is an ordinary chip.
type Config struct {
	Size      int64   // bytes, a multiple of EraseSize
	EraseSize int64   // bytes; 0: 64 KiB
	PageSize  int64   // bytes that one program cycle takes at most; 0: 256
	Storage   Storage // nil: a Memory, erased

	// Strict makes an erase that starts inside a block EINVAL, as mtdram and nandsim do. Otherwise it is accepted and lands off by
	// that much, as measured with spi-nor.
	Strict bool
	// UnlockAnswer is MEMUNLOCK's; nil: it works. spi-nor says EOPNOTSUPP for chips without locks, nandsim ENOTSUPP.
	UnlockAnswer error
	// Locked starts with every block locked: programs and erases of it are accepted and do nothing, until it is unlocked.
	Locked bool
	// Torn says what a cut leaves of the page or block at work.
	Torn Torn
	// Trace, where set, is told each page program and block erase before it happens.
	Trace func(Operation)
	Times Times // zero: Typical
}

// Torn says what a power cut leaves of the operation it hits.
type Torn int

// The outcomes of a cut. Chips promise nothing; a half-charged bit may read either way.
const (
	FirstHalf Torn = iota // the first half of the bytes is done, the rest untouched
	SomeBits              // of each byte, some of the bits that were to change have changed
)

// Operation is one page program or block erase.
type Operation struct {
	Erase          bool
	Offset, Length int64 // bytes; Length of a program is at most a page
}

// Counts are the operations since the chip was made. Those of locked blocks do not count: nothing wears.
type Counts struct {
	Programs int   // program cycles, of at most a page each
	Erases   int   // blocks
	Bytes    int64 // programmed
}

// Chip is a chip and the driver above it. Its methods may be called from several goroutines.
type Chip struct {
	mu      sync.Mutex
	c       Config
	counts  Counts
	locked  map[int64]bool // by block
	cutIn   int            // operations until the power cut; 0: never
	failIn  int
	failErr error
	cut     bool
	onCut   func()
	random  uint64
}

// New returns a chip. A size that does not consist of whole blocks, or blocks that do not consist of whole pages, is an error.
func New(c Config) (*Chip, error) {
	if c.EraseSize == 0 {
		c.EraseSize = 64 << 10
	}
	if c.PageSize == 0 {
		c.PageSize = 256
	}
	if c.EraseSize < 0 || c.PageSize < 0 || c.EraseSize%c.PageSize != 0 {
		return nil, fmt.Errorf("cannot model a flash chip: erase blocks of %d bytes, pages of %d", c.EraseSize, c.PageSize)
	}
	if c.Size <= 0 || c.Size%c.EraseSize != 0 {
		return nil, fmt.Errorf("cannot model a flash chip of %d bytes: want whole erase blocks of %d bytes", c.Size, c.EraseSize)
	}
	if c.Storage == nil {
		c.Storage = NewMemory()
	}
	if c.Times == (Times{}) {
		c.Times = Typical
	}
	chip := &Chip{c: c, locked: map[int64]bool{}, random: 0x9e3779b97f4a7c15}
	if c.Locked {
		for block := int64(0); block < c.Size/c.EraseSize; block++ {
			chip.locked[block] = true
		}
	}
	return chip, nil
}

// Info returns what MEMGETINFO says: a NOR chip, writable bit by bit.
func (c *Chip) Info() Info {
	return Info{Type: unix.MTD_NORFLASH, Flags: unix.MTD_CAP_NORFLASH, Size: c.c.Size, EraseSize: c.c.EraseSize, WriteSize: 1}
}

// CutAfter cuts the power during the n-th page program or block erase from now on, counted from 1; 0 takes that back. That
// operation is left half done, and everything after it answers device.ErrPowerCut until PowerOn.
func (c *Chip) CutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutIn = n
}

// FailAfter lets the n-th page program or block erase from now on, counted from 1, fail with err; what came before it is done.
func (c *Chip) FailAfter(n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failIn, c.failErr = n, err
}

// OnCut names what is told of a power cut, once, after the call that it hit: device.Fault.Cut stops the rest of the machine.
func (c *Chip) OnCut(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onCut = do
}

// AfterCut tells OnCut's function, at the first call after a cut. Package mtd calls it where no lock of the machine is held.
func (c *Chip) AfterCut() {
	c.mu.Lock()
	do := c.onCut
	if c.cut {
		c.onCut = nil
	}
	cut := c.cut
	c.mu.Unlock()
	if cut && do != nil {
		do()
	}
}

// PowerOn ends a power cut. Locks are as the chip had them; no further cut is planned.
func (c *Chip) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.cutIn, c.failIn = false, 0, 0
}

// WasCut says whether the power is cut.
func (c *Chip) WasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}

// Counts returns the operations so far.
func (c *Chip) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Elapsed returns how long a chip with these Times would have been busy with the operations so far.
func (c *Chip) Elapsed() time.Duration { return c.c.Times.Of(c.Counts(), c.c.EraseSize) }

func powerCut(what string) error { return fmt.Errorf("cannot %s: %w", what, device.ErrPowerCut) }
