package cpio_test

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

// naive is the definition.
func naive(sum uint32, p []byte) uint32 {
	for _, c := range p {
		sum += uint32(c)
	}
	return sum
}

// Bytes of 255 fill the lanes as far as they go, and a start near 2^32 makes the sum wrap.
func TestSum(t *testing.T) {
	full := bytes.Repeat([]byte{255}, 1<<20)
	for _, n := range []int{0, 1, 7, 8, 9, 31, 32, 33, 63, 64, 2047, 2048, 2049, 2079, 2080, 4096, 65537, len(full)} {
		if got, want := cpio.Sum(1<<32-9, full[:n]), naive(1<<32-9, full[:n]); got != want {
			t.Errorf("%d bytes of 255: 0x%x, want 0x%x", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 0, 5000).Draw(t, "bytes")
		sum, cut := rapid.Uint32().Draw(t, "sum"), rapid.IntRange(0, len(p)).Draw(t, "cut")
		if got, want := cpio.Sum(cpio.Sum(sum, p[:cut]), p[cut:]), naive(sum, p); got != want {
			t.Fatalf("0x%x, want 0x%x", got, want)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	p := make([]byte, 256<<10)
	var sink uint32
	for name, f := range map[string]func(uint32, []byte) uint32{"words": cpio.Sum, "naive": naive} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for range b.N {
				sink += f(0, p)
			}
		})
	}
	if sink != 0 {
		b.Error("zeros have a sum")
	}
}
