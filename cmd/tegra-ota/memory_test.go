package main_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// What a process of a call may take at most, whatever the image's size.
const memoryLimit = 96 << 20

const bigImage = 256 << 20

// pattern is an endless image that differs from chunk to chunk and compresses well.
type pattern struct{ at int64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(p.at >> 20)
		p.at++
	}
	return len(b), nil
}

func TestMemoryIsConstant(t *testing.T) {
	orin := device(t, "--app-size", "256M")
	h := sha256.New()
	if _, err := io.CopyN(h, &pattern{}, bigImage); err != nil {
		t.Fatal(err)
	}
	args := []string{"install", "--partition", "APP", "--size", fmt.Sprint(bigImage), "--sha256", fmt.Sprintf("%x", h.Sum(nil))}
	for _, compressor := range [][]string{{"cat"}, {"zstd", "-q", "-c"}, {"zstd", "-q", "-c", "-T2", "-12"}} {
		t.Run(fmt.Sprint(compressor), func(t *testing.T) {
			c := start(t, orin, "tegra-image", args...)
			peak := make(chan int64, 1)
			worker := c.worker()
			go func() { peak <- highWater(worker) }()
			feeder := exec.Command(compressor[0], compressor[1:]...)
			feeder.Stdin, feeder.Stdout = io.LimitReader(&pattern{}, bigImage), c.stdin
			if err := feeder.Run(); err != nil {
				t.Fatal(err)
			}
			_ = c.stdin.Close()
			if got := c.end(); got != 0 {
				t.Fatalf("exit %d: %s", got, c.stderr.String())
			}
			got := <-peak
			t.Logf("%d MiB at the peak for an image of %d MiB", got>>20, bigImage>>20)
			if got < 4<<20 || got > memoryLimit {
				t.Errorf("%d MiB at the peak, want at most %d MiB", got>>20, memoryLimit>>20)
			}
		})
	}
}

var vmHWM = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// highWater watches a process to its end and returns its largest resident set. wait4's ru_maxrss would hold the test's
// own from before exec.
func highWater(pid int) int64 {
	var peak int64
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		m := vmHWM.FindSubmatch(b)
		if err != nil || m == nil {
			return peak
		}
		if kib, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
			peak = max(peak, kib<<10)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
