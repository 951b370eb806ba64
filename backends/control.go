package backends

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Options are the settings Control acts on; internal/config has their meaning.
type Options struct {
	Tries                int
	AllowWithoutFallback bool
	AllowOlderChain      bool
	HealthFolder         string
	HealthTimeout        time.Duration
	JournalFolder        string // "" chooses
	// Misconfigured is why this slot's configuration cannot be used, and defaults stand in; a slot on trial is not
	// accepted with it.
	Misconfigured error
	ESPMountPoint string // "" looks
	// BackendReason is why this backend was chosen, in words.
	BackendReason string
	// Notices finds what only the caller knows about the device, for check and status; nil for nothing.
	Notices func() []Problem
	// LockPatience is how long a verb waits for another; 0 stands for 5 s.
	LockPatience time.Duration
}

// Control owns the update in flight. Its verbs are what every front end calls; each may be interrupted anywhere and run again.
type Control struct {
	m       *device.Machine
	backend Backend
	stager  FirmwareStager
	opts    Options
	log     *logrus.Entry
}

// New returns the Control of a machine.
func New(m *device.Machine, backend Backend, stager FirmwareStager, opts Options, log *logrus.Entry) *Control {
	if opts.LockPatience == 0 {
		opts.LockPatience = lockPatience
	}
	return &Control{m: m, backend: backend, stager: stager, opts: opts, log: log}
}

// lockPath serialises every verb that changes something. It lies on a tmpfs: a lock must not outlive a boot.
const lockPath = "/run/tegra-ota/lock"

// lockPatience is how long a verb waits for another: RAUC gives its backend no limit, but its clients give up after 25 s (RAUC 1.8).
const lockPatience = 5 * time.Second

// session is one verb at work: the lock, the journal, and one reading of the machine.
type session struct {
	*Control
	lock    *device.Lock
	journal *journal
	obs     observation
}

// begin takes the lock and reads everything. End it with end.
func (c *Control) begin(ctx context.Context) (*session, error) {
	s, err := c.beginBoot(ctx)
	if err == nil && s.journal.displaced != nil {
		s.end()
		return nil, s.journal.displaced
	}
	return s, err
}

// beginBoot is begin for the verbs of a boot, which have to judge a system that does not even mount the journal.
func (c *Control) beginBoot(ctx context.Context) (*session, error) {
	lock, err := c.m.Lock(ctx, lockPath, c.opts.LockPatience)
	if errors.Is(err, device.ErrLocked) {
		return nil, fail.New(fail.Busy, "%w", err).Then("wait for the other update or slot change to end")
	}
	if err != nil {
		return nil, err
	}
	s, err := c.read(ctx)
	if err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	s.lock = lock
	if s.journal.problem != nil {
		s.log.Warn(s.journal.problem.Error())
	}
	if err := s.journal.writable(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// read reads the machine without the lock, for answers.
func (c *Control) read(ctx context.Context) (*session, error) {
	s := &session{Control: c}
	var err error
	if s.obs, err = c.observe(ctx); err != nil {
		return nil, err
	}
	s.journal = openJournal(c.m, c.opts.JournalFolder, s.obs.esp, s.obs.espErr)
	if s.journal.problem != nil || s.journal.empty() {
		s.distrust()
	}
	return s, nil
}

// distrust makes up for a journal that was lost, or never was: where the firmware calls the other slot unbootable, nobody calls it
// good again without a new image.
func (s *session) distrust() {
	other := s.obs.state.Current.Other()
	if st := s.obs.state.Slots[other].Status; st != nil && *st == StatusUnbootable && s.journal.mark(other).Rootfs == Unknown {
		s.journal.markAt(other).Lost = true
	}
}

// end publishes the journal for readers without privilege and releases the lock.
func (s *session) end() {
	s.journal.publish()
	if s.lock != nil {
		_ = s.lock.Unlock()
	}
}

// observation is one reading of everything but the journal.
type observation struct {
	bootID  string
	state   State
	root    Slot  // whose root file system is mounted; None if it cannot be told
	rootErr error // why it cannot
	esp     esp.ESP
	espErr  error
	chip    chip.Chip
	chipErr error
}

func (c *Control) observe(ctx context.Context) (observation, error) {
	var o observation
	var err error
	if o.bootID, err = c.m.BootID(); err != nil {
		return o, err
	}
	o.chip, o.chipErr = chip.Detect(c.m)
	if o.state, err = c.backend.Read(ctx); err != nil {
		return o, err
	}
	o.root, o.rootErr = mountedSlot(c.m)
	o.esp, o.espErr = esp.Find(c.m, efivarfs.New(c.m), esp.Options{MountPoint: c.opts.ESPMountPoint})
	return o, nil
}

// pinned says that the root file system is always A's, whichever chain runs (RootfsRedundancyLevel 0).
func (s State) pinned() bool { return s.Redundancy != nil && *s.Redundancy == 0 }

// withoutFallback says that the firmware neither counts retries nor falls back, or cannot be told which slot is no way back.
func (s State) withoutFallback() bool { return s.Redundancy == nil || s.Unmarkable != nil }

// marked says that the firmware heeds the marks of a slot that is switched to.
func (s State) marked() bool { return !s.withoutFallback() && (!s.pinned() || s.MarksChains) }

// markedRunning is the slot whose marks are the running system's.
func (s State) markedRunning() Slot {
	if s.MarksChains {
		return s.Current
	}
	return s.expectedRoot(s.Current)
}

// expectedRoot is whose root file system belongs to a running chain.
func (s State) expectedRoot(chain Slot) Slot {
	if s.pinned() {
		return A
	}
	return chain
}
