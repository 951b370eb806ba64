package backends

import (
	"context"
	"fmt"
)

// maxRejoins bounds the reboots that bring chain and root file system together: a firmware that parts them every time must not
// make a device reboot for ever.
const maxRejoins = 2

// rejoin brings a chain and its root file system together again where they are selected by two commands: a power cut between the two
// leaves them apart, and cboot gives up a root file system alone. Nothing else would end that, and every update is refused meanwhile.
func (s *session) rejoin(ctx context.Context, b *Boot) error {
	apart := s.obs.disagreement()
	if !s.obs.state.Separate || apart == nil {
		if s.journal.doc.Rejoins == 0 {
			return nil
		}
		s.journal.doc.Rejoins = 0
		return s.journal.save(false)
	}
	slot := s.joinable()
	if slot == None || s.journal.doc.Rejoins >= maxRejoins {
		b.Message = fmt.Sprintf("%v; no slot is known that could run whole", apart)
		return nil
	}
	s.journal.doc.Rejoins++
	if err := s.journal.save(false); err != nil {
		return err
	}
	if err := s.backend.SetNext(ctx, slot); err != nil {
		return err
	}
	b.Committed, b.Reboot = false, true
	b.Message = fmt.Sprintf("%v; slot %s boots next, both of it", apart, slot)
	return nil
}

// joinable is the slot that both halves are to be of: whole, and rather not one whose update has just failed. The running chain comes
// first, because it provably starts.
func (s *session) joinable() Slot {
	u := s.journal.doc.Update
	second := None
	for _, slot := range []Slot{s.obs.state.Current, s.obs.state.Current.Other()} {
		mark := s.journal.mark(slot)
		switch {
		case mark.Rootfs == Torn || mark.Firmware == Dirty || mark.Bad:
		case u != nil && u.Target == slot && u.State != Committed:
			second = slot
		default:
			return slot
		}
	}
	return second
}
