package backends

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Severity of a problem.
type Severity string

// The severities: an error makes an update fail, a warning does not.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// Problem is one finding, in a sentence, with what to do.
type Problem struct {
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Reason   string   `json:"reason"`
	NextStep string   `json:"next_step"`
	code     fail.Code
}

// Code returns the exit code that this problem alone would give.
func (p Problem) Code() fail.Code {
	switch {
	case p.Severity != SeverityError:
		return fail.OK
	case p.code == fail.Busy:
		return fail.Busy
	}
	return fail.Unavailable
}

// Scope says what is to be installed, where that is known.
type Scope struct {
	// FirmwareOnly: no root file system, kernel or device tree comes with the update.
	FirmwareOnly bool
	// NoFirmware: no capsule comes with the update.
	NoFirmware bool
	// Outside: the updater writes the root file system itself.
	Outside bool
}

// aim is what an update of this scope is about to do.
func (sc Scope) aim() aim {
	a := aim{image: "APP", firmware: !sc.NoFirmware, plain: sc.NoFirmware && !sc.FirmwareOnly}
	switch {
	case sc.FirmwareOnly:
		a.image, a.alone = "", !sc.NoFirmware
	case sc.Outside:
		a.image, a.outside = "", true
	}
	return a
}

// Check finds what would make an update fail, without changing anything. The error says what could not be looked at for
// want of privilege, where nothing else forbids an update.
func (c *Control) Check(ctx context.Context, scope Scope) ([]Problem, error) {
	s, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	list := s.problems(ctx, scope)
	return list, unchecked(list)
}

// unchecked returns the first thing that only root can judge; nil where all was judged, or where the answer is known without it.
func unchecked(list []Problem) error {
	var first error
	for _, p := range list {
		if p.Code() != fail.OK {
			return nil
		}
		if p.code == fail.Permission && first == nil {
			first = fail.New(fail.Permission, "cannot tell whether an update would fail: %s", p.Reason).Then("%s", p.NextStep)
		}
	}
	return first
}

// findings collects problems.
type findings struct{ list []Problem }

// fromError turns an error into a problem. What only root can see is no problem of the device: it stays open.
func (f *findings) fromError(check, what string, err error) {
	switch {
	case err == nil:
	case hidden(err):
		f.list = append(f.list, Problem{check, SeverityWarning, fail.Reason(err), "run as root to check " + what, fail.Permission})
	default:
		f.list = append(f.list, Problem{check, SeverityError, fail.Reason(err), fail.NextOf(err), fail.CodeOf(err)})
	}
}

func (f *findings) warn(check, next, format string, args ...any) {
	f.list = append(f.list, Problem{check, SeverityWarning, fmt.Sprintf(format, args...), next, fail.OK})
}

func (s *session) problems(ctx context.Context, scope Scope) []Problem {
	f := &findings{list: []Problem{}}
	a := scope.aim()
	s.checkLock(f)
	for _, p := range preflight {
		f.fromError(p.check, p.what, p.refuse(s, ctx, a))
	}
	s.checkPlatform(f)
	if s.opts.Notices != nil {
		f.list = append(f.list, s.opts.Notices()...)
	}
	s.checkRedundancy(f)
	s.checkSwitch(f)
	s.checkSlots(f)
	s.checkESP(ctx, f)
	s.checkJournal(f)
	s.checkHealthFolder(f)
	s.checkServices(f)
	return f.list
}

func (s *session) checkLock(f *findings) {
	if s.m.Locked(lockPath) {
		f.fromError("lock", "the lock", fail.New(fail.Busy, "another update or slot change is at work").Then("wait for it to end"))
	}
}

func (s *session) checkPlatform(f *findings) {
	if s.obs.chipErr == nil && !s.obs.chip.Tested {
		f.warn("chip", "try the update on a device you can reflash first", "%s is known from its sources only", s.obs.chip.Name)
	}
	if s.stager.Method() != ByCapsule {
		return
	}
	entry, err := readESRT(s.m)
	switch {
	case err == nil:
	case hidden(err):
		f.fromError("esrt", "the firmware's update table", err)
		return
	default:
		f.warn("esrt", "check the firmware; a device without this table cannot take capsules", "%s", fail.Reason(err))
		return
	}
	if s.obs.chipErr == nil && !s.obs.chip.Knows(entry.Version) {
		f.warn("firmware", "try the update on a device you can reflash first", "firmware %s is of a release that this version of tegra-ota does not know", entry.Version)
	}
	if entry.Lowest > entry.Version {
		f.warn("firmware", "update the firmware; a roll-back of the slot stays possible",
			"the lowest supported firmware %s lies above the running %s: no older capsule installs", entry.Lowest, entry.Version)
	}
}

