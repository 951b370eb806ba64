package engine

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// commLength is how much of a program's name the kernel keeps (TASK_COMM_LEN - 1).
const commLength = 15

// candidate is a BUP whose head was accepted.
type candidate struct {
	stager   *Stager
	head     *payload.Head
	payload  *payload.Payload // after Receive
	version  capsule.Version
	warnings []string
	target   backends.Slot
	call     call
}

var _ backends.Writer = (*candidate)(nil)

// Open reads the head of a BUP V2 and refuses, before anything is written, what the device cannot take: another format or board
// (fail.Data), no program, a release it does not work on (fail.Unavailable), a run that somebody else started (fail.Busy).
func (s *Stager) Open(ctx context.Context, r io.Reader) (backends.Candidate, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	if err := s.refuseRunning(); err != nil {
		return nil, err
	}
	head, err := payload.Open(r)
	if err != nil {
		return nil, err
	}
	if head.Capsule() != nil {
		return nil, fail.New(fail.Data, "cannot install a UEFI capsule with %s: this device takes a BUP V2", program).
			Then("install the bl_update_payload that the build of L4T R32 makes")
	}
	if f := head.Package().Header.Format; f != bup.V2 {
		return nil, fail.New(fail.Data, "cannot install a BUP %s with %s: this device takes a BUP V2", f, program).
			Then("install the bl_update_payload that the build of L4T R32 makes")
	}
	c := &candidate{stager: s, head: head, version: head.Version()}
	if err := c.checkBoard(); err != nil {
		return nil, err
	}
	c.doubt()
	return c, nil
}

// checkBoard resolves every image that the chip needs, and every one that the package has for some board.
func (c *candidate) checkBoard() error {
	spec, compat, err := payload.Board(c.stager.m)
	if err != nil {
		return err
	}
	selection, err := payload.Select(c.head.Package(), c.stager.chip, spec, compat)
	if err != nil || len(selection.Missing) == 0 {
		return err
	}
	var names []string
	for _, m := range selection.Missing {
		names = append(names, m.Name)
	}
	first := selection.Missing[0]
	return fail.New(fail.Data, "cannot install the BUP: for board %s it lacks %s (%s: %s)",
		spec, strings.Join(names, ", "), first.Name, first.Reason).
		Then("build the BUP for this board")
}

// doubt collects what does not forbid the update.
func (c *candidate) doubt() {
	running, found := c.stager.running()
	switch v := c.version; {
	case v == 0:
		c.warn("the BUP's table does not tell its version")
	case v>>16 != 32:
		c.warn("the BUP's version is %s, this device runs L4T R32", v)
	case found && v < running:
		c.warn("the BUP's version %s is older than the running system %s", v, running)
	}
	if gaps := c.head.Package().Gaps; len(gaps) > 0 {
		c.warn("the BUP has %d gaps between images; the first, of %d bytes, is at offset %d", len(gaps), gaps[0].Length, gaps[0].Offset)
	}
}

func (c *candidate) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}

// refuseRunning looks for a nv_update_engine that somebody else started: two of them would write the same chain. Ours cannot run,
// because the caller holds the lock. Where there is no procfs, nothing runs that could be found.
func (s *Stager) refuseRunning() error {
	entries, err := s.m.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		if comm, err := s.m.ReadText("/proc/" + e.Name() + "/comm"); err == nil && comm == program[:commLength] {
			return fail.New(fail.Busy, "cannot install firmware: %s runs already, as process %s", program, e.Name()).
				Then("wait until it ends, and read its output")
		}
	}
	return nil
}

// Version is the version of the BUP: that of its table, and after Receive that of its VER image. 0 is unknown.
func (c *candidate) Version() capsule.Version { return c.version }

// Warnings are doubts for the log.
func (c *candidate) Warnings() []string { return c.warnings }

// Stage is an error: the program writes the chain, see Receive and Write.
func (c *candidate) Stage(context.Context) (backends.Staged, error) {
	return backends.Staged{}, errNotStaged("stage")
}

// Verify reads the rest and checks it without keeping it.
func (c *candidate) Verify(ctx context.Context) error { return c.head.WithContext(ctx).Drain() }

// Receive keeps the BUP in folder and refuses what can be refused before the chain is touched: a VER image whose checksum is wrong, a
// target that runs, a fixed path that is taken or has no room. Nothing to write is never said: the chain is not read.
func (c *candidate) Receive(ctx context.Context, folder string, target backends.Slot) (backends.Received, error) {
	c.stager.folder, c.target = folder, target
	before, err := c.stager.slots(ctx)
	if err != nil {
		return backends.Received{}, err
	}
	if err := before.refuseTarget(target); err != nil {
		return backends.Received{}, err
	}
	if c.call, err = c.stager.probe(ctx); err != nil {
		return backends.Received{}, err
	}
	if c.payload, err = c.head.WithContext(ctx).Keep(c.stager.m, folder); err != nil {
		return backends.Received{}, err
	}
	if err := c.checkKept(); err != nil {
		_ = c.Discard(ctx)
		return backends.Received{}, err
	}
	c.version = c.payload.Version()
	return backends.Received{Staged: backends.Staged{Size: c.payload.Size, SHA256: c.payload.SHA256, Version: c.version}}, nil
}

func (c *candidate) checkKept() error {
	if _, _, err := c.payload.VER(); err != nil {
		return err
	}
	if c.call.byPayload {
		return nil
	}
	return c.stager.preparePlace(c.payload)
}

// Discard removes the kept BUP, and the copy at the fixed path if it is ours.
func (c *candidate) Discard(context.Context) error {
	if c.payload == nil {
		return nil
	}
	if err := c.stager.unplace(); err != nil {
		return err
	}
	return c.payload.Remove()
}
