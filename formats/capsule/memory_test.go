package capsule_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

const largeSize = 60 << 20

// zeros reads as n zero bytes.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.n))
	clear(p[:n])
	z.n -= int64(n)
	return n, nil
}

// large returns a function that opens a signed capsule with one image of 60 MiB of zeros, of which only the head is in
// memory.
func large(t testing.TB) func() io.Reader {
	t.Helper()
	b, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{{Name: "mb1", Data: make([]byte, largeSize)}}})
	if err != nil {
		t.Fatal(err)
	}
	raw := build(t, capsule.BuildOptions{BUP: b})
	head := bytes.Clone(raw[:len(raw)-largeSize])
	return func() io.Reader { return io.MultiReader(bytes.NewReader(head), &zeros{largeSize}) }
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

// A capsule of 60 MiB is read, hashed and verified within a small part of that.
func TestMemory(t *testing.T) {
	const limit = 16 << 20
	open := large(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := &sampler{r: open()}
	c, err := capsule.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if c.Size < largeSize {
		t.Errorf("%d bytes", c.Size)
	}
	total := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d KiB allocated in all, peak %d KiB over %d KiB", total>>10, int64(s.peak-before.HeapAlloc)>>10, before.HeapAlloc>>10)
	if s.peak > before.HeapAlloc+limit || total > limit {
		t.Errorf("peak %d bytes, before %d, %d allocated; want at most %d more", s.peak, before.HeapAlloc, total, limit)
	}
}

// A short file may claim the largest signature and the largest size, and still gets no more than that signature.
func TestMemoryOfMalformed(t *testing.T) {
	raw := build(t, capsule.BuildOptions{})
	le := binary.LittleEndian
	le.PutUint32(raw[24:], 0xfffffff0)
	le.PutUint32(raw[72:], 0xfffffff0-88)
	le.PutUint32(raw[96:], 24+capsule.MaxSignature)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := capsule.Parse(bytes.NewReader(raw))
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("parsed")
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes allocated", n)
	}
}

// BenchmarkParse tells the speed, and how much longer than a plain SHA-256 of the same bytes it takes: each byte is
// hashed twice, for its image and for the signature.
func BenchmarkParse(b *testing.B) {
	open := large(b)
	plain := time.Duration(0)
	buf := make([]byte, 256<<10)
	b.SetBytes(largeSize)
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		start := time.Now()
		if _, err := io.CopyBuffer(struct{ io.Writer }{sha256.New()}, struct{ io.Reader }{open()}, buf); err != nil {
			b.Fatal(err)
		}
		plain += time.Since(start)
		b.StartTimer()
		if _, err := capsule.Parse(open()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/plain.Seconds(), "x-sha256")
}
