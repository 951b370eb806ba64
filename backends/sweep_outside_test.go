package backends_test

import (
	"context"
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// The sweep of an updater that writes the root file system itself, as RAUC does: each of its calls is cut, and its own writes
// between them.

// sweepPieces is how many writes an updater needs for a root file system; what the head of a file system is lies in the first.
const sweepPieces = 5

// sweepWritten writes an image as RAUC does, in pieces, and puts it on storage at its end. Storage keeps what it wants of unsynced
// writes; backwards is how it looks where the last ones reached it first. RAUC itself knows nothing of tegra-ota: the
// machine is only where the power is cut.
func sweepWritten(name string, slot backends.Slot, backwards bool) sweepVerb {
	return sweepPartly(name, slot, sweepPieces, backwards)
}

// sweepPartly is as much of it as pieces.
func sweepPartly(name string, slot backends.Slot, pieces int, backwards bool) sweepVerb {
	return func(_ context.Context, d *sweepDevice, _ *backends.Control, m *device.Machine) error {
		content := d.rig.images[name]
		b, err := m.OpenBlock("/dev/disk/by-partlabel/" + slot.RootPartition())
		if err != nil {
			return err
		}
		defer b.Close()
		size := (len(content) + sweepPieces - 1) / sweepPieces
		for i := 0; i < pieces; i++ {
			at := i * size
			if backwards {
				at = (sweepPieces - 1 - i) * size
			}
			if _, err := b.WriteAt(content[at:min(at+size, len(content))], int64(at)); err != nil {
				return err
			}
		}
		return b.Sync()
	}
}

func sweepSetBad(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.SetBad(ctx, ruleRAUC, slot, true)
		return err
	}
}

// sweepOrder is a person's `rauc status mark-bad`.
func sweepOrder(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.SetBad(ctx, ruleRAUC, slot, false)
		return err
	}
}

func sweepSetGood(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.SetGood(ctx, slot)
		return err
	}
}

// sweepSetPrimary is the end of an install.
func sweepSetPrimary(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.SetPrimary(ctx, ruleRAUC, slot, true)
		return err
	}
}

// sweepMarkActive is a person's `rauc status mark-active`, whatever an install left.
func sweepMarkActive(slot backends.Slot) sweepVerb {
	return func(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
		_, err := c.SetPrimary(ctx, ruleRAUC, slot, false)
		return err
	}
}

func sweepFirmwareOnly(ctx context.Context, _ *sweepDevice, c *backends.Control, _ *device.Machine) error {
	_, _, err := c.ActivateFirmwareOnly(ctx, ruleRAUC)
	return err
}

// otherOf makes a verb for the slot that does not run.
func otherOf(make func(backends.Slot) sweepVerb) sweepVerb {
	return func(ctx context.Context, d *sweepDevice, c *backends.Control, m *device.Machine) error {
		booted, err := c.Booted(ctx)
		if err != nil {
			return err
		}
		return make(booted.Other())(ctx, d, c, m)
	}
}

// runningOf makes a verb for the slot that runs.
func runningOf(make func(backends.Slot) sweepVerb) sweepVerb {
	return otherOf(func(s backends.Slot) sweepVerb { return make(s.Other()) })
}

// sweepRAUC is what `rauc install` does with a bundle.
func sweepRAUC(name string, fw bool) sweepVerb {
	return otherOf(func(s backends.Slot) sweepVerb {
		verbs := []sweepVerb{sweepSetBad(s), sweepWritten(name, s, false)}
		if fw {
			verbs = append(verbs, sweepStage(ruleRAUC, false))
		}
		return together(append(verbs, sweepSetPrimary(s))...)
	})
}

