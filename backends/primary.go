package backends

import (
	"context"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// SetPrimary makes a slot boot next on an updater's word, and bootable with it. For the slot that does not run it is
// Activate; after SetBad in the same boot it also says that the updater has written the slot completely. For the running
// slot it takes an activation back. finished says that this may be the end of the updater's install: its word for what it
// wrote is taken then and not otherwise.
func (c *Control) SetPrimary(ctx context.Context, id string, slot Slot, finished bool) (Activation, error) {
	s, err := c.begin(ctx)
	if err != nil {
		return Activation{}, err
	}
	defer s.end()
	if s.obs.state.pinned() && slot != A {
		return Activation{}, s.refuseRedundancy(true)
	}
	if slot != s.obs.state.expectedRoot(s.obs.state.Current) {
		if err := s.vouch(id, slot, finished); err != nil {
			return Activation{}, err
		}
		return s.choose(ctx, "", slot)
	}
	if err := s.obs.disagreement(); err != nil {
		return Activation{}, fail.New(fail.Unavailable, "cannot activate slot %s: %w", slot, err)
	}
	a, err := s.choose(ctx, "", s.obs.state.Current)
	if err != nil {
		return a, err
	}
	a.Slot = slot
	if err := s.refill(ctx); err != nil || !s.journal.mark(slot).Bad {
		return a, err
	}
	s.journal.setBad(slot, false)
	return a, s.journal.save(false)
}

// ActivateFirmwareOnly activates the update of an id, whose updater switches slots for images alone and brought none. done
// is false where that happened already. It is an error if no such firmware is staged: the updater would report a success
// that nothing comes of.
func (c *Control) ActivateFirmwareOnly(ctx context.Context, id string) (a Activation, done bool, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return a, false, err
	}
	defer s.end()
	u := s.journal.doc.Update
	switch {
	case s.settled(u, id):
		return a, false, nil
	case !s.continuesAs(u, id) || u.Firmware == nil:
		return a, false, fail.New(fail.Unavailable, "cannot activate the firmware: none of update %q is staged%s", id, lastEnd(u)).
			Then("let the update's own hook install it, and install the update again")
	}
	a, err = s.choose(ctx, id, None)
	return a, err == nil, err
}

// settled says that an update was activated in this boot, or that the firmware of this id was found to be there already.
func (s *session) settled(u *Update, id string) bool {
	if u == nil || u.Firmware == nil || u.BegunIn != s.obs.bootID {
		return false
	}
	// Whoever activated it: a bundle with a handler of its own does all by itself.
	return u.State == Activated || u.ID == id && u.State == Idle && u.Firmware.Skipped
}

// Primary returns the slot whose root file system boots next, as far as it can be known; None if that one is bad.
func (c *Control) Primary(ctx context.Context) (Slot, error) {
	s, err := c.read(ctx)
	if err != nil {
		return None, err
	}
	slot := s.obs.state.expectedRoot(s.next())
	if !s.good(slot) {
		return None, nil
	}
	return slot, nil
}

// Good says whether a slot may boot: not marked unbootable, not half written.
func (c *Control) Good(ctx context.Context, slot Slot) (bool, error) {
	s, err := c.read(ctx)
	if err != nil {
		return false, err
	}
	return s.good(slot), nil
}

// good does not ask for the retries: a count of 0 ends in the fall-back, and the firmware then sets the status itself.
func (s *session) good(slot Slot) bool {
	if st := s.obs.state.Slots[slot].Status; st != nil && *st == StatusUnbootable || s.journal.mark(slot).Bad {
		return false
	}
	// The mark of a capsule stays until its boot is judged; on trial the chain runs, and boot-verify decides.
	tried := slot == s.obs.state.Current && s.onTrial()
	return s.journal.mark(slot).Rootfs != Torn && (tried || !s.dirty(slot))
}

// Booted returns the slot whose root file system is mounted at /. The error is Unavailable where chain, launcher and mount
// contradict each other: nobody guesses then.
func (c *Control) Booted(ctx context.Context) (Slot, error) {
	o, err := c.observe(ctx)
	if err != nil {
		return None, err
	}
	if err := o.disagreement(); err != nil {
		return None, fail.New(fail.Unavailable, "cannot tell which slot runs: %w", err)
	}
	if o.root != None {
		return o.root, nil
	}
	return o.state.expectedRoot(o.state.Current), nil // the launcher said so; a mapped root need not show its partition
}
