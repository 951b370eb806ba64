package rootfs

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"regexp"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// ErrNoRelease is wrapped in KernelRelease's error when the bytes name no release: it may be a kernel packed in a way not known here.
var ErrNoRelease = errors.New(`no "Linux version" in the kernel`)

const (
	gzipMagic      = "\x1f\x8b\x08"
	zstdMagic      = "\x28\xb5\x2f\xfd"
	lz4Magic       = "\x04\x22\x4d\x18"
	lz4LegacyMagic = "\x02\x21\x4c\x18" // what the kernel's own build makes (Linux, scripts/Makefile.lib, cmd_lz4)
	androidMagic   = "ANDROID!"
	arm64Magic     = "ARM\x64" // at arm64MagicAt (Linux, Documentation/arch/arm64/booting.rst)
	arm64MagicAt   = 56
	maxAndroid     = 2        // header versions with a page size; later ones have another layout
	peekSize       = 72 << 10 // more than the largest signing header and page together
)

// linuxBanner is the kernel's first message (Linux, init/version.c, linux_banner): "Linux version 5.15.148-tegra (user@host) (...".
// A module's vermagic has the release too, but that is what the module wants, not what the kernel is.
var linuxBanner = regexp.MustCompile(`Linux version ([0-9]+\.[0-9][0-9A-Za-z._+~-]{0,61}) \(`)

// bannerSize is the longest match of linuxBanner, in bytes, and then some.
const bannerSize = 128

// KernelRelease finds a kernel's release, "5.15.148-tegra", in an arm64 Image, plain or compressed with gzip, alone or in an Android
// boot image of header version 0 to 2, with or without NVIDIA's signing header of 4 or 8 KiB in front. It reads the stream once,
// and only as far as it must, in constant memory. The error wraps ErrNoRelease if there is none, and has exit code 65 for a damaged
// gzip stream as well.
func KernelRelease(r io.Reader) (string, error) {
	in := bufio.NewReaderSize(r, peekSize)
	head, _ := in.Peek(16 << 10) // an error comes back with the next read
	if isSigned(head) {
		for _, size := range signingHeaders {
			if len(head) > size && isKernel(head[size:]) {
				_, _ = in.Discard(size)
				break
			}
		}
	}
	var kernel io.Reader = in
	if head, _ := in.Peek(48); len(head) == 48 && bytes.HasPrefix(head, []byte(androidMagic)) {
		// struct boot_img_hdr_v2 of Android's bootimg.h: the kernel starts with the second page.
		size, page := binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[36:])
		if version := binary.LittleEndian.Uint32(head[40:]); version <= maxAndroid && page >= 2048 && page <= 64<<10 {
			_, _ = in.Discard(int(page))
			kernel = io.LimitReader(in, int64(size))
		}
	}
	packed := bufio.NewReader(kernel)
	if head, _ := packed.Peek(len(gzipMagic)); string(head) != gzipMagic {
		return findBanner(packed)
	}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return "", gzipError(err)
	}
	unpacked.Multistream(false)
	release, err := findBanner(io.LimitReader(unpacked, maxKernel))
	return release, gzipError(err)
}

// isKernel says whether a signing header ends here.
func isKernel(b []byte) bool {
	return bytes.HasPrefix(b, []byte(androidMagic)) || bytes.HasPrefix(b, []byte(gzipMagic)) ||
		len(b) > arm64MagicAt && bytes.HasPrefix(b[arm64MagicAt:], []byte(arm64Magic))
}

// gzipError tells a damaged stream, which is the file's fault, from one that cannot be read.
func gzipError(err error) error {
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &corrupt) {
		return malformed("cannot decompress kernel: %v", err)
	}
	return err
}

func findBanner(r io.Reader) (string, error) {
	buf := make([]byte, 0, 64<<10)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) == cap(buf) || err != nil {
			if m := linuxBanner.FindSubmatch(buf); m != nil {
				return string(m[1]), nil
			}
			buf = buf[:copy(buf, buf[max(0, len(buf)-bannerSize):])]
		}
		if err == io.EOF {
			return "", fail.New(fail.Data, "cannot find the kernel's release: %w", ErrNoRelease)
		}
		if err != nil {
			return "", err
		}
	}
}
