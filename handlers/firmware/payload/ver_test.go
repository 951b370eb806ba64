package payload_test

import (
	"fmt"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// sealed adds the last line of NV4.
func sealed(text string) string {
	return fmt.Sprintf("%sBYTES:%d CRC32:%08X\n", text, len(text), crc32.ChecksumIEEE([]byte(text)))
}

// The checksum was computed by cksum of GNU coreutils 9.1, not by us.
const nv3sum = "NV3\n# R32 , REVISION: 4.3\nBOARDID=3668 BOARDSKU=0000 FAB=100\n20200626210030\nBYTES:76 CRC32:894293239\n"

func TestVERSaysTheRelease(t *testing.T) {
	const v3261 = capsule.Version(32<<16 | 6<<8 | 1)
	for _, tt := range []struct {
		name, text string
		want       payload.VER
	}{
		{"NV1", "NV1\n# R28 , REVISION: 2.1\n", payload.VER{Format: 1, Version: 28<<16 | 2<<8 | 1}},
		{"NV1 without a last line end", "NV1\n# R28 , REVISION: 2.1", payload.VER{Format: 1, Version: 28<<16 | 2<<8 | 1}},
		{"NV2", "NV2\n# R32 , REVISION: 1.0\nBOARDID=3310\n", payload.VER{Format: 2, Version: 32<<16 | 1<<8, Board: "BOARDID=3310"}},
		{"NV3", nv3sum, payload.VER{Format: 3, Version: 32<<16 | 4<<8 | 3, Board: "BOARDID=3668 BOARDSKU=0000 FAB=100", Built: "20200626210030"}},
		{"NV4", nv4("32.6.1"), payload.VER{Format: 4, Version: v3261, Board: "BOARDID=2888 BOARDSKU=0004 FAB=400", Built: "20210603224448"}},
		{"padded", nv4("32.6.1") + strings.Repeat("\x00", 400), payload.VER{Format: 4, Version: v3261, Board: "BOARDID=2888 BOARDSKU=0004 FAB=400", Built: "20210603224448"}},
	} {
		got, err := payload.ParseVER([]byte(tt.text))
		if d := cmp.Diff(tt.want, got); err != nil || d != "" {
			t.Errorf("%s: %v %s", tt.name, err, d)
		}
	}
}

func TestVERRefuses(t *testing.T) {
	good := nv4("32.6.1")
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "format at offset 0"},
		{"another format", "NV5\n# R32 , REVISION: 6.1\n", "want NV1 to NV4"},
		{"no release", "NV1\nR32\n", "release at offset 4"},
		{"a revision that is none", "NV1\n# R32 , REVISION: x.1\n", "release at offset 4"},
		{"no board", "NV2\n# R32 , REVISION: 6.1\n", "board"},
		{"a time that is none", strings.Replace(good, "2021060", "2021O60", 1), "time"},
		{"another version word", strings.Replace(good, "0x00200601", "0x00200602", 1), "version word"},
		{"a byte changed", strings.Replace(good, "BOARDSKU=0004", "BOARDSKU=0005", 1), "CRC32"},
		{"another length", strings.Replace(good, "BYTES:", "BYTES:1", 1), "BYTES"},
		{"no checksum", good[:strings.Index(good, "BYTES")], "want BYTES"},
		{"NV3 with the checksum of NV4", sealed(strings.SplitAfter(nv3sum, "30\n")[0]), "CRC32"},
		{"NV3, a byte changed", strings.Replace(nv3sum, "FAB=100", "FAB=101", 1), "CRC32"},
	} {
		got, err := payload.ParseVER([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || fail.CodeOf(err) != fail.Data {
			t.Errorf("%s: %v %v, want ...%s...", tt.name, got, err, tt.want)
		}
	}
}

// Whatever is accepted reads the same when nothing but padding is added, and its error texts are one line.
func FuzzParseVER(f *testing.F) {
	f.Add([]byte(nv4("32.6.1")))
	f.Add([]byte(nv3sum))
	f.Add([]byte("NV1\n# R28 , REVISION: 2.1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := payload.ParseVER(text)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("%q", err)
			}
			return
		}
		again, err := payload.ParseVER(append(append([]byte{}, text...), 0, 0))
		if err != nil || again != v || v.Format < 1 || v.Format > 4 {
			t.Errorf("%v, padded %v %v", v, again, err)
		}
	})
}
