package backends

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Outside is what is remembered of a target that an updater writes itself, as RAUC does: it says when it begins and when
// it has finished, and nothing in between.
type Outside struct {
	// Before is the target's mark when the updater began.
	Before Mark `json:"before"`
	// Then is how the target's root file system looked when it began.
	Then Look `json:"then"`
}

// Look tells whether somebody wrote to a slot's root file system, within one boot: after a power cut it proves nothing,
// because what was written later may have reached the storage first.
type Look struct {
	// Head is SHA-256 of its first bytes, "" if they cannot be read. An image is written from the front, and every file
	// system keeps identity and times up there; but the same image may be written twice.
	Head string `json:"head,omitempty"`
	// Writes changes with what reaches the storage, which an updater waits for before it says that it has finished.
	Writes string `json:"writes,omitempty"`
}

// headSize covers the superblocks of ext4, squashfs and EROFS, and ext4's group descriptors.
const headSize = 64 << 10

// SetBad makes a slot unbootable on an updater's word, and selects no other. For the slot that does not run it is the
// beginning of an update that the updater writes itself: recorded under id, each one anew, after a switch or capsule into
// that slot was taken back. For the running slot it is an order that is obeyed. The warnings are for the log.
func (c *Control) SetBad(ctx context.Context, id string, slot Slot) (warnings []string, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer s.end()
	if slot == s.obs.state.expectedRoot(s.obs.state.Current) {
		return s.runningBad(ctx, slot)
	}
	if err := s.refuseInstall(ctx, aim{outside: true}); err != nil {
		return nil, err
	}
	return s.beginOutside(ctx, id, slot)
}

// beginOutside is Begin for an updater that writes the target itself.
func (s *session) beginOutside(ctx context.Context, id string, target Slot) (warnings []string, err error) {
	current := s.obs.state.Current
	if s.journal.mark(current).Bad { // that order stands, too: two slots at 0xFF make the launcher boot recovery at once
		warnings = append(warnings, fmt.Sprintf("slot %s is marked bad as well: no slot is bootable now", current))
	} else if !s.obs.state.withoutFallback() {
		if err := s.backend.MarkBootable(ctx, current); err != nil {
			return nil, fail.New(fail.IO, "%w (the running slot %s must be bootable before the other is marked, so nothing was)", err, current)
		}
	}
	began, usable := Outside{Before: s.journal.mark(target), Then: s.look(target)}, s.rootUsable(target) == nil
	if old := s.journal.doc.Update; old != nil && old.Outside != nil && old.Target == target && s.unwritten(old) {
		began.Before, usable = old.Outside.Before, old.RootUsable // marked twice, and not written in between
	}
	if err := s.startOver(ctx, id); err != nil {
		return nil, err
	}
	s.journal.doc.Update.Outside, s.journal.doc.Update.RootUsable = &began, usable
	s.journal.setTorn(target, "APP")
	if err := s.journal.save(false); err != nil {
		return nil, err
	}
	if s.obs.state.withoutFallback() {
		return warnings, nil // as for Begin: the journal's mark stands alone
	}
	return warnings, s.backend.MarkUnbootable(ctx, target)
}

// runningBad obeys an order against the running slot. The mark remembers it, so that nothing of ours rolls back to that slot.
func (s *session) runningBad(ctx context.Context, slot Slot) (warnings []string, err error) {
	if err := s.obs.disagreement(); err != nil {
		return nil, fail.New(fail.Unavailable, "cannot mark slot %s bad: %w", slot, err)
	}
	if s.obs.state.withoutFallback() || s.obs.state.pinned() {
		return nil, fail.New(fail.Unavailable, "cannot mark slot %s bad: it runs, and the firmware has no other root file system to fall back to", slot).
			Then("flash the device with ROOTFS_AB=1")
	}
	if err := s.refuseReadOnly(ctx); err != nil {
		return nil, err
	}
	if !s.good(slot.Other()) {
		warnings = append(warnings, fmt.Sprintf("slot %s was the last bootable one: the next boot ends in the recovery system unless an update comes first", slot))
	}
	if !s.onTrial() && s.journal.mark(slot).Rootfs == Unknown {
		s.journal.setRootfs(slot, Whole) // it runs
	}
	s.journal.setBad(slot, true)
	if err := s.journal.save(false); err != nil {
		return nil, err
	}
	return warnings, s.backend.MarkUnbootable(ctx, slot)
}

// SetGood makes a slot bootable on an updater's word. For the running slot that is the whole commit. The other one must
// be neither half written nor dirty; if it was only marked bad and nobody wrote to it since, it is what it was.
func (c *Control) SetGood(ctx context.Context, slot Slot) (message string, err error) {
	s, err := c.begin(ctx)
	if err != nil {
		return "", err
	}
	defer s.end()
	if slot == s.obs.state.expectedRoot(s.obs.state.Current) {
		return s.commit(ctx)
	}
	if err := s.refuseGood(ctx, slot); err != nil {
		return "", err
	}
	if u := s.journal.doc.Update; s.markedOnly(u, slot) && u.Outside.Before.Rootfs != Torn && !s.dirty(slot) {
		if err := s.endMark(ctx, u); err != nil {
			return "", err
		}
	}
	if err := s.refuseHalfWritten(slot); err != nil {
		return "", err
	}
	if s.journal.mark(slot).Bad {
		s.journal.setBad(slot, false)
		if err := s.journal.save(false); err != nil {
			return "", err
		}
	}
	if !s.obs.state.withoutFallback() {
		err = s.backend.MarkBootable(ctx, slot)
	}
	return fmt.Sprintf("slot %s is bootable", slot), err
}

