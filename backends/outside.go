package backends

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

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

// beginOutside is Begin for an updater that writes the target itself.
func (s *session) beginOutside(ctx context.Context, id string, target Slot) error {
	began, usable := Outside{Before: s.journal.mark(target), Then: s.look(target)}, s.rootUsable(target) == nil
	if old := s.journal.doc.Update; old != nil && old.Outside != nil && old.Target == target && s.unwritten(old) {
		began.Before, usable = old.Outside.Before, old.RootUsable // marked twice, and not written in between
	}
	if err := s.startOver(ctx, id); err != nil {
		return err
	}
	s.journal.doc.Update.Outside, s.journal.doc.Update.RootUsable = &began, usable
	s.journal.setTorn(target, "APP")
	if err := s.journal.save(false); err != nil {
		return err
	}
	if s.obs.state.withoutFallback() {
		return nil // as for Begin: the journal's mark stands alone
	}
	return s.backend.MarkUnbootable(ctx, target)
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
	if u.Outside.Before.Rootfs == Torn && s.unwritten(u) {
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
	if u.missingPart(s.journal.mark(u.Target).Parts) == "" {
		s.journal.setRootfs(u.Target, Whole) // and unbootable still
	}
	return s.journal.save(false)
}

// markedOnly says that the slot is marked torn because an updater said that it begins, and that it never began.
func (s *session) markedOnly(u *Update, slot Slot) bool {
	return u != nil && u.Outside != nil && u.Target == slot && len(u.Images) == 0 && s.journal.mark(slot).Rootfs == Torn && s.unwritten(u)
}

// unwritten says that provably nobody wrote to the target since the updater began, in this boot.
func (s *session) unwritten(u *Update) bool {
	return u.BegunIn == s.obs.bootID && u.Outside.Then != (Look{}) && s.look(u.Target) == u.Outside.Then
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
	writes, err := s.m.WriteCount(p.Node)
	if err != nil {
		return Look{} // the first bytes alone prove nothing: the same image may be written twice
	}
	return Look{Head: hex.EncodeToString(sum[:]), Writes: writes}
}
