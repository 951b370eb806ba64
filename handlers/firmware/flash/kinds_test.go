package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// kind is a machine whose flash is in files, one for each device.
type kind struct {
	t     *testing.T
	m     *device.Machine
	chip  chip.Chip
	files map[string][]byte // what each device holds, by node
}

func (k *kind) write(path string, data []byte) {
	k.t.Helper()
	r := &rig{t: k.t, m: k.m}
	r.file(path, string(data))
}

// install writes images into the target and compares every device with what it shall hold then.
func (k *kind) install(target backends.Slot, list []bup.Image, want map[string][]byte) (*work, error) {
	k.t.Helper()
	update, err := bup.BuildBytes(bup.BuildOptions{Images: list})
	if err != nil {
		k.t.Fatal(err)
	}
	w, err := k.run(k.m, target, update)
	for node, data := range k.files {
		if d, ok := want[node]; ok {
			data = d
		}
		if got, err := k.m.ReadFile(node); err != nil || !bytes.Equal(got, data) {
			k.t.Errorf("%s does not hold what it should (%v)", node, err)
		}
	}
	return w, err
}

func (k *kind) run(m *device.Machine, target backends.Slot, update []byte) (*work, error) {
	p, err := bup.ParseAt(bytes.NewReader(update), int64(len(update)))
	if err != nil {
		k.t.Fatal(err)
	}
	s := New(m, k.chip, Options{})
	l, err := find(m, s.open, k.chip, target)
	if err != nil {
		return nil, err
	}
	w, err := s.prepare(l, p, p.Match("", "", nil).Chosen, func(i int) *io.SectionReader {
		return io.NewSectionReader(bytes.NewReader(update), int64(p.Entries[i].Offset), int64(p.Entries[i].Length))
	})
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	_, err = w.perform(context.Background())
	return w, err
}

// named is a chip that the device tree splits.
func named(t *testing.T, c chip.Chip, names ...string) *kind {
	k := &kind{t: t, m: device.New(t.TempDir()), chip: c, files: map[string][]byte{}}
	list := "dev:    size   erasesize  name\n"
	for i, name := range names {
		node := fmt.Sprintf("/dev/mtd%d", i)
		k.files[node] = bytes.Repeat([]byte{byte(i + 1)}, 16<<10)
		k.write(node, k.files[node])
		k.write(fmt.Sprintf("/sys/class/mtd/mtd%d/erasesize", i), []byte("4096"))
		list += fmt.Sprintf("mtd%d: %08x %08x %q\n", i, 16<<10, 4<<10, name)
	}
	k.write("/proc/mtd", []byte(list))
	return k
}

// blocks is a device that holds an image, erased flash to the end of its block, and what it held behind.
func blocks(old, image []byte, unit int, filler byte) []byte {
	b := bytes.Clone(old)
	copy(b, image)
	for i := len(image); i%unit != 0; i++ {
		b[i] = filler
	}
	return b
}

func TestFlashDevicesNamedByTheDeviceTreeAreWrittenByTheirNames(t *testing.T) {
	image := bytes.Repeat([]byte("firmware"), 700)
	list := []bup.Image{{Name: "mb1", Data: image}, {Name: "mb2", Data: image[3:]}, {Name: "BCT", Data: bytes.Repeat([]byte{1}, 5600)}}
	for name, tt := range map[string]struct {
		chip     chip.Chip
		names    []string
		target   backends.Slot
		mb1, mb2 string
	}{
		"prefix, B": {chip.T234, []string{"BCT", "A_mb1", "A_mb2", "B_mb1", "B_mb2"}, backends.B, "/dev/mtd3", "/dev/mtd4"},
		"prefix, A": {chip.T234, []string{"BCT", "A_mb1", "A_mb2", "B_mb1", "B_mb2"}, backends.A, "/dev/mtd1", "/dev/mtd2"},
		"suffix, B": {chip.T194, []string{"BCT", "mb1", "mb1_b", "mb2", "mb2_b"}, backends.B, "/dev/mtd2", "/dev/mtd4"},
		"suffix, A": {chip.T194, []string{"BCT", "mb1", "mb1_b", "mb2", "mb2_b"}, backends.A, "/dev/mtd1", "/dev/mtd3"},
	} {
		t.Run(name, func(t *testing.T) {
			k := named(t, tt.chip, tt.names...)
			_, err := k.install(tt.target, list, map[string][]byte{
				tt.mb1: blocks(k.files[tt.mb1], image, 4<<10, 0xff), tt.mb2: blocks(k.files[tt.mb2], image[3:], 4<<10, 0xff),
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNamedFlashDevicesAreRefused(t *testing.T) {
	image := []bup.Image{{Name: "mb1", Data: []byte("mb1")}}
	table := func(size int64) bup.Image {
		p := plan{size: 1 << 20, erase: 4 << 10, parts: []partition{{"B_mb1", 4 << 10, size}}}
		return bup.Image{Name: tableImages[1], Data: p.table(0)}
	}
	for name, tt := range map[string]struct {
		names []string
		list  []bup.Image
		code  fail.Code
		want  string
	}{
		"two of one name":              {[]string{"B_mb1", "B_mb1"}, image, fail.Unavailable, "both called B_mb1"},
		"a table that resizes":         {[]string{"A_mb1", "B_mb1"}, append(image, table(8<<10)), fail.Data, "gives B_mb1"},
		"a name of the other chain":    {[]string{"A_mb1", "A_mb2", "B_mb1"}, append(image, bup.Image{Name: "mb2", Data: []byte("x")}), fail.Data, "no partition B_mb2"},
		"none of them is the target's": {[]string{"A_mb1", "spare"}, image, fail.Unavailable, "no boot flash is visible"},
	} {
		if _, err := named(t, chip.T234, tt.names...).install(backends.B, tt.list, nil); fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := named(t, chip.T234, "A_mb1", "B_mb1")
	w, err := k.install(backends.B, append(image, table(16<<10)), map[string][]byte{"/dev/mtd1": blocks(k.files["/dev/mtd1"], image[0].Data, 4<<10, 0xff)})
	if err != nil || !strings.Contains(strings.Join(w.notes, "\n"), "secondary_gpt_backup is left alone") {
		t.Errorf("a table that resizes nothing: %v", err)
	}
}
