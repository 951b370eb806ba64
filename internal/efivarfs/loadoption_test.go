package efivarfs_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// The nodes are written out by the tables of the UEFI specification 2.10, section 10.3.
const (
	pciRoot   = "02010c00d041030a00000000"
	pci       = "010106000001"
	nvme      = "0317100001000000" + "0011223344556677"
	endNode   = "7fff0400"
	endOfOne  = "7f010400"
	filePath  = "04041c00" + "5c004500460049005c0042004f004f0054000000" + "00000000"
	firmware  = "04061400" + "00112233445566778899aabbccddeeff"
	hardDrive = "04012a00" + "0a000000" + "2810000000000000" + "0008000000000000" + "0a00aaaa0000004080000000aaaaaaaa" + "02" + "02"
)

// option builds an EFI_LOAD_OPTION.
func option(t testing.TB, description, path string) []byte {
	t.Helper()
	p, err := hex.DecodeString(path)
	if err != nil {
		t.Fatal(err)
	}
	b := []byte{1, 0, 0, 0, byte(len(p)), byte(len(p) >> 8)}
	for _, c := range append(utf16.Encode([]rune(description)), 0) {
		b = append(b, byte(c), byte(c>>8))
	}
	return append(b, p...)
}

func hd(part uint32) *efivarfs.HardDrive {
	var g guid.GUID
	raw, _ := hex.DecodeString("0a00aaaa0000004080000000aaaaaaaa")
	copy(g[:], raw)
	return &efivarfs.HardDrive{Partition: part, Start: 0x1028, Size: 0x800, GUID: g}
}

func TestParseLoadOption(t *testing.T) {
	mbr := hardDrive[:len(hardDrive)-4] + "0101"
	for _, tt := range []struct {
		name string
		data []byte
		want efivarfs.LoadOption
	}{
		{"full path", option(t, "Linux", pciRoot+pci+nvme+hardDrive+filePath+endNode), efivarfs.LoadOption{Attributes: 1, Description: "Linux", HardDrive: hd(10)}},
		{"short path", option(t, "Grüße 𝄞", hardDrive+filePath+endNode), efivarfs.LoadOption{Attributes: 1, Description: "Grüße 𝄞", HardDrive: hd(10)}},
		{"optional data behind", append(option(t, "x", hardDrive+endNode), "WINDOWS"...), efivarfs.LoadOption{Attributes: 1, Description: "x", HardDrive: hd(10)}},
		{"whole disk", option(t, "UEFI NVMe", pciRoot+pci+nvme+endNode), efivarfs.LoadOption{Attributes: 1, Description: "UEFI NVMe"}},
		{"firmware volume", option(t, "UiApp", firmware+endNode), efivarfs.LoadOption{Attributes: 1, Description: "UiApp"}},
		{"only in a second path", option(t, "x", nvme+endOfOne+hardDrive+endNode), efivarfs.LoadOption{Attributes: 1, Description: "x"}},
		{"no path", option(t, "", ""), efivarfs.LoadOption{Attributes: 1}},
		{"MBR", option(t, "x", mbr+endNode), efivarfs.LoadOption{Attributes: 1, Description: "x", HardDrive: &efivarfs.HardDrive{Partition: 10, Start: 0x1028, Size: 0x800}}},
	} {
		got, err := efivarfs.ParseLoadOption(tt.data)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestParseLoadOptionRefuses(t *testing.T) {
	whole := option(t, "Linux", hardDrive+endNode)
	for name, data := range map[string][]byte{
		"nothing":                  nil,
		"no description":           whole[:6],
		"a cut description":        whole[:11],
		"a cut path":               whole[:len(whole)-1],
		"a node shorter than one":  option(t, "x", "04010300"),
		"a node beyond the path":   option(t, "x", "01012a00"),
		"a hard drive of 41 bytes": option(t, "x", "04012900"+hardDrive[8:len(hardDrive)-2]),
		"left over bytes":          option(t, "x", nvme+"7f"),
	} {
		if o, err := efivarfs.ParseLoadOption(data); err == nil || !strings.HasPrefix(err.Error(), "cannot parse load option") {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func FuzzParseLoadOption(f *testing.F) {
	f.Add(option(f, "Linux", pciRoot+pci+nvme+hardDrive+filePath+endNode))
	f.Add(option(f, "x", nvme+endOfOne+hardDrive+endNode))
	f.Add(option(f, "UiApp", firmware+endNode))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := efivarfs.ParseLoadOption(data)
		if err != nil && o.HardDrive != nil {
			t.Error("an error and a result")
		}
		if err == nil && len(data) < 8 {
			t.Errorf("%d bytes passed", len(data))
		}
	})
}
