package flash

import (
	"context"
	"errors"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// candidate is an update whose head was accepted.
type candidate struct {
	stager  *Stager
	head    *payload.Head
	chosen  map[string]int // entry of each image for this board
	payload *payload.Payload
	work    *work
	report  Report
}

var _ backends.Writer = (*candidate)(nil)

// Version is what the head tells of it, 0 where it tells nothing; Received knows more.
func (c *candidate) Version() capsule.Version { return c.head.Version() }

// Warnings are doubts for the log.
func (c *candidate) Warnings() []string {
	if !c.head.Signed() {
		return []string{"the firmware is not signed: its digest in the update is all that vouches for it"}
	}
	return nil
}

// Stage is a caller's mistake: a Writer receives.
func (c *candidate) Stage(context.Context) (backends.Staged, error) {
	return backends.Staged{}, fail.New(fail.Internal, "cannot stage firmware: it is written into the flash directly")
}

// Verify reads the rest without keeping it.
func (c *candidate) Verify(ctx context.Context) error { return c.head.WithContext(ctx).Drain() }

// Receive keeps the payload in folder, joins its images with the target's partitions and compares them with the flash.
func (c *candidate) Receive(ctx context.Context, folder string, target backends.Slot) (backends.Received, error) {
	s := c.stager
	if running := s.running(); running == target || target == backends.None {
		return backends.Received{}, fail.New(fail.Unavailable, "cannot write the firmware of chain %s: the firmware says that it runs", target)
	}
	kept, err := c.head.WithContext(ctx).Keep(s.m, folder)
	if err != nil {
		return backends.Received{}, err
	}
	c.payload, s.last = kept, c
	received := backends.Received{}
	if err = s.checkVersion(kept.Version()); err == nil {
		received, err = c.compare(ctx, target)
	}
	if err != nil {
		return received, errors.Join(err, c.Discard(ctx))
	}
	return received, nil
}

// compare finds the places and says whether anything differs.
func (c *candidate) compare(ctx context.Context, target backends.Slot) (r backends.Received, err error) {
	s := c.stager
	l, err := find(s.m, s.open, s.chip, target)
	if err != nil {
		return r, err
	}
	defer func() {
		if failed := l.close(); failed != nil && err == nil {
			err = fail.New(fail.IO, "cannot close the boot flash: %w", failed)
		}
	}()
	if c.work, err = s.prepare(l, c.payload.Package, c.chosen, c.payload.Image); err != nil {
		return r, err
	}
	differ, _, err := compare(ctx, c.work.all())
	r.Staged = backends.Staged{Size: c.payload.Size, SHA256: c.payload.SHA256, Version: c.payload.Version()}
	r.Nothing = differ == 0
	return r, err
}

// Write writes what differs and reads back all of it.
func (c *candidate) Write(ctx context.Context) (backends.Written, error) {
	if c.work == nil {
		return backends.Written{}, fail.New(fail.Internal, "cannot write firmware: none was received")
	}
	var err error
	c.report, err = c.work.perform(ctx)
	return backends.Written{Notes: append(append([]string(nil), c.work.notes...), c.report.notes(c.work.layout)...)}, err
}

// Report is what Write did so far, in numbers.
func (c *candidate) Report() Report { return c.report }

// Discard removes what Receive kept.
func (c *candidate) Discard(context.Context) error {
	c.stager.last, c.work = nil, nil
	if c.payload == nil {
		return nil
	}
	p := c.payload
	c.payload = nil
	return p.Remove()
}
