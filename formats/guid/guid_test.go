package guid_test

import (
	"encoding/hex"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// The bytes are those of facts published with edk2-nvidia's capsule GUIDs: text on the left, first bytes on disk.
func TestKnownLayouts(t *testing.T) {
	for text, disk := range map[string]string{
		"bf0d4599-20d4-414e-b2c5-3595b1cda402": "99450dbfd4204e41b2c53595b1cda402",
		"be3f5d68-7654-4ed2-838c-2a2faf901a78": "685d3fbe5476d24e838c2a2faf901a78",
		"3c834404-d2d7-4912-8c1c-6e850b5f2824": "0444833cd7d212498c1c6e850b5f2824",
		"6dcbd5ed-e82d-4c44-bda1-7194199ad92a": "edd5cb6d2de8444cbda17194199ad92a",
	} {
		g, err := guid.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(g[:]); got != disk {
			t.Errorf("Parse(%s) lies on disk as %s, want %s", text, got, disk)
		}
		if g.String() != text {
			t.Errorf("String() = %s, want %s", g, text)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, s := range []string{"", "bf0d4599", "bf0d4599-20d4-414e-b2c5-3595b1cda40", "zf0d4599-20d4-414e-b2c5-3595b1cda402", "bf0d4599-20d4-414e-b2c5-3595b1cda402-"} {
		if _, err := guid.Parse(s); err == nil {
			t.Errorf("Parse(%q) succeeded", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("bf0d4599-20d4-414e-b2c5-3595b1cda402")
	f.Fuzz(func(t *testing.T, s string) {
		g, err := guid.Parse(s)
		if err != nil {
			return
		}
		again, err := guid.Parse(g.String())
		if err != nil || again != g {
			t.Errorf("Parse(%q) = %v, printed and read again %v, %v", s, g, again, err)
		}
	})
}
