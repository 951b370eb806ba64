package image_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// BenchmarkInstall writes an image into a slot and compares with the least that could be done: hash, write, sync. The
// ratio is of the same run, so that it says the same on every machine; read-back is what makes it more than 1.
func BenchmarkInstall(b *testing.B) {
	const size = 64 * mib
	plain := noise(size, "bench")
	dir := filepath.Join(b.TempDir(), "orin")
	if _, err := virtual.Create(dir, virtual.CreateOptions{AppSize: size, ImageSize: 256}); err != nil {
		b.Fatal(err)
	}
	o := orin{b, dir, device.New(dir)}
	floor, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	defer floor.Close()
	opts := announced(plain)
	var least, ours time.Duration
	b.SetBytes(size)
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		h := sha256.New()
		for at := 0; at < size; at += mib {
			h.Write(plain[at : at+mib])
			if _, err := floor.WriteAt(plain[at:at+mib], int64(at)); err != nil {
				b.Fatal(err)
			}
		}
		h.Sum(nil)
		if err := floor.Sync(); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := o.stream(bytes.NewReader(plain), opts); err != nil {
			b.Fatal(err)
		}
		least, ours = least+middle.Sub(begin), ours+time.Since(middle)
	}
	b.ReportMetric(ours.Seconds()/least.Seconds(), "ratio")
}
