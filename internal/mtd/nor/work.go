package nor

import (
	"bytes"
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// ReadAt reads as pread of the device node does: less than asked for at the end, and io.EOF there.
func (c *Chip) ReadAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return 0, powerCut("read")
	}
	if off < 0 {
		return 0, unix.EINVAL
	}
	if off >= c.c.Size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), c.c.Size-off)]
	if n, err := c.c.Storage.ReadAt(want, off); n < len(want) {
		return n, err
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(p), nil
}

// WriteAt programs as one pwrite of the device node does: ENOSPC at the end, and a short count across it. The kernel does not
// say how far a write got that failed: the answer is 0 then.
func (c *Chip) WriteAt(p []byte, off int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cut:
		return 0, powerCut("program")
	case off < 0:
		return 0, unix.EINVAL
	case off >= c.c.Size:
		return 0, unix.ENOSPC
	}
	fits := min(int64(len(p)), c.c.Size-off)
	for done := int64(0); done < fits; {
		at := off + done
		n := min(fits-done, c.c.PageSize-at%c.c.PageSize)
		if err := c.operate(Operation{Offset: at, Length: n}, p[done:done+n]); err != nil {
			return 0, err
		}
		done += n
	}
	return int(fits), nil
}

// MemErase erases as the ioctl does. The length must consist of whole blocks; whether the start must lie on one is Config.Strict.
func (c *Chip) MemErase(off, length int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := c.c.EraseSize
	switch {
	case c.cut:
		return powerCut("erase")
	case off < 0 || off >= c.c.Size || length < 0 || length > c.c.Size-off, length%size != 0, c.c.Strict && off%size != 0:
		return unix.EINVAL
	}
	for at := off; at < off+length; at += size {
		if err := c.operate(Operation{Erase: true, Offset: at, Length: size}, nil); err != nil {
			return err
		}
	}
	return nil
}

// MemUnlock unlocks the blocks that the range touches, or gives Config.UnlockAnswer and leaves them locked.
func (c *Chip) MemUnlock(off, length int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.cut:
		return powerCut("unlock")
	case c.c.UnlockAnswer != nil:
		return c.c.UnlockAnswer
	case off < 0 || off >= c.c.Size || length < 0 || length > c.c.Size-off:
		return unix.EINVAL
	case length == 0:
		return nil
	}
	for block := off / c.c.EraseSize; block <= (off+length-1)/c.c.EraseSize; block++ {
		delete(c.locked, block)
	}
	return nil
}

// Close closes a storage that can be closed.
func (c *Chip) Close() error {
	if closer, ok := c.c.Storage.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// operate does one page program or block erase, the whole of it unless the power is cut or it was to fail.
func (c *Chip) operate(o Operation, data []byte) error {
	if c.locked[o.Offset/c.c.EraseSize] {
		return nil
	}
	if c.c.Trace != nil {
		c.c.Trace(o)
	}
	if c.failIn > 0 {
		if c.failIn--; c.failIn == 0 {
			return c.failErr
		}
	}
	old := make([]byte, o.Length)
	if n, err := c.c.Storage.ReadAt(old, o.Offset); n < len(old) {
		return err
	}
	result := bytes.Repeat([]byte{0xff}, len(old))
	if !o.Erase {
		for i := range result {
			result[i] = old[i] & data[i]
		}
	}
	if c.cutIn > 0 {
		if c.cutIn--; c.cutIn == 0 {
			c.cut = true
			c.tear(result, old)
			if _, err := c.c.Storage.WriteAt(result, o.Offset); err != nil {
				return errors.Join(powerCut("go on"), err)
			}
			return powerCut("go on")
		}
	}
	if o.Erase {
		c.counts.Erases++
	} else {
		c.counts.Programs++
		c.counts.Bytes += o.Length
	}
	_, err := c.c.Storage.WriteAt(result, o.Offset)
	return err
}

// tear leaves in result what a cut leaves of the change from old.
func (c *Chip) tear(result, old []byte) {
	if c.c.Torn == FirstHalf {
		copy(result[len(result)/2:], old[len(old)/2:])
		return
	}
	for i := range result {
		c.random ^= c.random << 13 // xorshift64 (Marsaglia 2003): the same bits in every run
		c.random ^= c.random >> 7
		c.random ^= c.random << 17
		changed := (result[i] ^ old[i]) & byte(c.random>>32)
		result[i] = old[i] ^ changed
	}
}
