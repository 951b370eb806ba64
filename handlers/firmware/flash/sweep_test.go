package flash

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
)

// mine says for each byte whether an update of a target may change it.
func (p plan) mine(target backends.Slot, fresh partition) []bool {
	mine := make([]bool, p.size)
	for _, q := range append(p.parts, fresh) {
		if strings.HasPrefix(q.name, string(target)+"_") {
			for i := q.off; i < q.off+q.size; i++ {
				mine[i] = q.name != string(target)+"_eks"
			}
		}
	}
	at := p.place(target)
	for i := at / p.erase * p.erase; i < at+33*512; i++ {
		mine[i] = true
	}
	return mine
}

// sweep interrupts the update at each page program and block erase, judges what is left, and runs it again.
func sweep(t *testing.T, target backends.Slot, interrupt func(c *nor.Chip, n int), torn nor.Torn, judge func(err error) error) (operations int) {
	t.Helper()
	p := layoutOf(4<<10, 8)
	old := p.release(1)
	before := p.old(old)
	update, im, fresh, data, table := smallUpdate(t, p, old, target)
	want := wanted(p, before, target, im, fresh, data, table)
	mine := p.mine(target, fresh)
	r := newRig(t, p, before, nil)
	start := r.memory.Clone()
	if _, err := r.install(update, target); err != nil {
		t.Fatal(err)
	}
	operations = r.chip.Counts().Erases + r.chip.Counts().Programs
	bootable := 0
	for n := 1; n <= operations; n++ {
		r.memory = start.Clone()
		r.renew(func(c *nor.Config) { c.Torn = torn })
		interrupt(r.chip, n)
		_, err := r.install(update, target)
		if err := judge(err); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		r.chip.PowerOn()
		got := r.bytes()
		for i := range got {
			if !mine[i] && got[i] != before[i] {
				t.Fatalf("operation %d: a byte outside the chain changed %s", n, firstDifference(p, got[i:i+1], before[i:i+1]))
			}
		}
		if headValid(got, p.part(string(target)+"_mb1")) {
			bootable++
			if err := complete(p, got, target); err != nil {
				t.Fatalf("operation %d: the chain looks bootable, and %v", n, err)
			}
		}
		if _, err := r.install(update, target); err != nil {
			t.Fatalf("operation %d: run again: %v", n, err)
		}
		if got := r.bytes(); !bytes.Equal(got, want) {
			t.Fatalf("operation %d: run again: %s", n, firstDifference(p, got, want))
		}
	}
	if bootable == 0 || bootable == operations {
		t.Errorf("%d of %d interrupted chains looked bootable: the sweep judges nothing", bootable, operations)
	}
	return operations
}

func TestAPowerCutAnywhereLeavesNoHalfWrittenChainThatLooksBootable(t *testing.T) {
	for _, target := range backends.Slots {
		for _, torn := range []nor.Torn{nor.FirstHalf, nor.SomeBits} {
			n := sweep(t, target, (*nor.Chip).CutAfter, torn, func(err error) error {
				if !errors.Is(err, device.ErrPowerCut) {
					return fmt.Errorf("want a power cut: %v", err)
				}
				return nil
			})
			t.Logf("slot %s, %v: %d cuts", target, torn, n)
		}
	}
}

func TestAnErrorAnywhereNamesDeviceAndPlaceAndCanBeRepeated(t *testing.T) {
	for _, errno := range []error{syscall.EIO, syscall.ENOSPC} {
		sweep(t, backends.B, func(c *nor.Chip, n int) { c.FailAfter(n, errno) }, nor.FirstHalf, func(err error) error {
			if fail.CodeOf(err) != fail.IO || !errors.Is(err, errno) || !strings.Contains(err.Error(), "/dev/mtd0 at 0x") || !strings.Contains(err.Error(), "cannot write ") {
				return fmt.Errorf("want an input/output error that names device and place: %v", err)
			}
			return nil
		})
	}
}
