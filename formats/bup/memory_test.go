package bup_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

const largeSize = 60 << 20

// large is a V3 package of 60 MiB: a real table and zeros.
func large(t testing.TB) sparse {
	t.Helper()
	const count = 60
	o := bup.BuildOptions{Format: bup.V3}
	for i := range count {
		o.Images = append(o.Images, bup.Image{Name: fmt.Sprintf("image%d", i), Data: []byte{}})
	}
	head := build(t, o)
	each := uint32((largeSize - len(head)) / count)
	size := uint32(len(head)) + count*each
	words := map[int]uint32{20: size}
	for i := range count {
		at := 40 + i*184
		words[at+40], words[at+44] = uint32(len(head)+i*int(each)), each
	}
	return sparse{patched(head, words), int64(size)}
}

// allocated returns the bytes f allocates in all, and the most that was on the heap at once above the start, as the
// sampling reader saw it.
func allocated(r io.Reader, f func(io.Reader)) (total, peak uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := &sampler{r: r}
	f(s)
	runtime.ReadMemStats(&after)
	if s.peak > before.HeapAlloc {
		peak = s.peak - before.HeapAlloc
	}
	return after.TotalAlloc - before.TotalAlloc, peak
}

type sampler struct {
	r    io.Reader
	peak uint64
}

func (s *sampler) Read(p []byte) (int, error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.peak = max(s.peak, m.HeapAlloc)
	return s.r.Read(p)
}

// A package of 60 MiB is read and hashed within a small part of that, whatever the collector does: even what is
// allocated in all stays below the limit.
func TestMemory(t *testing.T) {
	const limit = 16 << 20
	file := large(t)
	total, peak := allocated(io.NewSectionReader(file, 0, file.size), func(r io.Reader) {
		p, err := bup.Parse(r)
		if err != nil {
			t.Fatal(err)
		}
		want := sha256.Sum256(make([]byte, p.Entries[59].Length))
		if p.Entries[59].SHA256 != want {
			t.Error("the last image has a wrong digest")
		}
	})
	t.Logf("%d KiB allocated in all, %d KiB at once", total>>10, peak>>10)
	if peak > limit {
		t.Errorf("%d bytes on the heap at once, want at most %d", peak, limit)
	}
	total, _ = allocated(io.NewSectionReader(file, 0, file.size), func(r io.Reader) {
		if _, err := bup.Parse(r); err != nil {
			t.Fatal(err)
		}
	})
	if total > limit {
		t.Errorf("%d bytes allocated, want at most %d", total, limit)
	}
}

// The worst a short malformed file can ask for is the largest table.
func TestMemoryOfMalformed(t *testing.T) {
	head := build(t, bup.BuildOptions{Images: []bup.Image{{Name: "mb1"}}})
	for count, limit := range map[uint32]uint64{bup.MaxEntries: 4 << 20, bup.MaxEntries + 1: 64 << 10, 0xffffffff: 64 << 10} {
		raw := patched(head, map[int]uint32{20: 0xfffffff0, 28: count})
		total, _ := allocated(bytes.NewReader(raw), func(r io.Reader) {
			if _, err := bup.Parse(r); err == nil {
				t.Error("parsed")
			}
		})
		if total > limit {
			t.Errorf("%d entries: %d bytes allocated, want at most %d", count, total, limit)
		}
	}
}

// BenchmarkParse tells the speed, and how much longer than a plain SHA-256 of the same bytes it takes.
func BenchmarkParse(b *testing.B) {
	file := large(b)
	plain := time.Duration(0)
	buf := make([]byte, 256<<10)
	b.SetBytes(file.size)
	for range b.N {
		b.StopTimer()
		start := time.Now()
		h := sha256.New()
		if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{io.NewSectionReader(file, 0, file.size)}, buf); err != nil {
			b.Fatal(err)
		}
		plain += time.Since(start)
		b.StartTimer()
		if _, err := bup.ParseAt(file, file.size); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/plain.Seconds(), "x-sha256")
}
