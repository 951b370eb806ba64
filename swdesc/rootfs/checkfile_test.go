package rootfs_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/rootfs"
)

func TestCheckKernelFile(t *testing.T) {
	bare := problem.List{problem.Warnf("kernel-image", "it is a bare kernel, and UEFI boots only an Android boot image from the kernel partition").
		Then("name the boot image that the build makes, boot.img; a bare kernel belongs into /boot of the root file system")}
	silent := problem.List{problem.Warnf("kernel-modules", "the kernel does not say which release it is, so its modules are not compared")}
	neither := func(kind string) problem.List {
		return problem.List{problem.Errorf("kernel-image", "it is neither a kernel nor a boot image: it is %s", kind).
			Then("name the boot image that the build makes for the partition kernel, boot.img")}
	}
	unknown := func(begins string) problem.List {
		return neither("of a kind that swdesc does not know; it begins with " + begins)
	}
	raw, mute := image("5.15.148-tegra", 100<<10), image("", 100<<10)
	onlyEFI, onlyARM64 := bytes.Clone(mute), bytes.Clone(mute)
	copy(onlyEFI[56:], "none")
	copy(onlyARM64, "none")
	packed := func(script string) []byte {
		b, err := os.ReadFile(made(t, "yes kernel | head -c 99999 >Image; "+script))
		must(t, err)
		return b
	}
	zeros := make([]byte, 70<<10)
	for name, tt := range map[string]struct {
		content []byte
		release string
		found   problem.List
	}{
		"kernel":                     {raw, "5.15.148-tegra", bare},
		"boot image":                 {android(raw, 2, 4096), "5.15.148-tegra", nil},
		"release behind zeros":       {append(bytes.Clone(zeros), "Linux version 6.1.0 (x@y)\x00"...), "6.1.0", bare},
		"release and nothing else":   {[]byte("Linux version 6.1.0 (x@y)\x00"), "6.1.0", bare},
		"arm64 without EFI":          {onlyARM64, "", append(bare[:1:1], silent...)},
		"EFI, as a zboot kernel":     {onlyEFI, "", append(bare[:1:1], silent...)},
		"silent kernel":              {mute, "", append(bare[:1:1], silent...)},
		"silent boot image":          {android(mute, 2, 4096), "", silent},
		"boot image of version 4":    {android(mute, 4, 4096)[:100<<10], "", silent},
		"gzip":                       {packed("gzip -c Image >out"), "", append(bare[:1:1], silent...)},
		"lz4":                        {packed("lz4 -c Image >out"), "", append(bare[:1:1], silent...)},
		"lz4 of the kernel's build":  {packed("lz4 -l -c Image >out"), "", append(bare[:1:1], silent...)},
		"zstd":                       {packed("zstd -c Image >out"), "", append(bare[:1:1], silent...)},
		"xz":                         {packed("xz -0 -c Image >out"), "", append(bare[:1:1], silent...)},
		"lzma":                       {packed("xz -0 --format=lzma -c Image >out"), "", append(bare[:1:1], silent...)},
		"bzip2":                      {packed("bzip2 -c Image >out"), "", append(bare[:1:1], silent...)},
		"lzo":                        {append([]byte("\x89LZO\x00\r\n\x1a\n"), zeros...), "", append(bare[:1:1], silent...)},
		"encrypted, T194":            {signed(zeros, "GSHV", 4<<10), "", silent},
		"encrypted, T234":            {signed(zeros, "NVDA", 8<<10), "", silent},
		"signing header alone":       {signed(nil, "NVDA", 4<<10), "", unknown("4e56444100000000")},
		"empty":                      {nil, "", neither("empty")},
		"zeros":                      {zeros, "", unknown("0000000000000000")},
		"text":                       {[]byte("hello\n"), "", unknown("68656c6c6f0a")},
		"ext4":                       {packed("mv ext4 out"), "", unknown("0000000000000000")},
		"squashfs":                   {packed("mksquashfs Image out -quiet -no-progress"), "", neither("squashfs")},
		"device tree":                {dtb(), "", neither("a flattened device tree")},
		"tar":                        {packed("tar cf out Image"), "", neither("a tar archive")},
		"magic at another place":     {append([]byte("xx"), "ANDROID!"...), "", unknown("7878414e44524f49")},
		"arm64 magic cut off":        {mute[2:59], "", unknown("0000" + hexOf(mute[4:10]))},
		"ELF without a known banner": {append([]byte("\x7fELF"), zeros...), "", neither("an ELF program")},
	} {
		for _, r := range []io.Reader{bytes.NewReader(tt.content), iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(tt.content)))} {
			release, found, err := rootfs.CheckKernelFile(r)
			if diff := cmp.Diff(tt.found, found); diff != "" || release != tt.release || err != nil {
				t.Errorf("%s: %q, %v %s", name, release, err, diff)
			}
		}
	}
	broken := errors.New("disk on fire")
	if _, found, err := rootfs.CheckKernelFile(iotest.ErrReader(broken)); !errors.Is(err, broken) || found != nil {
		t.Errorf("a reader that fails: %v, %v", found, err)
	}
	if _, found, err := rootfs.CheckKernelFile(strings.NewReader("\x1f\x8b\x08\x00cut")); fail.CodeOf(err) != fail.Data || found != nil {
		t.Errorf("damaged: %v, %v", found, err)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var s strings.Builder
	for _, c := range b {
		s.WriteByte(digits[c>>4])
		s.WriteByte(digits[c&15])
	}
	return s.String()
}

