package nvbootctrl

import (
	"context"
	"errors"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/smd"
)

// retryMaxR32 is what a selected slot gets in SMD (tegra-boot-tools smd.c).
const retryMaxR32 = 7

// Exit codes of is-unified-enabled (L4T R32.6.1 on) and is-rootfs-ab-enabled.
const (
	unifiedOn   = 0
	unifiedNone = 69 // neither root file systems nor chains
	unifiedRoot = 70 // root file systems alone, selected in a view of their own
	rootfsOff   = 0
	rootfsOnA   = 1
	rootfsOnB   = 2
)

// r32 is boot control of R32: the slot metadata, in which MB1 counts down the retries of a slot that no boot was confirmed
// of, and falls back. Its state is what the program prints. Redundancy is 1 also where only NVIDIA's redundancy of
// root file systems is off: the root file system then follows the chain by the integrator's layout (APP, APP_b).
type r32 struct {
	b        *Backend
	features *int // of the slot metadata, as dumped
}

func (c r32) read(ctx context.Context, d Dump) (backends.State, error) {
	st := backends.State{Slots: map[backends.Slot]backends.SlotState{}, RetryMax: retryMaxR32, RetriesWritable: true, Redundancy: new(uint32)}
	*st.Redundancy, st.MarksChains = redundancyOf(d.Features), true
	board := chip.BootControl(c.b.m)
	st.Spec, st.Compat = board["TNSPEC"], board["COMPATIBLE_SPEC"]
	var err error
	if st.Current, err = c.b.running(ctx); err != nil {
		return st, err
	}
	if d.Current != backends.None && d.Current != st.Current {
		return st, contradiction("get-current-slot", st.Current, "dump-slots-info", d.Current)
	}
	separate, root, err := c.roots(ctx)
	if err != nil {
		return st, err
	}
	st.RootCurrent, st.Separate = root, separate
	for i, s := range backends.Slots {
		st.Slots[s] = backends.SlotState{Status: status(d.Slots[i].bootable()), Retries: d.Slots[i].Retry}
	}
	pending(&st, next(d, st))
	if separate {
		return st, c.readRoots(ctx, &st)
	}
	return st, nil
}

// redundancyOf is 0 where the slot metadata makes nothing redundant but the boot chain: cboot loads the same kernel and root file system
// then, whichever chain runs (cboot of R32). Where features are not printed the layout is trusted.
func redundancyOf(features *int) uint32 {
	const loaded = smd.User | smd.Rootfs | smd.Unified
	if features != nil && smd.Flags(*features)&loaded == 0 {
		return 0
	}
	return 1
}

// roots says whether the root file systems are selected in a view of their own, and which one runs as far as is told.
func (c r32) roots(ctx context.Context) (separate bool, running backends.Slot, err error) {
	if separate, running, ok := c.b.told.roots(c.b.m); ok {
		return separate, running, nil
	}
	if separate, running, err = c.askRoots(ctx); err == nil {
		c.b.told.setRoots(c.b.m, separate, running)
	}
	return separate, running, err
}

func (c r32) askRoots(ctx context.Context) (separate bool, running backends.Slot, err error) {
	ab, err := c.exit(ctx, "is-rootfs-ab-enabled")
	if c.silent(err) {
		ab, err = rootfsOff, nil // which one runs, the view of the root file systems says
	}
	if err != nil {
		return false, backends.None, err
	}
	unified, err := c.unified(ctx)
	if err != nil {
		return false, backends.None, err
	}
	if unified == unifiedOn || unified == unifiedRoot || unified == exitUsage {
		switch ab {
		case rootfsOnA:
			running = backends.A
		case rootfsOnB:
			running = backends.B
		}
	}
	// Before 32.6.1 nothing is unified, and nothing says so.
	separate = unified == unifiedRoot
	if unified == exitUsage && running != backends.None {
		_, err := c.b.run.run(ctx, in(rootfs, "get-current-slot")...)
		separate = err == nil // the view came later than the question
	}
	if running == backends.None && separate {
		running, err = c.b.current(ctx, rootfs)
	}
	return separate, running, err
}