// sameBundle installs the bundle once more whose install was cut, before the sweep's own update.
func sameBundle(name string) func(*sweepDevice) error {
	return func(d *sweepDevice) error {
		booted, err := d.current()
		if err != nil {
			return err
		}
		if err := d.do(nil, sweepRAUC(name, true)); err != nil {
			return fmt.Errorf("the same bundle again: %w", err)
		}
		b, trace, err := d.settle(false)
		if err == nil && (b.Slot != booted.Other() || b.State != backends.Committed) {
			err = fmt.Errorf("slot %s runs, state %s", b.Slot, b.State)
		}
		if err != nil {
			return fmt.Errorf("the same bundle again: %w\n%s", err, strings.Join(trace, "\n"))
		}
		return nil
	}
}

// outsideCases are the calls of such an updater, in each state that makes them take another way.
func outsideCases() []sweepCase {
	const b, a = backends.B, backends.A
	bad, wrote, fw := sweepSetBad(b), sweepWritten("one", b, false), sweepStage(ruleRAUC, false)
	primary, again := sweepSetPrimary(b), sameBundle("one")
	half := cutOff(wrote)
	failed := func(ctx context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
		_ = d.do(&device.Fault{FailAt: sweepPieces - 2}, wrote) // an I/O error, or a stream that broke
		return nil
	}
	plain, full := []sweepVerb{bad, wrote, primary}, []sweepVerb{bad, wrote, fw, primary}
	with := func(list []sweepVerb, more ...sweepVerb) func(*sweepDevice) error {
		return after(append(append([]sweepVerb{}, list...), more...)...)
	}
	const none = virtual.NoVariables
	return []sweepCase{
		{name: "rauc: bad", prepare: after(), verb: bad},
		{name: "rauc: bad, first", virgin: true, prepare: after(), verb: bad},
		{name: "rauc: bad again", prepare: after(bad), verb: bad},
		{name: "rauc: bad over a half-written slot", prepare: after(bad, failed), verb: bad, heal: again},
		{name: "rauc: bad over a switch", prepare: with(plain), verb: bad},
		{name: "rauc: bad over a capsule", prepare: with(full), verb: bad},
		{name: "rauc: bad without fall-back", redundancy: none, prepare: after(), verb: bad},
		{name: "rauc: writes", prepare: after(bad), verb: wrote, heal: again},
		{name: "rauc: writes, last block first", prepare: after(bad), verb: sweepWritten("one", b, true), heal: again},
		{name: "rauc: stages", prepare: after(bad, wrote), verb: fw},
		{name: "rauc: primary", prepare: after(bad, wrote), verb: primary},
		{name: "rauc: primary with capsule", prepare: after(bad, wrote, fw), verb: primary, heal: again},
		{name: "rauc: primary after a cut", prepare: after(bad, wrote, fw, cutOff(primary)), verb: primary},
		{name: "rauc: primary taken back, a switch", prepare: with(plain), verb: sweepMarkActive(a)},
		{name: "rauc: primary taken back, a capsule", prepare: with(full), verb: sweepMarkActive(a)},
		{name: "rauc: primary revives the running slot", prepare: after(sweepSetBad(a)), verb: sweepMarkActive(a)},
		{name: "rauc: good on trial", prepare: with(full, rebootsUp, sweepCount), verb: sweepSetGood(b)},
		{name: "rauc: good, the other slot", prepare: with(plain, rebootsUp, sweepCount, sweepVerify, sweepMarkBad(a)), verb: sweepSetGood(a)},
		// In one go: a copy of a device is not proof that nobody wrote to the slot in between.
		{name: "rauc: bad and good", prepare: after(), verb: together(bad, sweepSetGood(b))},
		{name: "rauc: bad and good, over a capsule", prepare: with(full), verb: together(bad, sweepSetGood(b))},
		{name: "rauc: bad, firmware and good", prepare: after(), verb: together(bad, fw, sweepSetGood(b))},
		{name: "rauc: bad, the running slot", prepare: after(), verb: sweepSetBad(a)},
		{name: "rauc: bad, the running slot, activated", prepare: with(full), verb: sweepSetBad(a)},
		{name: "rauc: order against the other slot", prepare: after(), verb: sweepOrder(b)},
		{name: "rauc: order against the other slot, first", virgin: true, prepare: after(), verb: sweepOrder(b)},
		{name: "rauc: order over a switch", prepare: with(plain), verb: sweepOrder(b)},
		{name: "rauc: order over a capsule", prepare: with(full), verb: sweepOrder(b)},
		{name: "rauc: order over an install that broke", prepare: after(bad, half), verb: sweepOrder(b), heal: again},
		{name: "rauc: order and good, after a reboot", prepare: after(sweepOrder(b), rebootsUp, sweepVerify), verb: sweepSetGood(b)},
		{name: "rauc: order and primary", prepare: after(sweepOrder(b)), verb: sweepMarkActive(b)},
		{name: "rauc: verify, on trial and marked bad", prepare: with(full, rebootsUp, sweepCount, sweepOrder(b)), verb: sweepVerify},
		{name: "rauc: good revives the running slot", prepare: after(sweepSetBad(a)), verb: sweepSetGood(a)},
		{name: "rauc: firmware alone", prepare: after(fw), verb: sweepFirmwareOnly},
		{name: "rauc: firmware alone, pinned", redundancy: virtual.BootOnly, prepare: after(fw), verb: sweepFirmwareOnly},
		{name: "rauc: verify, marked and not installed", prepare: after(bad, rebootsUp), verb: sweepVerify},
		{name: "rauc: verify, half written", prepare: after(bad, half, rebootsUp), verb: sweepVerify, heal: again},
		{name: "rauc: verify, written and no set-primary", prepare: after(bad, wrote, fw, rebootsUp), verb: sweepVerify, heal: again},
		{name: "rauc: verify, unhealthy", prepare: with(full, rebootsUp, sweepCount, healthFails), verb: sweepVerify, heal: healthy},
	}
}