// dtb is a tree with an empty root node, laid out as dtc does it: header, reservations, nodes, strings.
func dtb() []byte {
	b := make([]byte, 80)
	for i, v := range []uint32{0xd00dfeed, 80, 56, 72, 40, 17, 16, 0, 8, 16} {
		binary.BigEndian.PutUint32(b[4*i:], v)
	}
	for i, v := range []uint32{1, 0, 2, 9} { // FDT_BEGIN_NODE, "", FDT_END_NODE, FDT_END
		binary.BigEndian.PutUint32(b[56+4*i:], v)
	}
	copy(b[72:], "status\x00")
	return b
}

func TestCheckDeviceTree(t *testing.T) {
	with := func(fields ...uint32) []byte { // pairs of index and value
		b := dtb()
		for i := 0; i < len(fields); i += 2 {
			binary.BigEndian.PutUint32(b[4*fields[i]:], fields[i+1])
		}
		return b
	}
	const tree, no = "error (device-tree): the device tree ", "error (device-tree): it is no flattened device tree: "
	const encrypted = "warning (device-tree): it has NVIDIA's signing header and no device tree behind it: " +
		"it may be encrypted, and was not checked"
	const odd = "it is of a kind that swdesc does not know; it begins with "
	const know = ": those of devices know 17"
	padded := append(dtb(), make([]byte, 200<<10)...)
	for name, tt := range map[string]struct {
		content []byte
		want    string
	}{
		"whole":                    {dtb(), ""},
		"padding or signature":     {padded, ""},
		"behind 4 KiB":             {signed(dtb(), "GSHV", 4<<10), ""},
		"behind 8 KiB":             {signed(dtb(), "NVDA", 8<<10), ""},
		"room in it":               {append(with(1, 200), make([]byte, 120)...), ""},
		"larger than is peeked at": {append(with(1, 200<<10), padded...), ""},
		"version 16":               {with(5, 16, 9, 1<<31), ""},
		"encrypted":                {signed(padded[100:], "NVDA", 8<<10), encrypted},
		"behind 6 KiB":             {signed(dtb(), "NVDA", 6<<10), encrypted},
		"another header":           {signed(dtb(), "XXXX", 8<<10), no + odd + "5858585800000000"},
		"header alone":             {signed(nil, "NVDA", 4<<10), no + odd + "4e56444100000000"},
		"empty":                    {nil, no + "it is empty"},
		"source":                   {[]byte("/dts-v1/;\n/ { };\n"), no + odd + "2f6474732d76312f"},
		"kernel":                   {image("5.15.1", 0), no + "it is a kernel"},
		"packed":                   {packed(t, dtb()), no + "it is compressed with gzip"},
		"magic alone":              {dtb()[:4], tree + "is cut off in its header, after 4 bytes"},
		"header cut off":           {dtb()[:39], tree + "is cut off in its header, after 39 bytes"},
		"cut off":                  {dtb()[:79], tree + "is cut off: it has 79 of 80 bytes"},
		"cut off behind":           {signed(dtb()[:79], "NVDA", 8<<10), tree + "is cut off: it has 79 of 80 bytes"},
		"huge":                     {with(1, 1<<32-1), tree + "is cut off: it has 80 of 4294967295 bytes"},
		"too small":                {with(1, 39), tree + "is damaged: its reservations are bytes 40 to 40 of 39"},
		"of the future":            {with(5, 18, 6, 18), tree + "is of version 18, for readers of version 18" + know},
		"new and readable":         {with(5, 18, 6, 17), ""},
		"no version":               {with(5, 15), tree + "is of version 15, for readers of version 16" + know},
		"nodes":                    {with(9, 25), tree + "is damaged: its nodes are bytes 56 to 81 of 80"},
		"nodes in header":          {with(2, 36), tree + "is damaged: its nodes are bytes 36 to 52 of 80"},
		"strings":                  {with(8, 9), tree + "is damaged: its strings are bytes 72 to 81 of 80"},
		"strings overflow":         {with(8, 1<<32-1), tree + "is damaged: its strings are bytes 72 to 4294967367 of 80"},
		"strings in header":        {with(3, 39), tree + "is damaged: its strings are bytes 39 to 47 of 80"},
		"reservations":             {with(4, 81), tree + "is damaged: its reservations are bytes 81 to 81 of 80"},
	} {
		for _, r := range []io.Reader{bytes.NewReader(tt.content), iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(tt.content)))} {
			found, err := rootfs.CheckDeviceTree(r)
			if got := strings.Join(texts(found), "\n"); got != tt.want || err != nil {
				t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, tt.want)
			}
			if found.Errors() == 1 && found[0].NextStep == "" {
				t.Errorf("%s: no next step", name)
			}
		}
	}
	broken := errors.New("disk on fire")
	if found, err := rootfs.CheckDeviceTree(iotest.ErrReader(broken)); !errors.Is(err, broken) || found != nil {
		t.Errorf("a reader that fails: %v, %v", found, err)
	}
}

func FuzzCheckDeviceTree(f *testing.F) {
	f.Add(dtb())
	f.Add(signed(dtb(), "NVDA", 8<<10))
	f.Add(dtb()[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		found, err := rootfs.CheckDeviceTree(bytes.NewReader(b))
		if err != nil || len(found) > 1 || len(found) == 1 && strings.ContainsAny(found[0].String(), "\n\x1b") {
			t.Fatalf("%q, %v", texts(found), err)
		}
		if len(found) == 0 && !bytes.Contains(b, []byte("\xd0\x0d\xfe\xed")) {
			t.Fatal("no tree, and no finding")
		}
		// No file is known less by the bytes that follow it.
		if longer, _ := rootfs.CheckDeviceTree(bytes.NewReader(append(bytes.Clone(b), 0))); len(found) == 0 && len(longer) != 0 {
			t.Fatalf("with padding: %q", texts(longer))
		}
	})
}