// unified is the answer of is-unified-enabled.
func (c r32) unified(ctx context.Context) (int, error) {
	answer, err := c.exit(ctx, "is-unified-enabled")
	if !c.silent(err) {
		return answer, err
	}
	switch f := smd.Flags(*c.features); {
	case f&smd.Unified != 0:
		return unifiedOn, nil
	case f&smd.Rootfs != 0:
		return unifiedRoot, nil
	}
	return unifiedNone, nil
}

// silent says that a question, whose answer is the exit code, got none for want of the registers, and that the dump, which was complete,
// answers it as well.
func (c r32) silent(err error) bool {
	return c.features != nil && (errors.Is(err, ErrDevMem) || errors.Is(err, ErrMemoryMap))
}

// exit returns the exit code of a question; exitUsage where the release does not know it.
func (c r32) exit(ctx context.Context, question string) (int, error) {
	a, err := c.b.run.run(ctx, question)
	if errors.Is(err, ErrUnknownCommand) {
		return exitUsage, nil
	}
	if err == nil && a.exit != 0 {
		if failure := a.failure(nil); named(failure) {
			return 0, failure // no answer, but the exit code of a program that failed
		}
	}
	return a.exit, err
}

// bootable is the rule of MB1 and cboot: priority and retries left, confirmed or not (cboot of R32,
// boot_chain_get_bootslot_from_smd). It is not asked of is-slot-bootable, whose exit code 1 also means that the program failed.
func (d SlotDump) bootable() bool { return *d.Priority > 0 && *d.Retry > 0 }

// named says that a failure is one that is known, and so no answer.
func named(err error) bool {
	return errors.Is(err, ErrMemoryMap) || errors.Is(err, ErrDevMem) || errors.Is(err, ErrVariables)
}

// next returns the slot that boots next: the active one, or, in the old dialect, the bootable one with the highest
// priority. An active slot that is not bootable is none: MB1 passes it over.
func next(d Dump, st backends.State) backends.Slot {
	active := d.Active
	if active == backends.None {
		active = st.Current
		other := active.Other()
		if prio := func(s backends.Slot) int { return *d.Slots[s.Index()].Priority }; prio(other) > prio(active) || !isBootable(st, active) {
			active = other
		}
	}
	if !isBootable(st, active) {
		return st.Current
	}
	return active
}

// readRoots adds what the separate view of the root file systems says: a slot that either view calls unbootable is.
func (c r32) readRoots(ctx context.Context, st *backends.State) error {
	d, err := c.b.dump(ctx, rootfs)
	if err != nil {
		return err
	}
	for i, s := range backends.Slots {
		slot, have := st.Slots[s], d.Slots[i]
		if have.Status != nil && *have.Status == StatusUnbootable || have.Priority != nil && *have.Priority == 0 {
			slot.Status = status(false)
		}
		st.Slots[s] = slot
	}
	if d.Active != backends.None && d.Current != d.Active && !st.NextPending {
		pending(st, d.Active)
	}
	return nil
}

// pending records a switch to a slot that is not the running one.
func pending(st *backends.State, s backends.Slot) {
	if s != st.Current {
		st.Next, st.NextPending = s, true
	}
}

func status(bootable bool) *uint32 {
	v := backends.StatusUnbootable
	if bootable {
		v = backends.StatusNormal
	}
	return &v
}

func isBootable(st backends.State, s backends.Slot) bool {
	have := st.Slots[s]
	return have.Status != nil && *have.Status == backends.StatusNormal
}

// reread is the state after a change.
func (c r32) reread(ctx context.Context) (backends.State, Dump, error) {
	d, err := c.b.dump(ctx, bootloader)
	if err != nil {
		return backends.State{}, d, err
	}
	if d.Magic == nil {
		return backends.State{}, d, fail.New(fail.Unavailable, "cannot read back the slots: nvbootctrl changed its dialect")
	}
	st, err := c.read(ctx, d)
	return st, d, err
}
