package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// writeFirmware has the target's chain written by this system. The chain is dirty, and its slot no way back, from before the first
// byte until every byte was read back: a cut in between leaves the running slot alone, and the same firmware again is the cure.
func (s *session) writeFirmware(ctx context.Context, w Writer) error {
	u := s.journal.doc.Update
	err := s.receiveAndWrite(ctx, w, u)
	if errors.Is(err, device.ErrPowerCut) {
		return err
	}
	ctx, cancel := cleanUp(ctx)
	defer cancel()
	if discardErr := w.Discard(ctx); err == nil && discardErr != nil {
		s.log.WithError(discardErr).Warn("the firmware was written, and its payload is still kept")
	}
	return err
}

// cleanUpTime is for taking back what an interrupted verb leaves: a dozen calls of nvbootctrl, and files.
const cleanUpTime = 30 * time.Second

// cleanUp is time of its own: the caller's may have ended, by a signal or a limit, and what must not stay is taken back all the same.
func cleanUp(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
}

func (s *session) receiveAndWrite(ctx context.Context, w Writer, u *Update) error {
	if err := s.m.MkdirAll(s.payloadFolder(), 0o755); err != nil {
		return fmt.Errorf("cannot keep the firmware in %s: %w", s.payloadFolder(), err)
	}
	received, err := w.Receive(ctx, s.payloadFolder(), u.Target)
	u.Firmware.Staged = received.Staged
	if err != nil {
		return err
	}
	if u.Firmware.Version == 0 {
		u.Firmware.Version = w.Version()
	}
	if err := s.refuseOlder(u.Firmware.Version); err != nil { // some payloads tell their version in the end only
		return err
	}
	if received.Nothing { // also for a dirty chain: every byte was compared
		running := s.firmwareOf(u.Target.Other())
		u.Firmware.Skipped = running != nil && *running == u.Firmware.Version // else the switch to it is what is left to do
		return nil
	}
	if err := s.markDirty(ctx, u); err != nil {
		return err
	}
	written, err := w.Write(ctx)
	for _, note := range written.Notes {
		s.log.Info(note)
	}
	return s.stayActive(ctx, err)
}

// trustWritten calls a chain whole that install wrote or compared, once the updater's verdict on its input is known as well. It is
// saved together with that. A slot that was kept from booting for the chain alone, and that nothing will activate, is a way back again.
func (s *session) trustWritten(ctx context.Context) error {
	u := s.journal.doc.Update
	if u.Firmware == nil || !u.Firmware.Direct || !u.Firmware.Complete || !u.Firmware.Confirmed {
		return s.journal.save(false)
	}
	s.journal.setFirmware(u.Target, Whole)
	if err := s.journal.save(true); err != nil || !u.Firmware.Skipped || u.Firmware.MarkBefore != Dirty {
		return err
	}
	return s.reviveWritten(ctx)
}

// markDirty comes before the first byte of the chain changes. That the root file system is usable is written down while the
// firmware's status still says so: the status is taken away until the slot is activated.
func (s *session) markDirty(ctx context.Context, u *Update) error {
	if !s.obs.state.withoutFallback() {
		if err := s.backend.MarkBootable(ctx, s.obs.state.markedRunning()); err != nil {
			return fail.New(fail.IO, "%w (the running slot %s must be bootable before the other is marked, so nothing was written)", err, s.obs.state.Current)
		}
	}
	if u.RootUsable && len(u.Images) == 0 && !s.obs.state.pinned() {
		s.journal.setRootfs(u.Target, Whole)
	}
	s.journal.setFirmware(u.Target, Dirty)
	if err := s.journal.save(true); err != nil {
		return err
	}
	return s.keepFromFallback(ctx)
}

// stayActive makes the running slot boot next, whatever became of the firmware: nv_update_engine makes the slot that it wrote the active
// one, and only Activate may do that. cause is why the writing failed, nil if it did not.
func (s *session) stayActive(ctx context.Context, cause error) error {
	if errors.Is(cause, device.ErrPowerCut) {
		return cause
	}
	ctx, cancel := cleanUp(ctx)
	defer cancel()
	err := s.reselect(ctx)
	if err != nil && !errors.Is(err, device.ErrPowerCut) {
		// One call of nvbootctrl that fails must not leave a slot selected that nobody activated.
		s.log.WithError(err).Warn("the running slot is not active yet; once more")
		err = s.reselect(ctx)
	}
	switch {
	case err == nil:
		return cause
	case cause == nil:
		return fail.New(fail.CodeOf(err), "cannot keep slot %s active after the firmware was written: %w", s.obs.state.Current, err)
	}
	return fail.New(fail.CodeOf(cause), "%w; and slot %s cannot be kept active: %w", cause, s.obs.state.Current, err)
}

