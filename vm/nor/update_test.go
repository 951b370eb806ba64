package main_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/flash"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/mtd"
	"github.com/tegra-ota/tegra-ota/vm/guest"
)

var (
	chipFile = flag.String("chip", "", "use the chip in `file` instead of a new one: 64 MiB, blocks of 4 KiB")
	onKernel = flag.Bool("kernel", false, "use the kernel's chip: only in the virtual machine of make test-vm")
	step     = flag.String("step", "", "before: only give the chip its content before the update; update: only update it")
)

// node is where the device has its boot flash, and room how much of it each of a chain's partitions has.
const (
	node = "/dev/mtd0"
	room = 128 << 10
)

// TestUpdate writes an update into chain B of a T234's boot flash: in go test that is the model. vm/nor/run.sh lets the model do it on a
// file, and then the kernel's driver on an emulated chip, with power cuts: both must leave the same bytes in the whole chip.
func TestUpdate(t *testing.T) {
	m := newDevice(t)
	images := release(2)
	f, err := mtd.Open(m, node)
	must(t, err)
	defer f.Close()
	if *step != "update" {
		fill(t, f, release(1))
	}
	if *step == "before" {
		return
	}
	chainA := make([]byte, place("B_"+images[0].Name))
	_, err = f.ReadAt(chainA, 0)
	must(t, err)

	start := time.Now()
	update(t, m, images)
	t.Logf("the update took %s", time.Since(start).Round(time.Millisecond))

	for _, i := range images {
		got := make([]byte, len(i.Data))
		if _, err := f.ReadAt(got, place("B_"+i.Name)); err != nil || !bytes.Equal(got, i.Data) {
			t.Errorf("%s is not what the update holds (%v)", i.Name, err)
		}
	}
	after := make([]byte, len(chainA))
	if _, err := f.ReadAt(after, 0); err != nil || !bytes.Equal(after, chainA) {
		t.Errorf("chain A changed (%v)", err)
	}
}

// newDevice is a T234 that runs slot A, as a folder. Its flash is a file, or a link to the kernel's node.
func newDevice(t *testing.T) *device.Machine {
	t.Helper()
	root := t.TempDir()
	m := device.New(root)
	put := func(path, text string) {
		t.Helper()
		must(t, os.MkdirAll(filepath.Dir(m.Path(path)), 0o755))
		must(t, os.WriteFile(m.Path(path), []byte(text), 0o644))
	}
	put("/etc/nv_boot_control.conf", "TNSPEC 3767-300-0005-K.2-1-0-jetson-orin-nano-devkit-\n"+
		"COMPATIBLE_SPEC 3767--0005--1--jetson-orin-nano-devkit-\nTEGRA_CHIPID 0x23\n")
	put(efivarfs.Dir+"/"+efivarfs.BootChainFwCurrent.String(), "\x07\x00\x00\x00\x00\x00\x00\x00")
	put("/data/keep", "")
	must(t, os.MkdirAll(m.Path("/dev"), 0o755))
	size := int64(64 << 20)
	switch {
	case *onKernel:
		_, err := guest.Boot()
		must(t, err)
		must(t, os.Symlink(node, m.Path(node)))
	case *chipFile != "":
		file, err := filepath.Abs(*chipFile)
		must(t, err)
		must(t, os.Symlink(file, m.Path(node)))
	default:
		size = 8 << 20
		put(node, "")
		must(t, os.WriteFile(m.Path(node), bytes.Repeat([]byte{0xff}, int(size)), 0o600))
	}
	put("/sys/class/mtd/mtd0/erasesize", "4096\n")
	put("/proc/mtd", fmt.Sprintf("dev:    size   erasesize  name\nmtd0: %08x 00001000 \"bmc\"\n", size))
	return m
}

// update does what tegra-bup does for a device whose flash Linux sees.
func update(t *testing.T, m *device.Machine, images []bup.Image) {
	t.Helper()
	ctx := context.Background()
	content, err := bup.BuildBytes(bup.BuildOptions{Images: images})
	must(t, err)
	s := flash.New(m, chip.T234, flash.Options{})
	must(t, s.Ready(ctx))
	candidate, err := s.Open(ctx, bytes.NewReader(content))
	must(t, err)
	writer, ok := candidate.(backends.Writer)
	if !ok {
		t.Fatalf("%T does not write", candidate)
	}
	_, err = writer.Receive(ctx, "/data", backends.B)
	must(t, err)
	_, err = writer.Write(ctx)
	must(t, err)
	must(t, writer.Discard(ctx))
}

// release makes the images of a chain, in their order on the flash.
func release(seed int64) []bup.Image {
	random := rand.New(rand.NewSource(seed))
	var images []bup.Image
	for _, name := range bup.RequiredT234 {
		data := make([]byte, room-1-random.Intn(60000))
		_, _ = random.Read(data)
		images = append(images, bup.Image{Name: name, Data: data})
	}
	return images
}

// place is where a partition starts: chain A's from 1 MiB on, chain B's behind them.
func place(name string) int64 {
	for i, base := range bup.RequiredT234 {
		for k, chain := range []string{"A_", "B_"} {
			if name == chain+base {
				return 1<<20 + int64(k*len(bup.RequiredT234)+i)*room
			}
		}
	}
	panic("no partition " + name)
}

// fill gives the flash two equal chains and their tables.
func fill(t *testing.T, f mtd.Flash, images []bup.Image) {
	t.Helper()
	size := f.Info().Size
	must(t, f.Erase(0, size))
	for _, chain := range []string{"A_", "B_"} {
		for _, i := range images {
			must(t, f.Program(i.Data, place(chain+i.Name)))
		}
	}
	for k := uint32(0); k < 2; k++ {
		at := gpt.ChainPlace(size, f.Info().EraseSize, k)
		must(t, f.Program(table(size, at), at))
	}
}

// table is a partition table as NVIDIA's tools write it (edk2-nvidia GptLib.h): 128 entries, then the header.
func table(size, at int64) []byte {
	b := make([]byte, gpt.ChainSize)
	le := binary.LittleEndian
	for i, base := range bup.RequiredT234 {
		for k, chain := range []string{"A_", "B_"} {
			e := b[(2*i+k)*128:]
			copy(e, gpt.TypeBasicData[:])
			e[16] = byte(2*i + k + 1)
			le.PutUint64(e[32:], uint64(place(chain+base)/512))
			le.PutUint64(e[40:], uint64((place(chain+base)+room)/512-1))
			for n, c := range utf16.Encode([]rune(chain + base)) {
				le.PutUint16(e[56+2*n:], c)
			}
		}
	}
	h := b[gpt.ChainEntries:]
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x10000)
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], uint64(size/512-1))
	le.PutUint64(h[48:], uint64(size/512-1))
	le.PutUint64(h[72:], uint64(at/512))
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(b[:gpt.ChainEntries]))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return b
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
