package backends

import (
	"context"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// Writing is one image on its way into the target slot. It holds the lock until Close.
type Writing struct {
	s         *session
	id, name  string
	Target    Slot
	Partition partition.Partition
	begun     bool
}

// Prepare checks, without changing anything, that an image of partition name (APP, kernel, kernel-dtb) may be written
// to the target slot now. The caller then makes its own checks (size, header, mounts) and calls Begin before the first
// byte.
func (c *Control) Prepare(ctx context.Context, id, name string) (*Writing, error) {
	if Partition(A, name) == "" {
		return nil, fail.New(fail.Usage, "cannot write an image of partition %q: the partitions are APP, kernel and kernel-dtb", name)
	}
	s, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	w, err := s.prepare(ctx, id, name)
	if err != nil {
		s.end()
		return nil, err
	}
	return w, nil
}

func (s *session) prepare(ctx context.Context, id, name string) (*Writing, error) {
	if err := s.refuseInstall(ctx, aim{image: name}); err != nil {
		return nil, err
	}
	target := s.obs.state.Current.Other()
	p, err := FindPartition(s.m, target, name)
	if err != nil {
		return nil, err
	}
	return &Writing{s: s, id: id, name: name, Target: target, Partition: p}, nil
}

// Begin makes the target unbootable before the first byte is written to it, so that a power cut never boots a torn
// slot: the journal's mark, then the firmware's status and retry count. The running slot is made sure of first, because
// for a while it is the only one.
func (w *Writing) Begin(ctx context.Context) error {
	s := w.s
	if !s.obs.state.withoutFallback() {
		if err := s.backend.MarkBootable(ctx, s.obs.state.Current); err != nil {
			return fail.New(fail.IO, "%w (the running slot %s must be bootable before the other is marked, so nothing was)", err, s.obs.state.Current)
		}
	}
	if !s.continues(w.id, w.name) {
		if err := s.startOver(ctx, w.id); err != nil {
			return err
		}
	}
	u := s.journal.doc.Update
	u.State = Installing
	u.setImage(w.name, Image{})
	s.journal.setTorn(w.Target, w.name)
	if err := s.journal.save(false); err != nil {
		return err
	}
	w.begun = true
	if s.obs.state.withoutFallback() {
		return nil // there is no status to set; the journal's mark stands alone, and check warns
	}
	return s.backend.MarkUnbootable(ctx, w.Target)
}

// Finish records that the image is on storage, read back and compared. unconfirmed: the updater's verdict on its input
// is still to come.
func (w *Writing) Finish(size int64, sha256 string, unconfirmed bool) error {
	u := w.s.journal.doc.Update
	u.setImage(w.name, Image{Size: size, SHA256: sha256, Written: true, Confirmed: !unconfirmed})
	u.settle()
	return w.s.journal.save(false)
}

// Fail records why the image did not come in. Before Begin nothing was changed and nothing is recorded.
func (w *Writing) Fail(ctx context.Context, cause error) {
	if w.begun {
		w.s.failUpdate(ctx, cause)
	}
}

// Close releases the lock.
func (w *Writing) Close() { w.s.end() }
