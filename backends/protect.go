package backends

import "context"

// protectFromDirty makes the other slot unbootable while its chain may be half written: the firmware's own fall-back
// ignores the journal, and UEFI on T234 refuses no chain (edk2-nvidia T234ResourceConfig.c).
func (s *session) protectFromDirty(ctx context.Context, v Verdict) error {
	other := s.obs.state.Current.Other()
	u := s.journal.doc.Update
	armed := u != nil && u.State == Activated && u.ActivatedIn == s.obs.bootID
	// A capsule that changed nothing leaves the chain as it was before: half written, if it was to be the cure.
	asBefore := v.untouched && u.capsule() != nil && u.Firmware.MarkBefore != Dirty
	if s.journal.mark(other).Firmware != Dirty || armed || asBefore {
		return nil
	}
	return s.keepFromFallback(ctx)
}

// keepFromFallback makes the slot that does not run unbootable, where the firmware knows such a thing.
func (s *session) keepFromFallback(ctx context.Context) error {
	if !s.obs.state.marked() {
		return nil
	}
	return s.markOtherUnbootable(ctx)
}

// markOtherUnbootable makes the slot that does not run unbootable, and the running one bootable if it is not: with both
// at 0xFF the launcher boots recovery at once, whatever the retry counts say (edk2-nvidia L4TRootfsValidation.c).
func (s *session) markOtherUnbootable(ctx context.Context) error {
	current := s.obs.state.Current
	if st := s.obs.state.Slots[current].Status; st != nil && *st == StatusUnbootable {
		if err := s.backend.MarkBootable(ctx, current); err != nil {
			return err
		}
	}
	return s.backend.MarkUnbootable(ctx, current.Other())
}

// keepRunningSlot refills the running slot where the other one could not be protected: it is then the only good one, and the firmware
// must not leave it for want of a word (cboot does so after two boots). A slot on trial is not confirmed by that.
func (s *session) keepRunningSlot(ctx context.Context) error {
	if s.onTrial() || s.journal.mark(s.obs.state.Current).Firmware == Dirty {
		return nil
	}
	return s.refill(ctx)
}
