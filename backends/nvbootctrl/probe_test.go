package nvbootctrl_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/nvbootctrl"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// T234 and T264 belong to efivar while their variables can be read; what contradicts the chip table is an error.
func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name    string
		chip    chip.Chip
		dialect string // "" without the program
		vars    bool
		ours    bool
		want    string // in the reason, or in the error where there is none
		failed  bool
	}{
		{"Orin", chip.T234, "r35", true, false, "efivar controls it", false},
		{"Orin without the program", chip.T234, "", true, false, "efivar controls it", false},
		{"Orin without variables", chip.T234, "r35", false, true, "nvbootctrl answers", false},
		{"Thor without variables", chip.T264, "r35", false, true, "nvbootctrl answers", false},
		{"Orin with nothing", chip.T234, "", false, false, "not efivar, because cannot use UEFI variables", true},
		{"Orin with nothing, the other reason", chip.T234, "", false, false, "not nvbootctrl, because cannot run nvbootctrl", true},
		{"Orin with SMD", chip.T234, "r32", false, false, "said to be T234", true},
		{"Thor with SMD", chip.T264, "r32-old", false, false, "said to be T264", true},
		{"TX2", chip.T186, "r32-old", false, true, "slot metadata of R32", false},
		{"TX2 with the dialect of R35", chip.T186, "r35", false, false, "said to be T186", true},
		{"TX2 with variables", chip.T186, "r32", true, false, "said to be T186", true},
		{"TX2 with nothing", chip.T186, "", false, true, "nvbootctrl", true},
		{"Xavier with R32", chip.T194, "r32", false, true, "slot metadata of R32", false},
		{"Xavier with R35", chip.T194, "r35", true, true, "through UEFI variables", false},
		{"Xavier with R35, without the program", chip.T194, "", true, true, "through UEFI variables", false},
		{"Xavier with R35, without variables", chip.T194, "r35", false, true, "R35 or later", false},
		{"Xavier with both", chip.T194, "r32", true, false, "there are variables", true},
		{"another chip", chip.Chip{Name: "T210"}, "r32", false, false, "T210", false},
	} {
		var f *fake
		if tt.dialect != "" {
			f = newFake(tt.dialect)
		}
		m := machine(t, f)
		if tt.vars {
			variable(t, m, efivarfs.BootChainFwCurrent, 0)
		}
		ours, reason, err := nvbootctrl.Probe(ctx, m, tt.chip, "")
		if ours != tt.ours || (err != nil) != tt.failed {
			t.Errorf("%s: ours %t, %q, %v", tt.name, ours, reason, err)
			continue
		}
		if err != nil {
			reason = err.Error()
		}
		if !strings.Contains(reason, tt.want) {
			t.Errorf("%s: %q lacks %q", tt.name, reason, tt.want)
		}
	}
}

// Without NVIDIA's program the metadata itself is read, and nothing is written.
func TestMetadataWithoutTheProgram(t *testing.T) {
	o, _, c := virtualDevice(t, "p3668-0001", "32.7.5", "", "")
	m := device.New(o.Dir())
	must(t, m.Remove(virtual.NVBootctrlPath))
	b := nvbootctrl.New(m, c, nvbootctrl.Options{})
	ours, reason, err := nvbootctrl.Probe(ctx, m, c, "")
	if !ours || err != nil || !strings.Contains(reason, "only be read") {
		t.Errorf("%t, %q, %v", ours, reason, err)
	}
	st := read(t, b)
	if st.Current != backends.A || st.NextPending || *st.Slots[backends.B].Retries != 7 || *st.Slots[backends.B].Status != 0 {
		t.Errorf("%+v", st)
	}
	for verb, err := range map[string]error{"writable": b.Writable(ctx), "select": b.SetNext(ctx, backends.B), "mark": b.MarkUnbootable(ctx, backends.B)} {
		if !errors.Is(err, nvbootctrl.ErrMissing) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
