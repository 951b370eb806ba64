package cpio_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
)

const (
	largeSize = 1 << 30
	heapLimit = 8 << 20
)

// zeros is an endless reader that watches the heap: it samples once per 32 MiB, as sampling stops the world.
type zeros struct {
	read, sampled int64
	peak          uint64
}

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.read += int64(len(p))
	if z.read-z.sampled >= 32<<20 || z.sampled == 0 {
		z.sample()
	}
	return len(p), nil
}

func (z *zeros) sample() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	z.peak, z.sampled = max(z.peak, m.HeapAlloc), z.read
}

// A member of 1 GiB is written and read without holding it.
func TestMemory(t *testing.T) {
	for _, f := range formats {
		runtime.GC()
		watch := &zeros{}
		h := cpio.Header{Name: "a", Size: largeSize}
		if err := cpio.NewWriter(io.Discard, f).WriteMember(h, io.LimitReader(watch, largeSize)); err != nil {
			t.Fatal(err)
		}
		watch.sample()
		if watch.peak > heapLimit || watch.read != largeSize {
			t.Errorf("writing %v: %d bytes of heap for %d bytes", f, watch.peak, watch.read)
		}

		runtime.GC()
		watch = &zeros{}
		head := with(string(archive(t, f, member{"a", ""})), 54, "40000000")
		r := cpio.NewReader(io.MultiReader(strings.NewReader(head[:112]), io.LimitReader(watch, largeSize), strings.NewReader(head[112:])))
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, r, largeSize/2); err != nil || n != largeSize/2 {
			t.Fatal(n, err)
		}
		if _, err := r.Next(); err != io.EOF { // drains the other half
			t.Fatal(err)
		}
		watch.sample()
		if watch.peak > heapLimit || watch.read != largeSize {
			t.Errorf("reading %v: %d bytes of heap for %d bytes", f, watch.peak, watch.read)
		}
	}
}

// A header that promises 4 GiB, and names that fill the set, cost no more either.
func TestHostileMemory(t *testing.T) {
	huge := with(plain("a", ""), 54, "FFFFFFFF")
	var many bytes.Buffer
	for i := range cpio.MaxMembers + 1 {
		name := []byte(strings.Repeat("l", cpio.MaxName))
		name[0], name[1] = 'a'+byte(i%26), 'a'+byte(i/26%26)
		name[2] = 'a' + byte(i/26/26)
		many.WriteString(plain(string(name), ""))
	}
	for want, in := range map[string][]byte{"truncated": []byte(huge), "more than 4096": many.Bytes()} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := skim(bytes.NewReader(in))
		runtime.ReadMemStats(&after)
		wantMalformed(t, err, want)
		if used := after.TotalAlloc - before.TotalAlloc; used > heapLimit {
			t.Errorf("%s: %d bytes were allocated", want, used)
		}
	}
}

// FuzzReader: nothing panics, every error that is not the end is the file's fault, and what is taken is written to an archive
// that is taken again as the same.
func FuzzReader(f *testing.F) {
	for _, format := range formats {
		f.Add(archive(f, format, member{"sw-description", "software = {}"}, member{"a", ""}, member{"bbb", "12345"}))
	}
	f.Add([]byte(with(plain("a", "x"), 54, "FFFFFFFF")))
	f.Add([]byte(plain("../a", "x") + plain("TRAILER!!!", "")))
	f.Add([]byte("070707"))
	f.Fuzz(func(t *testing.T, in []byte) {
		members, r, _, err := read(bytes.NewReader(in))
		_, skimErr := skim(bytes.NewReader(in))
		if (err == nil) != (skimErr == nil) {
			t.Fatalf("with data: %v; without: %v", err, skimErr)
		}
		if err != nil {
			wantMalformed(t, err, "cannot read cpio archive: at offset ")
			return
		}
		again, _, trailing, err := read(bytes.NewReader(archive(t, r.Format(), members...)))
		if err != nil || trailing != 0 || len(again) != len(members) {
			t.Fatalf("%d members, %d bytes behind: %v", len(again), trailing, err)
		}
		for i := range members {
			if again[i] != members[i] {
				t.Errorf("member %d is %q, was %q", i, again[i], members[i])
			}
		}
	})
}