// endMark ends the update that a mark had begun: there is none, and the slot is what it was.
func (s *session) endMark(ctx context.Context, u *Update) error {
	if u.inFlight() && u.Firmware != nil {
		if err := s.stager.Discard(ctx, u.Firmware.Staged); err != nil {
			return err
		}
	}
	mark := u.Outside.Before
	mark.Firmware = s.journal.mark(u.Target).Firmware
	s.journal.doc.Marks[u.Target] = &mark
	u.Outside = nil
	u.end(Idle, fmt.Sprintf("slot %s was marked bad, and good again", u.Target), "")
	return s.journal.save(false)
}

// refuseGood says why the other slot cannot be made bootable now, whatever is in it.
func (s *session) refuseGood(ctx context.Context, slot Slot) error {
	if err := s.obs.disagreement(); err != nil {
		return fail.New(fail.Unavailable, "cannot mark slot %s good: %w", slot, err)
	}
	if s.obs.state.pinned() {
		return s.refuseRedundancy(true)
	}
	return s.refuseReadOnly(ctx)
}

// refuseHalfWritten says why what is in a slot must not be called good.
func (s *session) refuseHalfWritten(slot Slot) error {
	switch {
	case s.journal.mark(slot).Rootfs == Torn:
		return fail.New(fail.Unavailable, "cannot mark slot %s good: its root file system may be half written", slot).Then("install a complete update")
	case s.journal.mark(slot).Lost:
		return fail.New(fail.Unavailable, "cannot mark slot %s good: the journal was lost, and the firmware's status says that it is not bootable", slot).
			Then("install a complete update")
	case s.dirty(slot):
		return fail.New(fail.Unavailable, "cannot mark slot %s good: its firmware may be half written", slot).Then("install firmware for it; that is the cure")
	}
	return nil
}

// vouch takes the updater's word that it has written the target, at the end of its install. It is not taken for a slot that was
// half written before and that nobody has touched since.
func (s *session) vouch(id string, slot Slot, finished bool) error {
	u := s.journal.doc.Update
	if u == nil || u.Outside == nil || u.Target != slot || !s.continuesAs(u, id) || u.Images["APP"] != nil {
		return nil
	}
	if !finished && !s.unwritten(u) {
		return fail.New(fail.Unavailable, "cannot activate slot %s: its root file system may be half written, the install did not end", slot).
			Then("install a complete update")
	}
	if u.Outside.Before.Rootfs == Torn && (u.Outside.Then.Head == "" || s.unwritten(u)) { // continuesAs: it began in this boot
		return fail.New(fail.Unavailable, "cannot activate slot %s: its root file system may be half written, and nothing was written to it since", slot).
			Then("install a complete update")
	}
	u.setImage("APP", Image{Written: true, Confirmed: true})
	u.settle()
	return nil
}

// FinishOutside takes the word of an updater that says at its end that it has written the target, where it activates nothing
// itself. Without an update of its own in flight it does nothing.
func (c *Control) FinishOutside(ctx context.Context, id string) error {
	s, err := c.begin(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	u := s.journal.doc.Update
	if u == nil || u.Outside == nil || !s.continuesAs(u, id) {
		return nil
	}
	if err := s.vouch(id, u.Target, true); err != nil {
		return err
	}
	return s.journal.save(false)
}

// markedOnly says that the slot is marked torn because an updater said that it begins, and that it never began.
func (s *session) markedOnly(u *Update, slot Slot) bool {
	return u != nil && u.Outside != nil && u.Target == slot && len(u.Images) == 0 && s.journal.mark(slot).Rootfs == Torn && s.unwritten(u)
}

// unwritten says that provably nobody wrote to the target since the updater began, in this boot.
func (s *session) unwritten(u *Update) bool {
	return u.BegunIn == s.obs.bootID && u.Outside.Then.Head != "" && s.look(u.Target) == u.Outside.Then
}

// look sees nothing where the slot's partition cannot be found or read.
func (s *session) look(slot Slot) Look {
	p, err := FindPartition(s.m, slot, "APP")
	if err != nil {
		return Look{}
	}
	b, err := s.m.ReadHead(p.Node, headSize)
	if err != nil || len(b) == 0 {
		return Look{}
	}
	sum := sha256.Sum256(b)
	writes, _ := s.m.WriteCount(p.Node) // without it the first bytes have to do
	return Look{Head: hex.EncodeToString(sum[:]), Writes: writes}
}
