package backends_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// root names the image that a slot's root file system is, "" for a torn one.
func (d *sweepDevice) root(s backends.Slot) (string, error) {
	found := ""
	err := withContent(d.path("dev/disk/by-partlabel", s.RootPartition()), func(content []byte) {
		for name, image := range d.rig.images {
			if bytes.Equal(content, image) {
				found = name
			}
		}
	})
	return found, err
}

func (d *sweepDevice) current() (backends.Slot, error) {
	c, _ := d.control(nil)
	st, err := c.State(context.Background())
	return st.Current, err
}

func virtualSlot(s backends.Slot) virtual.Slot { return virtual.Slot(s.Index()) }

func backendsSlot(s virtual.Slot) backends.Slot { return backends.SlotAt(uint32(s)) }

// started checks the slot that a kernel was started on: nothing half written boots, and chain and root file system go together.
func (d *sweepDevice) started(r virtual.BootReport) error {
	if !r.KernelStarted() {
		return nil
	}
	chain, root := backendsSlot(r.Chain), backendsSlot(r.Rootfs)
	want := chain
	if d.redundancy == virtual.BootOnly {
		want = backends.A
	}
	if root != want {
		return fmt.Errorf("chain %s started with the root file system of slot %s", chain, root)
	}
	name, err := d.root(root)
	if err != nil {
		return err
	}
	if name == "" {
		return fmt.Errorf("the torn root file system of slot %s was booted", root)
	}
	c, err := d.orin.Chain(r.Chain)
	if err != nil {
		return err
	}
	if !c.Whole {
		return fmt.Errorf("the half-written chain %s was booted: %v", chain, c.Problems)
	}
	return nil
}

// inspect checks what must hold at any time, whatever was cut. strict: the storage keeps its promises, so that the
// journal is never lost.
func (d *sweepDevice) inspect(strict bool) error {
	c, _ := d.control(nil)
	st, err := c.Status(context.Background())
	if err != nil {
		return fmt.Errorf("Status: %w", err)
	}
	lost := false
	for _, p := range st.Problems {
		if p.Check == "journal" {
			lost = true
			if strict {
				return fmt.Errorf("the journal did not survive: %s", p.Reason)
			}
		}
	}
	state, err := c.State(context.Background())
	if err != nil {
		return err
	}
	bad := 0
	for _, s := range backends.Slots {
		if v := state.Slots[s].Status; v != nil && *v == backends.StatusUnbootable {
			bad++
		}
		name, err := d.root(s)
		if err != nil {
			return err
		}
		if name == "" && st.Slots[s].Rootfs == backends.Whole {
			return fmt.Errorf("the journal calls the torn root file system of slot %s whole", s)
		}
		if name == "" && state.Next == s {
			return fmt.Errorf("slot %s is selected, and its root file system is torn", s)
		}
		chain, err := d.orin.Chain(virtualSlot(s))
		if err != nil {
			return err
		}
		if !chain.Whole && !st.Slots[s].FirmwareDirty && !lost {
			return fmt.Errorf("the journal does not know that chain %s is half written: %v", s, chain.Problems)
		}
	}
	if bad == 2 {
		return fmt.Errorf("both slots are marked unbootable")
	}
	return nil
}

var errUncommitted = errors.New("it runs and is not committed")

// settle boots until no more reboot is asked for, as a device does that is left alone.
func (d *sweepDevice) settle(cold bool) (backends.Boot, []string, error) {
	var trace []string
	for i := 0; i < 6; i++ {
		r, err := d.boot(virtual.BootOptions{Cold: cold && i == 0})
		trace = append(append(trace, "-- boot"), r.Timeline...)
		if err != nil {
			return backends.Boot{}, trace, err
		}
		if err := d.started(r); err != nil {
			return backends.Boot{}, trace, err
		}
		if r.Outcome != virtual.OutcomeRunning {
			return backends.Boot{}, trace, fmt.Errorf("Linux does not run: %s", r.Outcome)
		}
		b, err := d.userspace()
		trace = append(trace, fmt.Sprintf("userspace on slot %s: state %s, verdict %s, reboot %v: %s", b.Slot, b.State, b.Verdict.Outcome, b.Reboot, b.Message))
		if err != nil {
			return b, trace, err
		}
		if !b.Reboot {
			if !b.Committed {
				return b, trace, fmt.Errorf("slot %s: %w", b.Slot, errUncommitted)
			}
			return b, trace, nil
		}
	}
	return backends.Boot{}, trace, fmt.Errorf("the device reboots without end")
}

