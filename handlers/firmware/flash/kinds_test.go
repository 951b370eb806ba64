package flash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
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
	list := []bup.Image{{Name: "mb1", Data: image}, {Name: "mb2", Data: image[3:]}, {Name: "BCT", Data: image}}
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

// xavier is an AGX Xavier: two boot partitions of 256 KiB with one table at the end of the second, and the rest by label.
func xavier(t *testing.T) (*kind, plan) {
	k := &kind{t: t, m: device.New(t.TempDir()), chip: chip.T194, files: map[string][]byte{}}
	const half = 256 << 10
	p := plan{size: 2 * half, erase: 512, parts: []partition{
		{"BCT", 0, 32 << 10}, {"mb1", 32 << 10, 32 << 10}, {"mb1_b", 64 << 10, 32 << 10}, {"MB1_BCT", half, 8 << 10}, {"MB1_BCT_b", half + 8<<10, 8 << 10},
		{"SMD", half + 16<<10, 512}, {"SMD_b", half + 16<<10 + 512, 512},
	}}
	both := bytes.Repeat([]byte{0x77}, int(p.size))
	copy(both[p.size-gpt.ChainSize:], p.table(p.size-gpt.ChainSize))
	k.files = map[string][]byte{"/dev/mmcblk0boot0": both[:half], "/dev/mmcblk0boot1": both[half:]}
	for _, label := range []string{"mb2", "mb2_b", "kernel", "kernel_b", "APP", "alone"} {
		k.files[byLabel+label] = bytes.Repeat([]byte(label[:1]), 64<<10)
	}
	for node, data := range k.files {
		k.write(node, data)
	}
	for _, n := range []string{"mmcblk0boot0", "mmcblk0boot1"} {
		k.write("/sys/block/"+n+"/force_ro", []byte("1\n"))
	}
	return k, p
}

func (k *kind) forceRO() string {
	var all []string
	for _, n := range []string{"mmcblk0boot0", "mmcblk0boot1"} {
		text, _ := os.ReadFile(k.m.Path("/sys/block/" + n + "/force_ro"))
		all = append(all, strings.TrimSpace(string(text)))
	}
	return strings.Join(all, " ")
}

func xavierUpdate() []bup.Image {
	image := bytes.Repeat([]byte("firmware"), 1000)
	return []bup.Image{{Name: "mb1", Data: image}, {Name: "MB1_BCT", Data: image[:5000]}, {Name: "mb2", Data: image[1:]}, {Name: "kernel", Data: image}, {Name: "BCT", Data: image}}
}

func (k *kind) afterUpdate(p plan, suffix string) map[string][]byte {
	list := xavierUpdate()
	first, second := bytes.Clone(k.files["/dev/mmcblk0boot0"]), bytes.Clone(k.files["/dev/mmcblk0boot1"])
	at := p.part("mb1" + suffix).off
	copy(first[at:], blocks(first[at:], list[0].Data, 512, 0))
	at = p.part("MB1_BCT"+suffix).off - p.size/2
	copy(second[at:], blocks(second[at:], list[1].Data, 512, 0))
	label := byLabel + "mb2" + suffix
	return map[string][]byte{"/dev/mmcblk0boot0": first, "/dev/mmcblk0boot1": second, label: blocks(k.files[label], list[2].Data, 512, 0)}
}

func TestBootPartitionsOfAnEMMCAreWrittenAndProtectedAgain(t *testing.T) {
	for target, suffix := range map[backends.Slot]string{backends.A: "", backends.B: "_b"} {
		k, p := xavier(t)
		w, err := k.install(target, xavierUpdate(), k.afterUpdate(p, suffix))
		if err != nil {
			t.Fatal(err)
		}
		if got := k.forceRO(); got != "1 1" {
			t.Errorf("force_ro is %s afterwards", got)
		}
		if text := strings.Join(w.notes, "\n"); !strings.Contains(text, "kernel is left alone: tegra-image writes it") {
			t.Errorf("%q", text)
		}
	}
}

func TestEMMCRefusals(t *testing.T) {
	for name, tt := range map[string]struct {
		image  bup.Image
		change func(k *kind, p plan)
		code   fail.Code
		want   string
	}{
		"a label without a twin":         {bup.Image{Name: "alone", Data: []byte("x")}, nil, fail.Data, "no partition alone_b"},
		"an image too large for a label": {bup.Image{Name: "mb2", Data: make([]byte, 64<<10+1)}, nil, fail.Data, "do not fit"},
		"a partition in both":            {bup.Image{Name: "mb2", Data: []byte("x")}, func(k *kind, p plan) { k.retable(p.changed("mb1_b", 256<<10-80<<10, 0)) }, fail.Unavailable, "mb1_b lies in both"},
		"a damaged table":                {bup.Image{Name: "mb2", Data: []byte("x")}, func(k *kind, p plan) { k.files["/dev/mmcblk0boot1"][256<<10-500] ^= 1 }, fail.Unavailable, "checksum"},
		"no table":                       {bup.Image{Name: "mb2", Data: []byte("x")}, func(k *kind, p plan) { k.files["/dev/mmcblk0boot1"][256<<10-512] ^= 1 }, fail.Unavailable, "holds no header"},
	} {
		k, p := xavier(t)
		if tt.change != nil {
			tt.change(k, p)
			k.write("/dev/mmcblk0boot1", k.files["/dev/mmcblk0boot1"])
		}
		_, err := k.install(backends.B, append(xavierUpdate()[:1], tt.image), nil)
		if fail.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if k.forceRO() != "1 1" {
			t.Errorf("%s: force_ro is %s", name, k.forceRO())
		}
	}
}

func (k *kind) retable(p plan) {
	second := k.files["/dev/mmcblk0boot1"]
	copy(second[int64(len(second))-gpt.ChainSize:], p.table(p.size-gpt.ChainSize))
}

// Each change fails or is cut, one at a time; the same update finishes afterwards. Only a cut leaves force_ro clear, until the next boot.
func TestEMMCTroubleAnywhereCanBeRepeated(t *testing.T) {
	update, err := bup.BuildBytes(bup.BuildOptions{Images: xavierUpdate()})
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []bool{false, true} {
		for n, done := 1, false; !done; n++ {
			k, p := xavier(t)
			fault := &device.Fault{FailAt: n}
			if cut {
				fault = &device.Fault{CutAt: n, Loss: device.Losses[n%2]}
			}
			_, err := k.run(k.m.WithFault(fault), backends.B, update)
			done = fault.Count() < n
			if done != (err == nil) {
				t.Fatalf("change %d: %v", n, err)
			}
			protecting := !done && strings.Contains(fault.Changes()[n-1], "write 1 to")
			if !cut && !protecting && k.forceRO() != "1 1" {
				t.Errorf("change %d (%s): force_ro is %s", n, fault.Changes()[n-1], k.forceRO())
			}
			want := k.afterUpdate(p, "_b")
			if _, err := k.install(backends.B, xavierUpdate(), want); err != nil {
				t.Fatalf("change %d: again: %v", n, err)
			}
			if done && n < 30 {
				t.Errorf("only %d changes", n)
			}
		}
	}
}
