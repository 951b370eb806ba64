package nvbootctrl

import (
	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

// readMetadata reads the slot metadata by itself, so that status tells something where NVIDIA's program is missing. It is
// never written: nobody but the program knows all copies of it.
func (b *Backend) readMetadata() (backends.State, error) {
	meta, _, err := smd.Read(b.m)
	if err != nil {
		return backends.State{}, err
	}
	if !meta.Redundant() {
		return backends.State{}, fail.New(fail.Unavailable, "cannot use the slots: redundancy is off in the slot metadata").
			Then("enable it: nv_update_engine --enable-ab")
	}
	line, err := b.m.ReadText("/proc/cmdline")
	if err != nil {
		return backends.State{}, fail.New(fail.Unavailable, "cannot tell the running slot: %w", err)
	}
	running, err := smd.Running(line)
	if err != nil {
		return backends.State{}, err
	}
	board := chip.BootControl(b.m)
	st := backends.State{
		Current: backends.SlotAt(uint32(running)), Redundancy: new(uint32), RetryMax: retryMaxR32,
		Slots: map[backends.Slot]backends.SlotState{}, Spec: board["TNSPEC"], Compat: board["COMPATIBLE_SPEC"],
	}
	features := int(meta.Flags)
	*st.Redundancy, st.MarksChains = redundancyOf(&features), true
	for i, s := range backends.Slots {
		retries := int(meta.Slots[i].Retry)
		st.Slots[s] = backends.SlotState{Status: status(meta.Slots[i].Bootable()), Retries: &retries}
	}
	if n, ok := meta.Next(); ok {
		pending(&st, backends.SlotAt(uint32(n)))
	}
	return st, nil
}