func (s *session) checkRedundancy(f *findings) {
	if err := s.obs.state.Unmarkable; err != nil && s.opts.AllowWithoutFallback {
		f.warn("redundancy", "nothing: allow_without_fallback is set", "slots cannot be marked unbootable, so the firmware may fall back into a half-written one: %s",
			fail.Reason(err))
	} else if s.obs.state.withoutFallback() && s.opts.AllowWithoutFallback {
		f.warn("redundancy", "flash the device with ROOTFS_AB=1",
			"RootfsRedundancyLevel is missing: the firmware neither counts retries nor falls back (allow_without_fallback is set)")
	}
	if !s.obs.state.RetriesWritable && !s.obs.state.withoutFallback() {
		f.warn("retries", "use a kernel that has rootfs_retry_count in the PMC's sysfs (L4T R36.3 on), or power-cycle after activating",
			"the firmware's retry counts cannot be written")
	}
}

func (s *session) checkSwitch(f *findings) {
	if s.obs.state.TrialStatus != nil && !s.onTrial() {
		f.warn("switch", "nothing: activate deletes it", "BootChainFwStatus is left over with value %d; it would cancel the next switch or capsule", *s.obs.state.TrialStatus)
	}
}

func (s *session) checkSlots(f *findings) {
	current, other := s.obs.state.Current, s.obs.state.Current.Other()
	if r := s.obs.state.Slots[s.obs.state.markedRunning()].Retries; r != nil && *r <= 1 && !s.obs.state.withoutFallback() && !s.leaving() {
		f.warn("retries", "run `tegra-bootctl commit` if this slot is good", "slot %s has %d boots left before the firmware falls back", current, *r)
	}
	if s.tornRuns() && s.refuseTornRuns() == nil {
		f.warn("slots", "install a complete update",
			"slot %s runs, and its root file system may be half written; slot %s is no way back", current, other)
	}
	if st := s.obs.state.Slots[other].Status; st != nil && *st == StatusUnbootable {
		f.warn("slots", "an update makes it bootable again", "the firmware's status says that slot %s is not bootable", other)
	}
	if s.journal.mark(other).Rootfs == Torn {
		f.warn("slots", "install a complete root file system image", "the root file system of slot %s may be half written", other)
	}
	if s.dirty(other) {
		f.warn("slots", "install firmware; that is the cure", "the firmware of slot %s may be half written", other)
	}
	have, running := s.firmwareOf(other), s.firmwareOf(current)
	if have != nil && running != nil && *have < *running {
		f.warn("firmware", "give the next update a capsule of at least that version", "the firmware of slot %s is %s, older than the running %s", other, have, running)
	}
}

// checkESP warns of what an install can do with.
func (s *session) checkESP(ctx context.Context, f *findings) {
	if s.obs.espErr != nil || s.stager.Method() != ByCapsule {
		return
	}
	var own *Staged
	if u := s.journal.doc.Update; u.inFlight() && u.Firmware != nil {
		own = &u.Firmware.Staged
	}
	pending, err := s.stager.Pending(ctx, own)
	if err != nil {
		return // the same error as the list's
	}
	if free, err := s.m.FreeBytes(s.obs.esp.MountPoint); err == nil && free < typicalCapsule && own == nil && pending.roomMatters() {
		f.warn("esp", "free space on the ESP; an update without firmware still works", "the ESP has %d MiB free, and a capsule takes up to %d MiB", free>>20, typicalCapsule>>20)
	}
	if pending.Unsupported {
		f.warn("capsule", "check the firmware's configuration", "OsIndicationsSupported lacks bit 2: this firmware may ignore capsule files")
	}
}

// typicalCapsule is the room a capsule of L4T R36 or R39 needs at most (P3767 multi-spec capsules are 40 to 60 MiB).
const typicalCapsule = 64 << 20

func (p Pending) roomMatters() bool { return !p.Staged && !p.Armed }

func (s *session) checkJournal(f *findings) {
	if s.journal.problem != nil {
		f.warn("journal", "nothing: the next update begins a new one", "%v", s.journal.problem)
	}
	if s.journal.marksAt != nil {
		f.warn("journal", "check the ESP's file system", "the copy of the slots' marks on the ESP is not usable: %v", s.journal.marksAt)
	}
}

// readESRT reads the firmware's update table; a name of its own so that a missing table reads the same everywhere.
func readESRT(m *device.Machine) (esrt.Entry, error) {
	e, err := esrt.Read(m)
	if errors.Is(err, fs.ErrNotExist) {
		return e, fail.New(fail.Unavailable, "%w", err).Then("this firmware takes no capsules")
	}
	return e, err
}
