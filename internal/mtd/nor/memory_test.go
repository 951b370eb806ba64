package nor_test

import (
	"bytes"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/mtd/nor"
	"pgregory.net/rapid"
)

// A memory and its copies are independent, and each holds what was last written to it.
func TestMemoryAndCopies(t *testing.T) {
	const size = 40 << 10
	rapid.Check(t, func(t *rapid.T) {
		memories := []*nor.Memory{nor.NewMemory()}
		want := [][]byte{bytes.Repeat([]byte{0xff}, size)}
		for i := rapid.IntRange(1, 20).Draw(t, "steps"); i > 0; i-- {
			k := rapid.IntRange(0, len(memories)-1).Draw(t, "memory")
			if len(memories) < 4 && rapid.Bool().Draw(t, "clone") {
				memories = append(memories, memories[k].Clone())
				want = append(want, append([]byte(nil), want[k]...))
				continue
			}
			p := bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 0x5a, 0xff}).Draw(t, "byte")}, rapid.IntRange(0, 12<<10).Draw(t, "length"))
			off := rapid.IntRange(0, size-12<<10).Draw(t, "offset")
			_, _ = memories[k].WriteAt(p, int64(off))
			copy(want[k][off:], p)
		}
		for k, m := range memories {
			got := make([]byte, size)
			if n, err := m.ReadAt(got, 0); n != size || err != nil || !bytes.Equal(got, want[k]) {
				t.Fatalf("memory %d: %d, %v, or other bytes", k, n, err)
			}
		}
	})
}

func chip(t *testing.T, c nor.Config) *nor.Chip {
	t.Helper()
	chip, err := nor.New(c)
	must(t, err)
	return chip
}

func put(t *testing.T, c *nor.Chip, p []byte, off int64) {
	t.Helper()
	if n, err := c.WriteAt(p, off); n != len(p) || err != nil {
		t.Fatalf("writing %d bytes at %#x: %d, %v", len(p), off, n, err)
	}
}

// holds compares the chip's first bytes.
func holds(t *testing.T, what string, c *nor.Chip, want []byte) {
	t.Helper()
	got := read(c, len(want))
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: at %#x the chip holds %#x, want %#x", what, i, got[i], want[i])
			return
		}
	}
}

func read(c *nor.Chip, n int) []byte {
	p := make([]byte, n)
	if k, err := c.ReadAt(p, 0); k != n || err != nil {
		panic(err)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
