package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// writer carries out jobs. Their order is the firmware's own: mb1's head is made invalid first and written last, so that a
// half-written chain has nothing the BootROM would start (edk2-nvidia TegraFmp.c, FmpTegraSetImage).
type writer struct {
	Report
	buffers
	ctx     context.Context
	invalid bool // mb1's head was made invalid by us
}

// write writes what differs, reads back every block of every job, and makes mb1 invalid again if one does not hold what it shall.
// table is the chain's partition table, nil if it stays.
func (w *writer) write(jobs []*job, mb1, table *job) error {
	for _, j := range append(append([]*job{}, jobs...), mb1, table) {
		if j != nil {
			// A chip without locks answers that it has none, and one that stays locked is found by reading back.
			_ = j.on.flash.Unlock(j.off, j.blocks()*j.on.unit)
		}
	}
	if err := w.invalidate(mb1); err != nil {
		return err
	}
	w.invalid = true
	for _, j := range jobs {
		if err := w.from(j, 0); err != nil {
			return err
		}
	}
	if err := w.from(mb1, mb1.heads()); err != nil {
		return err
	}
	// Everything else must be on storage before the head is: an eMMC's cache keeps no order.
	if err := settle(append(jobs, mb1)); err != nil {
		return err
	}
	for i := mb1.heads() - 1; i >= 0; i-- {
		if err := w.block(mb1, i); err != nil {
			return err
		}
	}
	if table != nil {
		if err := w.from(table, 0); err != nil {
			return err
		}
	}
	return nil
}

// from writes a job's blocks from the i-th on.
func (w *writer) from(j *job, i int64) error {
	for ; i < j.blocks(); i++ {
		if err := w.block(j, i); err != nil {
			return err
		}
	}
	return nil
}

// invalidate erases mb1's head; an eMMC gets the same bytes. It is the first change, so a chip that takes none is found here, with
// nothing lost.
func (w *writer) invalidate(mb1 *job) error {
	var old [][]byte
	for i := int64(0); i < mb1.heads(); i++ {
		if err := w.of(mb1, i); err != nil {
			return err
		}
		old = append(old, bytes.Clone(w.have))
		if blank(w.have) {
			continue
		}
		if err := w.clear(mb1, mb1.off+i*mb1.on.unit); err != nil {
			return err
		}
	}
	if err := settle([]*job{mb1}); err != nil {
		return err
	}
	for i := range old {
		if err := mb1.read(int64(i), w.have); err != nil {
			return err
		}
		at := mb1.off + int64(i)*mb1.on.unit
		switch {
		case blank(w.have):
		case bytes.Equal(w.have, old[i]):
			return fail.New(fail.Unavailable, "cannot write %s: %s at %#x keeps its content: it is write-protected", mb1.name, mb1.on.node, at).
				Then("see whether the chip's write-protect pin is tied, or the firmware locks it; no image was changed")
		default:
			return fail.New(fail.IO, "cannot write %s: %s at %#x is not blank after it was erased", mb1.name, mb1.on.node, at)
		}
	}
	return nil
}

// clear makes the block at a place blank.
func (w *writer) clear(j *job, at int64) error {
	if !j.on.block {
		if err := j.on.flash.Erase(at, j.on.unit); err != nil {
			return wrap(j, err)
		}
		w.Erased++
		return nil
	}
	if err := j.on.flash.Program(bytes.Repeat([]byte{0xff}, int(j.on.unit)), at); err != nil {
		return wrap(j, err)
	}
	return nil
}

// block gives one block its content with as little wear as possible. A block that differs is erased unless it is blank: programming
// one twice could give the bytes as well where only bits are cleared, but chips with an error-correcting code per page forbid it.
// Blank is what reads so: bits that an interrupted erase left weak show only when they are read back wrong.
func (w *writer) block(j *job, i int64) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.of(j, i); err != nil {
		return err
	}
	if w.equal() {
		return nil
	}
	at := j.off + i*j.on.unit
	if j.on.block {
		if err := j.on.flash.Program(w.want, at); err != nil {
			return wrap(j, err)
		}
		w.count(len(w.want))
		w.Programmed++
		return nil // read back at the end: each sync would cost an eMMC a whole flush
	}
	if !blank(w.have) {
		if err := w.clear(j, at); err != nil {
			return err
		}
		if err := j.read(i, w.have); err != nil {
			return err
		}
		if !blank(w.have) {
			return fail.New(fail.IO, "cannot write %s: %s at %#x is not blank after it was erased", j.name, j.on.node, at)
		}
	}
	parts := runs(w.want, j.head && i == 0)
	for _, part := range parts {
		if err := j.on.flash.Program(w.want[part[0]:part[1]], at+int64(part[0])); err != nil {
			return wrap(j, err)
		}
		w.count(part[1] - part[0])
	}
	if len(parts) > 0 {
		w.Programmed++
	}
	return w.check(j, i)
}

func (w *writer) count(n int) {
	w.Pages += (n + pageSize - 1) / pageSize
	w.Bytes += int64(n)
}

// check reads a block back. Nothing else tells that a program failed.
func (w *writer) check(j *job, i int64) error {
	if err := w.of(j, i); err != nil {
		return err
	}
	if !w.equal() {
		at := j.off + i*j.on.unit
		return fail.New(fail.IO, "cannot trust %s on %s: read back, the block at %#x differs from what was written", j.name, j.on.node, at).
			Then("install the update again; if it fails there again, the flash is worn out")
	}
	return nil
}

// readBack compares every block, those that were equal before, too.
func (w *writer) readBack(jobs []*job) error {
	if err := settle(jobs); err != nil {
		return err
	}
	for _, j := range jobs {
		sum := sha256.New()
		for i := int64(0); i < j.blocks(); i++ {
			if err := w.check(j, i); err != nil {
				return err
			}
			sum.Write(w.have[:min(j.on.unit, j.size-i*j.on.unit)])
		}
		if j.digest != [sha256.Size]byte{} && !bytes.Equal(sum.Sum(nil), j.digest[:]) {
			return fail.New(fail.IO, "cannot trust %s on %s: read back, it is not what the update held; the kept payload changed meanwhile", j.name, j.on.node).
				Then("check the storage that the journal lies on, and install the update again")
		}
	}
	return nil
}

// settle puts what block devices hold back on storage. Flash has no cache, and answers a sync with an error.
func settle(jobs []*job) error {
	done := map[*store]bool{}
	for _, j := range jobs {
		if f, ok := j.on.flash.(*blockFlash); ok && !done[j.on] {
			done[j.on] = true
			if err := f.settle(); err != nil {
				return err
			}
		}
	}
	return nil
}

// wrap names the image beside device and place, which the cause names.
func wrap(j *job, err error) error {
	code := fail.CodeOf(err)
	if errors.Is(err, device.ErrPowerCut) || errors.Is(err, device.ErrFault) {
		code = fail.IO
	}
	return fail.New(code, "cannot write %s: %w", j.name, err).Then("install the update again")
}
