package backends

import (
	"context"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Refill gives the running slot full retries and removes what the last switch left over, as nvbootctrl's verify does.
// It does not end a trial: that is Commit's.
func (c *Control) Refill(ctx context.Context) error {
	s, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	return s.refill(ctx)
}

// SetUnbootable makes a slot unbootable on somebody's word. The running slot is left alone: with both slots at 0xFF the
// firmware boots recovery.
func (c *Control) SetUnbootable(ctx context.Context, slot Slot) error {
	s, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	if slot == s.obs.state.Current || slot == s.obs.state.expectedRoot(s.obs.state.Current) {
		return fail.New(fail.Unavailable, "cannot make slot %s unbootable: it runs", slot).Then("switch to the other slot first")
	}
	if u := s.journal.doc.Update; u.inFlight() && u.Target == slot {
		if err := s.takeBack(ctx); err != nil {
			return err
		}
	}
	if s.obs.state.Next == slot {
		if err := s.backend.CancelNext(ctx); err != nil {
			return err
		}
	}
	return s.markOtherUnbootable(ctx)
}

// State reads boot control as it is.
func (c *Control) State(ctx context.Context) (State, error) { return c.backend.Read(ctx) }
