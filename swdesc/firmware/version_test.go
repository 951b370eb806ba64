package firmware_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
)

// byPython is an image VER whose checksum Python computed, as the flash tools do.
const byPython = `
import sys, zlib
body = b"NV4\n# R36 , REVISION: 4.3\nBOARDID=3767 BOARDSKU=0005 FAB=300\n20250107173900\n0x240403\n"
sys.stdout.buffer.write(body + b"BYTES:%d CRC32:%X\n" % (len(body), zlib.crc32(body)))
`

func TestVersionText(t *testing.T) {
	raw, err := exec.Command("python3", "-c", byPython).Output()
	if err != nil {
		t.Fatalf("python3: %v", err)
	}
	text := string(raw)
	for _, tt := range []struct{ about, text, want string }{
		{"as written", text, "36.4.3"},
		{"padded to the partition's size", text + strings.Repeat("\x00", 100), "36.4.3"},
		{"without a last line break", strings.TrimSuffix(text, "\n"), "36.4.3"},
		{"lower case", text[:len(text)-9] + strings.ToLower(text[len(text)-9:]), "36.4.3"},
		{"empty", "", "it does not start with NV4"},
		{"R32", strings.Replace(text, "NV4", "NV3", 1), "it does not start with NV4"},
		{"one line", "NV4\n", "it has no line with a checksum"},
		{"cut", text[:strings.Index(text, "BYTES")], "its checksum is no number"},
		{"no mark", strings.Replace(text, "CRC32:", "CRC16:", 1), "its checksum is no number"},
		{"long number", strings.Replace(text, "CRC32:", "CRC32:1", 1), "its checksum is no number"},
		{"changed", strings.Replace(text, "0x240403", "0x240404", 1), "its checksum is wrong"},
		{"a word for the version", string(sealed("NV4\n1\n2\n3\nlater\n")), "its version word is no number of 32 bits"},
		{"33 bits", string(sealed("NV4\n1\n2\n3\n0x100000000\n")), "its version word is no number of 32 bits"},
		{"wrong sum", text[:len(text)-3] + "zz\n", "its checksum is wrong"},
	} {
		v, err := firmware.ParseVersionText([]byte(tt.text))
		got := v.String()
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.about, got, tt.want)
		}
	}
}

// VER is found wherever it lies, also across the chunks in which the package is read, and every one of them counts.
func TestVersionInPackage(t *testing.T) {
	for _, before := range []int{0, 1, 256<<10 - 184*3 - 40 - 50, 300 << 10} {
		pkg, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{
			{Name: "mb1", Data: bytes.Repeat([]byte{0xa5}, before)},
			{Name: "VER", Spec: nano0004, Data: verText(version("36.4.3"))},
			{Name: "VER", Spec: nano0005, Data: verText(version("36.4.0"))},
		}})
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := firmware.Inspect(write(t, pkg), nil)
		if err != nil || r.PackageVersion == nil || *r.Version() != version("36.4.3") {
			t.Errorf("%d bytes before: %+v, %v", before, r, err)
		}
	}
	two := payload{specs: []string{nano0004, nano0005}}.build(t)
	at := bytes.Index(two, []byte("NV4\n"))
	two[at] = 'X'
	r, list, err := firmware.Inspect(write(t, two), nil)
	want := []string{"warning: the bup's image VER cannot be read, it does not start with NV4: firmware will tell 0.0.0 as its version"}
	if err != nil || r.Version() != nil || cmp.Diff(want, of(list, firmware.CheckVersion)) != "" {
		t.Errorf("%+v, %v, %v", r, list, err)
	}
}

// What is kept of a package is bounded by constants: as much of VER as firmware reads, and of sixteen of them.
func TestVersionIsBounded(t *testing.T) {
	long := sealed("NV4\n" + strings.Repeat("#", 8<<10) + "\n2\n3\n0x240403\n")
	if _, err := firmware.ParseVersionText(long); err != nil {
		t.Fatal(err)
	}
	images := make([]bup.Image, 17)
	for i := range images {
		images[i] = bup.Image{Name: "VER", Data: verText(version("36.4.3"))}
	}
	images[16].Data = []byte("NV3\n")
	for _, tt := range []struct {
		about  string
		images []bup.Image
		broken int
	}{
		{"a long one", []bup.Image{{Name: "VER", Data: long}}, 1},
		{"sixteen, of which one is broken", images[1:], 1},
		{"one more", images, 0},
	} {
		pkg, err := bup.BuildBytes(bup.BuildOptions{Images: tt.images})
		if err != nil {
			t.Fatal(err)
		}
		_, list, err := firmware.Inspect(write(t, pkg), nil)
		if err != nil || len(of(list, firmware.CheckVersion)) != tt.broken {
			t.Errorf("%s: %v, %v", tt.about, list, err)
		}
	}
}

func FuzzVersionText(f *testing.F) {
	f.Add(verText(version("36.4.3")))
	f.Add([]byte("NV4\n\n\n\n\nCRC32:0"))
	f.Add([]byte("NV4\n1\n2\n3\n\nBYTES:0 CRC32:"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := firmware.ParseVersionText(raw)
		if err != nil && v != 0 {
			t.Fatalf("%v, %v", v, err)
		}
	})
}
