// Package mtdtest holds a flash device to the rules that writers of flash rely on: the model in every go test, and a kernel's MTD
// device in the virtual machine of make test-vm. That the same function judges both keeps the model a true stand-in.
package mtdtest

import (
	"bytes"
	"io"
	"strconv"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
)

// Device is what is tested. Its first four erase blocks and its last one are overwritten.
type Device struct {
	Machine *device.Machine
	Node    string
	Open    func(*device.Machine) (mtd.Flash, error)
	// Driver is the same device with the kernel's own answers.
	Driver mtd.Driver
	// Strict: an erase that starts inside a block is EINVAL, instead of landing off.
	Strict bool
	// UnlockAnswer is MEMUNLOCK's.
	UnlockAnswer error
}

// Conformance runs every rule on the device.
func Conformance(t *testing.T, d Device) {
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) { r.holds(t, start(t, d)) })
	}
}

// rule is one thing that callers rely on.
type rule struct {
	name  string
	holds func(t *testing.T, p place)
}

// place is an open device of which the blocks that the rules use are erased.
type place struct {
	Device
	mtd.Flash
	block, end int64 // bytes of an erase block, and of the device
}

func start(t *testing.T, d Device) place {
	t.Helper()
	f, err := d.Open(d.Machine)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()) })
	i := f.Info()
	if i.EraseSize < 1024 || i.Size < 8*i.EraseSize {
		t.Fatalf("%d bytes in blocks of %d are too few for the rules", i.Size, i.EraseSize)
	}
	p := place{Device: d, Flash: f, block: i.EraseSize, end: i.Size}
	must(t, p.Unlock(0, p.end))
	must(t, p.Erase(0, 4*p.block))
	must(t, p.Erase(p.end-p.block, p.block))
	return p
}

// want compares what the device holds from off on.
func (p place) want(t *testing.T, off int64, want []byte) {
	t.Helper()
	got := p.read(t, off, int64(len(want)))
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("at %#x the device holds %#x, want %#x", off+int64(i), got[i], want[i])
			return
		}
	}
}

func (p place) read(t *testing.T, off, n int64) []byte {
	t.Helper()
	got := make([]byte, n)
	if k, err := p.ReadAt(got, off); err != nil && err != io.EOF || k != len(got) {
		t.Fatalf("reading %d bytes at %#x: %d, %v", n, off, k, err)
	}
	return got
}

func fill(b byte, n int64) []byte { return bytes.Repeat([]byte{b}, int(n)) }

// pattern is data without a period that any page or block shares.
func pattern(n int64) []byte {
	p := make([]byte, n)
	x := uint32(1)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func hex(n int64) string { return "0x" + strconv.FormatInt(n, 16) }
