package flash

import (
	"bytes"
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
	for _, label := range []string{"mb2", "mb2_b", "kernel", "kernel_b", "APP", "APP_b", "UDA", "UDA_b", "alone"} {
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
	image := bytes.Repeat([]byte("firmware"), 600)
	return []bup.Image{{Name: "mb1", Data: image}, {Name: "MB1_BCT", Data: image[:1100]}, {Name: "mb2", Data: image[1:1500]}, {Name: "kernel", Data: image}, {Name: "BCT", Data: bytes.Repeat([]byte{0x77}, 4800)}}
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
		"a root file system":             {bup.Image{Name: "APP", Data: []byte("x")}, nil, fail.Data, "no partition APP_b"},
		"another partition with a twin":  {bup.Image{Name: "UDA", Data: []byte("x")}, nil, fail.Data, "no partition UDA_b"},
		"the slot metadata":              {bup.Image{Name: "SMD", Data: []byte("x")}, nil, fail.Data, "cannot write SMD"},
		"another BCT":                    {bup.Image{Name: "BCT", Data: bytes.Repeat([]byte{0x78}, 4800)}, nil, fail.Unavailable, "another boot configuration table"},
		"a BCT larger than the flash's":  {bup.Image{Name: "BCT", Data: bytes.Repeat([]byte{0x77}, 33<<10)}, nil, fail.Unavailable, "another boot configuration table"},
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
