package firmware_test

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
)

const (
	nanoSpec = "3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-"
	agxSpec  = "3701-500-0000-M.0-1-1-jetson-agx-orin-devkit-"
	// As generated packages have them.
	nano0005 = "3767-000-0005--1-0-jetson-orin-nano-devkit-"
	nano0004 = "3767-000-0004--1-0-jetson-orin-nano-devkit-"
	super    = "3767-000-0005--1-0-jetson-orin-nano-devkit-super-"
	agx300   = "3701-300-0000--1-1-jetson-agx-orin-devkit-"
	agx000   = "3701-000-0000--1-1-jetson-agx-orin-devkit-"
)

// version panics where no test can go on.
func version(s string) capsule.Version {
	v, err := capsule.ParseVersion(s)
	if err != nil {
		panic(err)
	}
	return v
}

// verText is an image VER as tegra-flash-helper.sh writes it.
func verText(v capsule.Version) []byte {
	return sealed(fmt.Sprintf("NV4\n# R%d , REVISION: %d.%d\nBOARDID=3767 BOARDSKU=0005 FAB=000\n20240101000000\n0x%x\n",
		v>>16, v>>8&0xff, v&0xff, uint32(v)))
}

// sealed puts the line with the checksum behind a text.
func sealed(body string) []byte {
	return []byte(fmt.Sprintf("%sBYTES:%d CRC32:%X\n", body, len(body), crc32.ChecksumIEEE([]byte(body))))
}

// payload says what package to build; the zero value but for specs is a sound one for T234, of R36.4.3.
type payload struct {
	chip   chip.Chip // T234 if it has no name
	format bup.Format
	kind   uint32
	specs  []string // of the images that differ from board to board; none makes them common
	mode   bup.OpMode
	omit   []string
	ver    []byte
	gap    uint32
}

func (o payload) build(t testing.TB) []byte {
	t.Helper()
	if o.chip.Name == "" {
		o.chip = chip.T234
	}
	if o.ver == nil {
		o.ver = verText(version("36.4.3"))
	}
	if o.specs == nil {
		o.specs = []string{""}
	}
	var images []bup.Image
	for _, name := range append([]string{"BCT", "secondary_gpt"}, o.chip.Required...) {
		switch {
		case slices.Contains(o.omit, name):
		case name == "VER":
			images = append(images, bup.Image{Name: name, Data: o.ver})
		case name == "MEM_BCT" || name == "MB1_BCT" || name == "secondary_gpt":
			for _, spec := range o.specs {
				images = append(images, bup.Image{Name: name, Spec: spec, OpMode: o.mode, Data: []byte(name + spec)})
			}
		default:
			images = append(images, bup.Image{Name: name, Data: bytes.Repeat([]byte(name), 100)})
		}
	}
	b, err := bup.BuildBytes(bup.BuildOptions{Format: o.format, Type: o.kind, Images: images, Gap: o.gap})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wrap says what capsule to put around a payload; the zero value makes a signed one of 36.4.3 for T234 without a floor.
type wrap struct {
	imageType       guid.GUID
	version, lowest string
	unsigned        bool
}

func (w wrap) around(t testing.TB, o payload) []byte {
	t.Helper()
	if w.imageType.IsZero() {
		w.imageType = chip.T234.ImageTypes[0]
	}
	opts := capsule.BuildOptions{ImageType: w.imageType, FirmwareVersion: version("36.4.3"), BUP: o.build(t), Unsigned: w.unsigned}
	if w.version != "" {
		opts.FirmwareVersion = version(w.version)
	}
	if w.lowest != "" {
		opts.LowestSupported = version(w.lowest)
	}
	var b bytes.Buffer
	if err := capsule.Build(&b, opts); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tegra-bl.cap")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func parse(t testing.TB, names ...string) []firmware.Board {
	t.Helper()
	boards, err := firmware.ParseBoards(names)
	if err != nil {
		t.Fatal(err)
	}
	return boards
}
