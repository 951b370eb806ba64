package backends_test

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
)

// settled checks a device that runs, committed.
func (r *r32Run) settled(d *r32Device, b backends.Boot) error {
	if err := d.inspect(!r.c.virgin); err != nil {
		return err
	}
	if half, err := d.halfWritten(b.Slot); err != nil || half {
		return fmt.Errorf("half-written slot %s is committed (%v)", b.Slot, err)
	}
	if err := d.protected(); err != nil {
		return err
	}
	if got, err := d.root(r.old); err != nil || got != r.oldRoot {
		return fmt.Errorf("the root file system of slot %s, which ran, is %q and was %q (%v)", r.old, got, r.oldRoot, err)
	}
	if isNew, err := r.fresh(d, "settled"); err != nil || !isNew {
		return err
	}
	r.done++
	if r.c.heal != nil {
		if err := r.c.heal(d); err != nil {
			return err
		}
	}
	return d.again()
}

// again installs an update, boots and verifies it: whatever happened before, this must work, and end committed in the other slot.
func (d *r32Device) again() error {
	st, err := d.status()
	if err != nil {
		return err
	}
	old := *st.Current
	before, err := d.root(old)
	if err != nil {
		return err
	}
	for i, v := range []r32Verb{r32Install("again", "APP", "again"), r32Install("again", "kernel", "again"), r32Stage("again"), r32Activate(backends.None)} {
		if err := d.do(nil, v); err != nil {
			return fmt.Errorf("the update again, step %d: %w", i+1, err)
		}
	}
	b, trace, err := d.settle(false, d.started)
	if err == nil && (b.Slot != old.Other() || b.State != backends.Committed) {
		err = fmt.Errorf("slot %s runs, %s: %s", b.Slot, b.State, b.Message)
	}
	if err != nil {
		return fmt.Errorf("the update again: %w\n%s", err, strings.Join(trace, "\n"))
	}
	chain, err := d.Chain(virtualSlot(old.Other()))
	if err != nil || !chain.Whole || chain.VersionText != r32NewL4T {
		return fmt.Errorf("the update again: chain %s holds %s, whole %t (%v)", old.Other(), chain.VersionText, chain.Whole, err)
	}
	for s, name := range map[backends.Slot]string{old: before, old.Other(): "again"} {
		if got, err := d.root(s); err != nil || got != name {
			return fmt.Errorf("the update again: slot %s holds %q, want %q (%v)", s, got, name, err)
		}
	}
	return d.inspect(false)
}