// exhaust lets kernels die after warm resets until the firmware has nothing left, and checks each slot it tries on the
// way. It uses the device up. dirtyWindow: boot-verify had no chance yet to protect a chain that the firmware was cut
// in.
func (d *sweepDevice) exhaust(cold, dirtyWindow bool) error {
	for i := 0; i < 9; i++ {
		r, err := d.boot(virtual.BootOptions{Cold: cold && i == 0, Fail: virtual.FailKernel})
		if err != nil {
			return err
		}
		if err := d.started(r); err != nil && !(dirtyWindow && strings.Contains(err.Error(), "half-written chain")) {
			return fmt.Errorf("fall-back after dying kernels: %w", err)
		}
		if r.Outcome == virtual.OutcomeRecovery {
			return nil
		}
	}
	return nil
}

// stumble lets the running firmware fail once after a warm reset, so that BootROM starts the other chain while the
// launcher's register is valid and the status variables count for nothing. It uses the device up.
func (d *sweepDevice) stumble() error {
	r, err := d.boot(virtual.BootOptions{Fail: virtual.FailFirmware})
	if err != nil {
		return err
	}
	if err := d.started(r); err != nil {
		return fmt.Errorf("fall-over of BootROM: %w", err)
	}
	return nil
}

// protected checks, once boot-verify ran, that the firmware does not fall back to anything half written.
func (d *sweepDevice) protected() error {
	if d.redundancy != virtual.RootfsAB {
		return nil // the firmware has no fall-back of root file systems
	}
	c, _ := d.control(nil)
	state, err := c.State(context.Background())
	if err != nil {
		return err
	}
	other := state.Current.Other()
	name, err := d.root(other)
	if err != nil {
		return err
	}
	chain, err := d.orin.Chain(virtualSlot(other))
	if err != nil || name != "" && chain.Whole {
		return err
	}
	slot := state.Slots[other]
	if slot.Status == nil || *slot.Status != backends.StatusUnbootable || slot.Retries == nil || *slot.Retries != 0 {
		return fmt.Errorf("slot %s is half written (root %q, chain whole %v) and not marked: %+v", other, name, chain.Whole, slot)
	}
	return nil
}

// again installs an update, boots and verifies it: whatever happened before, this must work.
func (d *sweepDevice) again() error {
	old, err := d.current()
	if err != nil {
		return err
	}
	target := old.Other()
	before, err := d.root(old)
	if err != nil {
		return err
	}
	steps := []sweepVerb{
		sweepInstall("again", "APP", "again", false), sweepInstall("again", "kernel", "again", false),
		sweepStage("again", false), sweepActivate("again", backends.None),
	}
	if d.redundancy == virtual.BootOnly {
		steps = steps[2:]
	}
	for i, v := range steps {
		if err := d.do(nil, v); err != nil {
			return fmt.Errorf("the update again, step %d: %w", i+1, err)
		}
	}
	b, trace, err := d.settle(false)
	if err != nil {
		return fmt.Errorf("the update again: %w\n%s", err, strings.Join(trace, "\n"))
	}
	if d.redundancy == virtual.BootOnly && b.State == backends.Idle {
		target = old // the other chain held that firmware already, whole: nothing to do
	} else if b.Slot != target || !b.Committed || b.State != backends.Committed {
		return fmt.Errorf("the update again: slot %s runs, state %s, committed %v, want %s: %s\n%s", b.Slot, b.State, b.Committed, target, b.Message, strings.Join(trace, "\n"))
	}
	chain, err := d.orin.Chain(virtualSlot(old.Other()))
	if err != nil {
		return err
	}
	if !chain.Whole || chain.VersionText != sweepNewL4T {
		return fmt.Errorf("the update again: chain %s holds %s, whole %v, want %s", target, chain.VersionText, chain.Whole, sweepNewL4T)
	}
	want := map[backends.Slot]string{old: before, target: "again"}
	if d.redundancy == virtual.BootOnly {
		delete(want, target)
	}
	for s, name := range want {
		if got, err := d.root(s); err != nil || got != name {
			return fmt.Errorf("the update again: slot %s holds %q, want %q (%v)", s, got, name, err)
		}
	}
	return d.inspect(false)
}
