package backends_test

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// sweepRun judges the cuts of one case.
type sweepRun struct {
	c       sweepCase
	base    *sweepDevice
	old     backends.Slot
	oldRoot string
	judging string // tells what is judged about a device, beside the device
	seen    int    // devices after a cut
	done    int    // devices after they settled
	share   int    // with the device that a verb is cut on
}

func newSweepRun(rig *sweepRig, c sweepCase, onESP bool) (*sweepRun, error) {
	if c.redundancy == "" {
		c.redundancy = virtual.RootfsAB
	}
	make := rig.used
	if c.virgin {
		make = rig.newDevice
	}
	base, err := make(c.redundancy, onESP)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(base); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if err := base.inspect(!c.virgin); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	r := &sweepRun{c: c, base: base}
	if r.old, err = base.current(); err != nil {
		return nil, err
	}
	running := r.old
	if c.redundancy == virtual.BootOnly {
		running = backends.A
	}
	r.oldRoot, err = base.root(running)
	r.judging = fmt.Sprintf("%s with %s runs, virgin %v, healed %v, %s, on ESP %v", r.old, r.oldRoot, c.virgin, c.heal != nil, c.redundancy, onESP)
	return r, err
}

// judge boots a device that was cut, warm or cold, and checks all that must hold.
func (r *sweepRun) judge(cut *sweepDevice, cold, strict, dirtyWindow bool) error {
	d, err := cut.cloneSharing(shareRoots)
	if err != nil {
		return err
	}
	defer d.drop()
	if err := d.exhaust(cold, dirtyWindow); err != nil {
		return err
	}
	if !cold && r.base.redundancy == virtual.RootfsAB {
		d, err := cut.cloneSharing(shareRoots)
		if err != nil {
			return err
		}
		defer d.drop()
		if err := d.stumble(); err != nil {
			return err
		}
	}
	d, err = cut.cloneSharing(shareRoots)
	if err != nil {
		return err
	}
	defer d.drop()
	_, trace, err := d.settle(cold)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(trace, "\n"))
	}
	if err := r.settled(d, strict); err != nil {
		return fmt.Errorf("settled: %w\n%s", err, strings.Join(trace, "\n"))
	}
	return nil
}

func (r *sweepRun) settled(d *sweepDevice, strict bool) error {
	if err := d.inspect(strict); err != nil {
		return err
	}
	if err := d.protected(); err != nil {
		return err
	}
	if err := r.untouched(d); err != nil {
		return err
	}
	if isNew, err := d.rig.fresh(d, r.judging+" settled", false); err != nil || !isNew {
		return err
	}
	r.done++
	if r.c.heal != nil {
		if err := r.c.heal(d); err != nil {
			return err
		}
	}
	if *sweepFull { // protected says as much in less time
		e, err := d.cloneSharing(shareRoots)
		if err != nil {
			return err
		}
		defer e.drop()
		if err := e.exhaust(false, false); err != nil {
			return err
		}
	}
	if err := d.unshare(); err != nil {
		return err
	}
	return d.again()
}

// untouched checks the root file system that ran when the power was cut.
func (r *sweepRun) untouched(d *sweepDevice) error {
	slot := r.old
	if d.redundancy == virtual.BootOnly {
		slot = backends.A
	}
	got, err := d.root(slot)
	if err == nil && got != r.oldRoot {
		err = fmt.Errorf("the root file system of slot %s, which ran, is %q and was %q", slot, got, r.oldRoot)
	}
	return err
}
