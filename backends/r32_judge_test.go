package backends_test

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// started checks the slot that a kernel was started on: nothing half written boots, and chain and root file system go together.
func (d *r32Device) started(r virtual.BootReport) error {
	if !r.KernelStarted() {
		return nil
	}
	chain, root := backendsSlot(r.Chain), backendsSlot(r.Rootfs)
	// Separate views take two commands, and cboot gives up a root file system alone: there the two may part until boot-verify has run.
	if chain != root && !d.split {
		return fmt.Errorf("chain %s started with the root file system of slot %s", chain, root)
	}
	if name, err := d.root(root); err != nil || name == "" {
		return fmt.Errorf("the torn root file system of slot %s was booted (%v)", root, err)
	}
	c, err := d.Chain(r.Chain)
	if err == nil && !c.Whole {
		err = fmt.Errorf("the half-written chain %s was booted: %v", chain, c.Problems)
	}
	return err
}

// inspect checks what must hold at any time. strict: the journal is never lost.
func (d *r32Device) inspect(strict bool) error {
	st, err := d.status()
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	lost := false
	for _, p := range st.Problems {
		if lost = lost || p.Check == "journal"; lost && strict {
			return fmt.Errorf("the journal did not survive: %s", p.Reason)
		}
	}
	for _, s := range backends.Slots {
		name, err := d.root(s)
		if err != nil {
			return err
		}
		if name == "" && st.Slots[s].Rootfs == backends.Whole {
			return fmt.Errorf("the journal calls the torn root file system of slot %s whole", s)
		}
		chain, err := d.Chain(virtualSlot(s))
		if err != nil {
			return err
		}
		if !chain.Whole && !st.Slots[s].FirmwareDirty && !lost {
			return fmt.Errorf("the journal does not know that chain %s is half written: %v", s, chain.Problems)
		}
	}
	if d.nextBoot() == backends.None {
		return fmt.Errorf("both slots are unbootable")
	}
	return nil
}

// halfWritten says whether a slot holds something that must not boot.
func (d *r32Device) halfWritten(s backends.Slot) (bool, error) {
	name, err := d.root(s)
	if err != nil {
		return false, err
	}
	chain, err := d.Chain(virtualSlot(s))
	return name == "" || !chain.Whole, err
}

// protected checks, once boot-verify ran, that MB1 and cboot do not fall back to anything half written.
func (d *r32Device) protected() error {
	st, err := d.status()
	if err != nil {
		return err
	}
	other := st.Current.Other()
	half, err := d.halfWritten(other)
	if err != nil || !half {
		return err
	}
	meta, err := d.Metadata()
	if err == nil && (!d.isUnbootable(other) || d.split && meta.RootStatus[other.Index()] == 0) {
		err = fmt.Errorf("slot %s is half written and a way back: %+v", other, meta)
	}
	return err
}

// settle boots until no more reboot is asked for, as a device does that is left alone.
func (d *r32Device) settle(cold bool, judge func(virtual.BootReport) error) (backends.Boot, []string, error) {
	var trace []string
	for i := 0; i < 8; i++ {
		r, err := d.boot(virtual.BootOptions{Cold: cold && i == 0})
		trace = append(append(trace, "-- boot"), r.Timeline...)
		if err == nil {
			err = judge(r)
		}
		if err == nil && r.Outcome != virtual.OutcomeRunning {
			err = fmt.Errorf("Linux does not run: %s", r.Outcome)
		}
		if err != nil {
			return backends.Boot{}, trace, err
		}
		b, err := d.userspace()
		trace = append(trace, fmt.Sprintf("userspace on slot %s: state %s, verdict %s, committed %t, reboot %t: %s", b.Slot, b.State, b.Verdict.Outcome, b.Committed, b.Reboot, b.Message))
		switch {
		case err != nil:
			return b, trace, err
		case b.Committed && !b.Reboot:
			return b, trace, nil
		case !b.Reboot:
			return b, trace, fmt.Errorf("slot %s: %w", b.Slot, errUncommitted)
		}
	}
	return backends.Boot{}, trace, fmt.Errorf("the device reboots without end")
}

// exhaust lets kernels die until nothing is left to try, and checks each slot on the way. It uses the device up.
func (d *r32Device) exhaust(cold bool, judge func(virtual.BootReport) error) error {
	attempts := 24
	if cold {
		attempts = 9 // MB1's retries of a slot on trial and two more; cboot's count of kernels is lost each time, so it need not end
	}
	for i := 0; i < attempts; i++ {
		r, err := d.boot(virtual.BootOptions{Cold: cold, Fail: virtual.FailKernel})
		if err != nil {
			return err
		}
		if err := judge(r); err != nil {
			return fmt.Errorf("boot %d with dying kernels: %w", i+1, err)
		}
		if !r.KernelStarted() {
			return nil
		}
	}
	return nil
}

// judge boots a device that was cut, warm or cold, and checks all that must hold.
func (r *r32Run) judge(cut *r32Device, cold bool) error {
	// The target's root file system may not be there yet when the engine's switch comes through.
	window, err := r.taken(cut)
	if err != nil {
		return err
	}
	judge := func(d *r32Device) func(virtual.BootReport) error {
		return func(b virtual.BootReport) error {
			err := d.started(b)
			if err != nil && window && backendsSlot(b.Rootfs) != r.old && strings.Contains(err.Error(), "torn root file system") {
				return nil
			}
			return err
		}
	}
	d, err := cut.clone()
	if err != nil {
		return err
	}
	err = d.exhaust(cold, judge(d))
	d.drop()
	if err != nil {
		return err
	}
	if !cold { // MB1 knows no difference
		if d, err = cut.clone(); err != nil {
			return err
		}
		b, err := d.boot(virtual.BootOptions{Fail: virtual.FailFirmware})
		if err == nil {
			err = judge(d)(b)
		}
		d.drop()
		if err != nil {
			return fmt.Errorf("a chain that does not come up: %w", err)
		}
	}
	if d, err = cut.clone(); err != nil {
		return err
	}
	defer d.drop()
	b, trace, err := d.settle(cold, judge(d))
	if err == nil {
		err = r.settled(d, b)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(trace, "\n"))
	}
	return nil
}