// reselect makes the running slot boot next and the other one no way back.
func (s *session) reselect(ctx context.Context) error {
	state, err := s.backend.Read(ctx)
	if err == nil && (state.NextPending || state.Next != None) {
		err = s.backend.CancelNext(ctx)
	}
	if err != nil {
		return err
	}
	return s.keepFromFallback(ctx) // the engine's way of making a slot active makes it bootable as well
}

// wrote says that the update in flight wrote the chain of a slot itself, completely, and took its status away meanwhile.
func (s *session) wrote(slot Slot) bool {
	u := s.journal.doc.Update
	return u.inFlight() && u.Target == slot && u.Firmware != nil && u.Firmware.Direct && u.Firmware.Complete && !u.Firmware.Skipped
}

// payloadFolder is where a Writer keeps its payload meanwhile.
func (s *session) payloadFolder() string { return path.Join(s.journal.where, "payload") }

// clearPayload removes what an interrupted Writer kept: tens of megabytes that nobody would look for.
func (s *session) clearPayload(u *Update) error {
	if u.Firmware == nil || !u.Firmware.Direct {
		return nil
	}
	entries, err := s.m.ReadDir(s.payloadFolder())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if err := s.m.Remove(path.Join(s.payloadFolder(), e.Name())); err != nil {
			return fmt.Errorf("cannot remove the kept firmware: %w", err)
		}
	}
	return err
}

// restoreWritten cleans up after a Writer whose update is given up: a slot whose firmware was written completely gets its status back,
// as what is in it is whole, and it is a way back as it was before.
func (s *session) restoreWritten(ctx context.Context) error {
	u := s.journal.doc.Update
	if err := s.clearPayload(u); err != nil {
		return err
	}
	if err := s.takeBackWriter(ctx); err != nil {
		return err
	}
	return s.reviveWritten(ctx)
}

// takeBackWriter cancels a switch that a Writer asked for and no Activate: nv_update_engine's, when its caller was killed before it could
// take it back.
func (s *session) takeBackWriter(ctx context.Context) error {
	if !s.writersSwitch(s.obs.state.Next) {
		return nil
	}
	if err := s.backend.CancelNext(ctx); err != nil {
		return err
	}
	if s.journal.mark(s.journal.doc.Update.Target).Firmware != Dirty {
		return nil
	}
	return s.keepFromFallback(ctx)
}

// writersSwitch says that a pending switch is a Writer's: into the slot that an update wrote and has not activated. Of an update that
// failed the chain is half written, and nobody else asks for that.
func (s *session) writersSwitch(next Slot) bool {
	u := s.journal.doc.Update
	if u == nil || u.Firmware == nil || !u.Firmware.Direct || next != u.Target || next == s.obs.state.Current {
		return false
	}
	return u.State == Installing || u.State == StagedAll || u.State == Failed && s.journal.mark(next).Firmware == Dirty
}

// reviveWritten gives a slot its status back whose firmware is whole, where its root file system is, too.
func (s *session) reviveWritten(ctx context.Context) error {
	u := s.journal.doc.Update
	mark := s.journal.mark(u.Target)
	whole := mark.Rootfs == Whole && mark.Firmware == Whole && !mark.Bad
	direct := u.Firmware != nil && u.Firmware.Direct
	if !direct || !whole || !u.RootUsable || len(u.Images) > 0 || u.Outside != nil ||
		s.obs.state.Current == u.Target || !s.obs.state.marked() {
		return nil
	}
	if err := s.backend.MarkBootable(ctx, u.Target); err != nil {
		return err
	}
	state, err := s.backend.Read(ctx) // the next update starts from what is so now
	if err == nil {
		s.obs.state = state
	}
	return err
}

// firmwareOf is the version of a slot's firmware, nil where it is not known. What was written in this boot the firmware itself tells
// only from the next boot on.
func (s *session) firmwareOf(slot Slot) *capsule.Version {
	if s.wrote(slot) && s.journal.doc.Update.BegunIn == s.obs.bootID {
		if v := s.journal.doc.Update.Firmware.Version; v != 0 {
			return &v
		}
		return nil
	}
	return s.obs.state.Slots[slot].Firmware
}