// orderedBad is the walk's word for the one call that may leave no slot bootable.
const orderedBad = "rauc: mark-bad booted"

// outsideVerb draws a call of RAUC's for a walk.
func outsideVerb(t *rapid.T, image string) named {
	fw, backwards := rapid.Bool().Draw(t, "with firmware"), rapid.IntRange(0, 3).Draw(t, "backwards") == 0
	pieces := rapid.IntRange(1, sweepPieces).Draw(t, "pieces")
	begun := together(otherOf(sweepSetBad), otherOf(func(s backends.Slot) sweepVerb { return sweepPartly(image, s, pieces, backwards) }))
	broke := fmt.Sprintf("rauc: install %s, which ends after %d pieces", image, pieces)
	return rapid.SampledFrom([]named{
		{fmt.Sprintf("rauc: install %s, firmware %v", image, fw), sweepRAUC(image, fw)},
		{broke, begun},
		{broke + ", and mark-active other", together(begun, otherOf(sweepMarkActive))},
		{broke + ", and mark-good other", together(begun, otherOf(sweepSetGood))},
		{"rauc: mark-bad other", otherOf(sweepOrder)},
		{orderedBad, runningOf(sweepOrder)},
		{"rauc: mark-good other", otherOf(sweepSetGood)},
		{"rauc: mark-good booted", runningOf(sweepSetGood)},
		{"rauc: mark-active other", otherOf(sweepMarkActive)},
		{"rauc: mark-active booted", runningOf(sweepMarkActive)},
		{"rauc: install firmware alone", together(sweepStage(ruleRAUC, false), sweepFirmwareOnly)},
		{"rauc: post-install", sweepFirmwareOnly},
	}).Draw(t, "rauc")
}

// asOrdered says that an error is what RAUC's order asked for.
func (w *walk) asOrdered(err error) bool {
	return w.ordered && strings.Contains(err.Error(), "both slots are marked unbootable")
}

// remembered wants the journal to know of each root file system that is half written, whoever writes it.
func (w *walk) remembered() {
	c, _ := w.d.control(nil)
	st, err := c.Status(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range backends.Slots {
		if name, err := w.d.root(s); err != nil || name == "" && st.Slots[s].Rootfs != backends.Torn {
			w.t.Fatalf("the root file system of slot %s is half written, and the journal calls it %s (%v)", s, st.Slots[s].Rootfs, err)
		}
	}
}
