package rootfs_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand"
	"os/exec"
	"testing"
	"testing/iotest"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

// image is an arm64 Image: its magic, random bytes, and the banner at an offset.
func image(release string, at int) []byte {
	b := make([]byte, max(at, 64), at+512)
	rand.New(rand.NewSource(1)).Read(b)
	for i := range b {
		b[i] &= 0x0F // so that gzip packs the banner, rather than to store it
	}
	copy(b, "MZ\x00\x00")
	copy(b[56:], "ARM\x64")
	b = append(b, "Linux version %s (%s)\x00Linux version 9.9.9\x00"...)
	if release != "" {
		b = append(b, "Linux version "+release+" (buildbrain@mobile-u64) (aarch64-gcc 11.3) #1 SMP PREEMPT\n\x00"...)
	}
	return append(b, "vermagic=7.7.7-wrong SMP"...)
}

// packed is compressed by gzip itself.
func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	cmd := exec.Command("gzip", "-1", "-c")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	must(t, err)
	return out
}

// android is a boot image as mkbootimg writes it, with a RAM disk behind the kernel.
func android(kernel []byte, version, page uint32) []byte {
	b := make([]byte, page)
	copy(b, "ANDROID!")
	for at, v := range map[int]uint32{8: uint32(len(kernel)), 16: 100, 36: page, 40: version} {
		binary.LittleEndian.PutUint32(b[at:], v)
	}
	b = append(b, kernel...)
	b = append(b, make([]byte, (int(page)-len(b)%int(page))%int(page))...)
	return append(b, "Linux version 8.8.8-ramdisk (not the kernel)"...)
}

func signed(b []byte, magic string, size int) []byte {
	return append(append([]byte(magic), make([]byte, size-len(magic))...), b...)
}

func TestKernelRelease(t *testing.T) {
	const release = "5.15.148-tegra"
	raw := image(release, 200<<10)
	for name, b := range map[string][]byte{
		"raw":                     raw,
		"at the start":            image(release, 0),
		"gzip":                    packed(t, raw),
		"gzip and trailing bytes": append(packed(t, raw), "more"...),
		"android 0":               android(raw, 0, 2048),
		"android 1, gzip":         android(packed(t, raw), 1, 4096),
		"android 2, 64 KiB":       android(packed(t, raw), 2, 64<<10),
		"4 KiB, raw":              signed(raw, "NVDA", 4<<10),
		"8 KiB, raw":              signed(raw, "NVDA", 8<<10),
		"8 KiB, gzip":             signed(packed(t, raw), "NVDA", 8<<10),
		"4 KiB GSHV, android":     signed(android(packed(t, raw), 2, 2048), "GSHV", 4<<10),
		"8 KiB, android":          signed(android(packed(t, raw), 0, 4096), "NVDA", 8<<10),
		"another header":          signed(raw, "MY SIGNATURE", 777),
	} {
		for _, r := range []io.Reader{bytes.NewReader(b), iotest.HalfReader(bytes.NewReader(b)), iotest.DataErrReader(bytes.NewReader(b))} {
			if got, err := rootfs.KernelRelease(r); got != release || err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
	}
}

// The banner is found wherever it lies in what is read at once.
func TestKernelReleaseAtSeams(t *testing.T) {
	for at := 64<<10 - 256; at <= 64<<10+64; at++ {
		if got, err := rootfs.KernelRelease(bytes.NewReader(image("5.15.148-tegra", at))); got != "5.15.148-tegra" || err != nil {
			t.Fatalf("banner after %d bytes: %q, %v", at, got, err)
		}
	}
}

func TestKernelReleaseRefuses(t *testing.T) {
	raw := image("5.15.148-tegra", 200<<10)
	gz := packed(t, raw)
	for name, tt := range map[string]struct {
		bytes     []byte
		noRelease bool
	}{
		"empty":                 {nil, true},
		"no banner":             {image("", 1<<20), true},
		"not ended":             {[]byte("Linux version 5.15.148-tegra"), true},
		"release too long":      {image("5.1"+string(bytes.Repeat([]byte("5"), 62)), 0), true},
		"behind the kernel":     {android(image("", 0), 2, 4096), true},
		"page size of nonsense": {android(nil, 2, 4096)[:60], true},
		"nothing packed":        {append(packed(t, image("", 100)), "Linux version 5.15.0 (behind it)"...), true},
		"cut off":               {gz[:len(gz)/2], false},
		"damaged":               {append(append(bytes.Clone(gz[:500]), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF), gz[520:]...), false},
		"gzip header alone":     {gz[:5], false},
	} {
		got, err := rootfs.KernelRelease(bytes.NewReader(tt.bytes))
		if got != "" || err == nil || errors.Is(err, rootfs.ErrNoRelease) != tt.noRelease || fail.CodeOf(err) != fail.Data {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	broken := errors.New("disk on fire")
	if _, err := rootfs.KernelRelease(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("what the reader said is lost: %v", err)
	}
}

// A few bytes that unpack to a terabyte end at the limit.
func TestKernelReleaseOfABomb(t *testing.T) {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	zeros := make([]byte, 1<<20)
	for i := 0; i < 600; i++ {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.Write(image("5.15.148-tegra", 0))
	must(t, w.Close())
	if got, err := rootfs.KernelRelease(&b); !errors.Is(err, rootfs.ErrNoRelease) {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzKernelRelease(f *testing.F) {
	raw := image("5.15.148-tegra", 100)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = w.Write(raw)
	_ = w.Close()
	f.Add(raw)
	f.Add(gz.Bytes())
	f.Add(android(gz.Bytes(), 2, 2048))
	f.Add(signed(android(raw, 0, 2048), "NVDA", 4096))
	f.Fuzz(func(t *testing.T, b []byte) {
		release, err := rootfs.KernelRelease(bytes.NewReader(b))
		if (release == "") == (err == nil) {
			t.Fatalf("%q, %v", release, err)
		}
		if err == nil && (len(release) > 64 || release[0] < '0' || release[0] > '9') {
			t.Fatalf("%q is no release", release)
		}
		if err != nil && fail.CodeOf(err) != fail.Data {
			t.Fatalf("not the file's fault: %v", err)
		}
	})
}
