package check

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// maxWindow bounds the decoder's memory. It is the limit of the device's tegra-image and of libzstd in SWUpdate.
const maxWindow = 128 << 20

// The first bytes of compressed files.
var magics = []struct{ name, magic string }{
	{"zstd", "\x28\xB5\x2F\xFD"},
	{"zlib", "\x1F\x8B"}, // gzip's: SWUpdate's "zlib" is that (core/cpio_utils.c)
	{"xz", "\xFD7zX"},
	{"lz4", "\x04\x22\x4D\x18"},
}

// compressionOf names the compression of a file that starts so, or returns "".
func compressionOf(start []byte) string {
	for _, m := range magics {
		if bytes.HasPrefix(start, []byte(m.magic)) {
			return m.name
		}
	}
	return ""
}

// measurement is what a member is behind its compression, for the entries of tegra-image or tegra-bup that name it.
type measurement struct {
	entries []*item
	size    int64  // of the plain image
	more    bool   // it has more than size bytes, the largest number that was announced
	digest  string // of the plain image; "" if it has more
	corrupt error  // it cannot be decompressed
	invalid error  // it is no firmware
	bare    bool   // it is a BUP without its capsule
}

// measure reads a member as far as needed; what is left, and errors of the archive, are for the caller.
func (a *archive) measure(name string, stored io.Reader) *measurement {
	m := &measurement{entries: a.description.tegraEntries(name)}
	if len(m.entries) == 0 {
		return nil
	}
	first := m.entries[0]
	if first.tooLarge() {
		return nil
	}
	plain, end, err := decompress(first.Compressed, stored)
	if plain != nil {
		plain = interruptible{a.ctx, plain}
	}
	switch {
	case err != nil:
		m.corrupt = err
	case plain == nil:
		return nil // a compression that is not read here
	case first.kind() == tegraBUP:
		defer end()
		m.firmware(plain)
	default:
		defer end()
		m.image(plain, a.buffer)
	}
	return m
}

// tegraEntries returns the entries of our types for a member that is not encrypted: several selections may have one each. Those
// that read it in another way than the first are left out, the member is read only once.
func (c *checker) tegraEntries(name string) []*item {
	if c.byName == nil {
		c.byName = map[string][]*item{}
		for _, it := range c.items {
			kind, before := it.kind(), c.byName[it.Filename]
			if kind != tegraImage && kind != tegraBUP || it.Encrypted != "" {
				continue
			}
			if len(before) == 0 || before[0].kind() == kind && before[0].Compressed == it.Compressed {
				c.byName[it.Filename] = append(before, it)
			}
		}
	}
	return c.byName[name]
}

// maxPlain is larger than any image of a partition: what announces more is an error of its own, and is not decompressed.
const maxPlain = 256 << 30

func (it *item) tooLarge() bool {
	n, ok := it.announced()
	return ok && n > maxPlain
}

// announced returns the property "size"; false if it is none, which is reported elsewhere.
func (it *item) announced() (int64, bool) {
	text, _ := it.Property("size")
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0
}

// decompress returns the plain bytes of a member, nil if its compression is not known here. What is not declared as compressed
// and is zstd all the same is decompressed on the device, too (internal/source).
func decompress(compressed string, stored io.Reader) (plain io.Reader, end func(), err error) {
	in := bufio.NewReaderSize(stored, 64<<10)
	start, _ := in.Peek(4) // an error comes back with the next read
	if compressed == "" && compressionOf(start) == "zstd" {
		compressed = "zstd"
	}
	switch compressed {
	case "":
		return in, func() {}, nil
	case "zstd":
		// With a concurrency of 1 it decodes where it is read, without goroutines that read ahead.
		d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case "zlib":
		d, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		d.Multistream(false) // SWUpdate stops at the end of the first
		return d, func() {}, nil
	}
	return nil, nil, nil
}

// image measures the plain image, as far as it was announced: a file of some KiB may decompress to terabytes.
func (m *measurement) image(plain io.Reader, buffer []byte) {
	limit := int64(0)
	for _, it := range m.entries {
		if n, ok := it.announced(); ok {
			limit = max(limit, n)
		}
	}
	digest := sha256.New()
	m.size, m.corrupt = io.CopyBuffer(struct{ io.Writer }{digest}, io.LimitReader(plain, limit), buffer)
	if m.corrupt != nil {
		return
	}
	var one [1]byte
	n, err := io.ReadFull(plain, one[:])
	if err != nil && err != io.EOF {
		m.corrupt = err
	}
	if m.more = n > 0; !m.more {
		m.digest = hex.EncodeToString(digest.Sum(nil))
	}
}

// firmware reads a capsule, or a BUP.
func (m *measurement) firmware(plain io.Reader) {
	in := bufio.NewReaderSize(plain, 64<<10)
	start, _ := in.Peek(16)
	if m.bare = bup.IsBUP(start); m.bare {
		_, m.invalid = bup.Parse(in)
		return
	}
	_, m.invalid = capsule.Parse(in)
}
