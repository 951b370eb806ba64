package virtual

import (
	"errors"
	"fmt"
	"os"
)

// errCut travels up from the write during which the power is cut.
var errCut = errors.New("power cut")

// power numbers every write of the firmware to flash, and cuts the power instead of one of them.
type power struct {
	cutAt    int
	cutPhase string
	phases   []string
}

// step is one write. At the cut it calls torn, if there is a way to tear the write, and returns errCut. Writes of variables
// and ESRT have none: UEFI's fault tolerant write makes them happen or not.
func (p *power) step(phase string, write, torn func() error) error {
	p.phases = append(p.phases, phase)
	if len(p.phases) == p.cutAt || p.cutPhase == phase {
		if torn != nil {
			if err := torn(); err != nil {
				return err
			}
		}
		return errCut
	}
	return write()
}

// flashImage replaces a partition's content in three writes: erase, first half, second half. A torn write leaves half of it.
func (p *power) flashImage(phase, path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(data))); err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	half := len(data) / 2
	write := func(chunk []byte, at int) func() error {
		return func() error {
			if _, err := f.WriteAt(chunk, int64(at)); err != nil {
				return fmt.Errorf("cannot write flash: %w", err)
			}
			return nil
		}
	}
	erased := erasedBytes(len(data))
	for _, w := range []struct {
		data []byte
		at   int
	}{{erased, 0}, {data[:half], 0}, {data[half:], half}} {
		if err := p.step(phase, write(w.data, w.at), write(w.data[:len(w.data)/2], w.at)); err != nil {
			return err
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot write flash: %w", err)
	}
	return nil
}

// eraseHead invalidates an image by erasing its first 4 KiB (InvalidateImage in TegraFmp.c).
func (p *power) eraseHead(phase, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("cannot erase flash: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("cannot erase flash: %w", err)
	}
	size := int(min(info.Size(), eraseHead))
	erase := func(n int) func() error {
		return func() error {
			if _, err := f.WriteAt(erasedBytes(n), 0); err != nil {
				return fmt.Errorf("cannot erase flash: %w", err)
			}
			return nil
		}
	}
	return p.step(phase, erase(size), erase(size/2))
}

func erasedBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

// switchBCT is UpdateFwChain of BrBctUpdateDxe.c: it rewrites the copies from the last to the first.
func (p *power) switchBCT(path string, to Slot) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("cannot write BR-BCT: %w", err)
	}
	defer f.Close()
	put := func(data []byte, index int) error {
		if _, err := f.WriteAt(data, int64(index*bctCopyLen)); err != nil {
			return fmt.Errorf("cannot write BR-BCT: %w", err)
		}
		return nil
	}
	for i := bctCopies - 1; i >= 0; i-- {
		line := bctCopy(i, to)
		torn := append(append([]byte{}, line[:bctCopyLen/2]...), erasedBytes(bctCopyLen/2)...)
		err := p.step(phaseBCT, func() error { return put(line, i) }, func() error { return put(torn, i) })
		if err != nil {
			return err
		}
	}
	return nil
}
