package main_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// peak is how much memory swdesc may use, in bytes, whatever the size of the images.
const peak = 64 << 20

// TestSpeed measures packing against the two programs that do less: sha256sum of the same files, and cpio -o -H crc. The ratio is
// printed, and judged by a person, because it is the disk's as much as ours; the memory is judged here.
func TestSpeed(t *testing.T) {
	dir := t.TempDir()
	names := []string{"APP.img", "model.bin"}
	for _, name := range names {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(f, rand.Reader, int64(*size)<<20/2); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// Noise is no file system, which is allowed, and the other half is a file because it would be no kernel.
	write(t, filepath.Join(dir, "release.toml"), []byte(`version = "1"
allow = ["rootfs"]
hardware.revisions = ["1.0"]
component = [{ type = "rootfs", file = "APP.img" }, { type = "file", file = "model.bin", path = "/data/model.bin" }]
`))
	in := func(name string, args ...string) (time.Duration, int64) {
		t.Helper()
		c := exec.Command(name, args...)
		c.Dir, c.Stdin = dir, strings.NewReader(strings.Join(names, "\n")+"\n")
		var out strings.Builder
		c.Stdout, c.Stderr = &out, &out
		start := time.Now()
		memory, err := runWatched(t, c)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out.String())
		}
		return time.Since(start), memory
	}
	// The file is synced by swdesc, so cpio's has to be, too.
	sum, _ := in("sha256sum", names...)
	archive, _ := in("sh", "-c", "cpio -o -H crc --quiet -O cpio.swu && sync cpio.swu")
	ours, memory := in(filepath.Join(suite.bin, "swdesc"), "pack", "release.toml", "-o", "ours.swu")
	text := fmt.Sprintf("swdesc pack, %d MiB: %.2f s; sha256sum %.2f s and cpio -o -H crc %.2f s: ratio %.2f; peak memory %d of %d MiB\n", *size,
		ours.Seconds(), sum.Seconds(), archive.Seconds(), ours.Seconds()/(sum+archive).Seconds(), memory>>20, peak>>20)
	orintest.Publish(t, "swdesc-speed", text)
	if memory > peak {
		t.Errorf("swdesc used %d bytes, want at most %d", memory, peak)
	}
}
