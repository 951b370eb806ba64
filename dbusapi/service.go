package dbusapi

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Options are the service's settings.
type Options struct {
	// Control opens the device. It is asked anew for every call, because the device may not be readable yet.
	Control func() (*backends.Control, error)
	// Bus is the system bus's address, as DBUS_SYSTEM_BUS_ADDRESS has it.
	Bus string
	// Group may change slots beside root; "" for nobody.
	Group string
	// SWUpdateSockets are where SWUpdate's progress is looked for.
	SWUpdateSockets []string
	// Version of tegra-ota, a property.
	Version string
}

// Service is tegra-slotd.
type Service struct {
	opts    Options
	machine *device.Machine
	log     *logrus.Entry
	guard   guard
	sources *sources
	work    sync.WaitGroup // verbs that are not finished

	ctx      context.Context // of Run
	conn     atomic.Pointer[dbus.Conn]
	order    sync.Mutex // of values on their way to clients: an answer is never older than a signal before it
	snapshot atomic.Pointer[snapshot]
}

// New returns the service of a machine. It does nothing before Run.
func New(m *device.Machine, opts Options, log *logrus.Entry) *Service {
	s := &Service{opts: opts, machine: m, log: log, guard: guard{group: opts.Group}}
	first := newSnapshot(observe.State{Operation: observe.Idle}, opts.Version)
	s.snapshot.Store(&first)
	return s
}

// firstReading is how long the name waits for something to read; a client that is faster finds unknown values.
const firstReading = 2 * time.Second

// Run serves until ctx ends, and comes back whenever the bus does. Its error says why it cannot serve at all.
func (s *Service) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s.ctx = ctx
	var err error
	if s.sources, err = newSources(s.machine, s.opts, s.changed, s.log); err != nil {
		return err
	}
	defer s.sources.close()
	ended := s.sources.run(ctx)
	early, cancel := context.WithTimeout(ctx, firstReading)
	_ = s.sources.observer.Refresh(early) // what cannot be read shows in LastError
	cancel()
	err = s.serve(ctx)
	stop()
	ended()
	s.work.Wait() // a verb that has begun is finished
	return err
}

// changed takes what the observer saw. Clients that are told of a value read the same one.
func (s *Service) changed(_, after observe.State, happened []observe.Occurrence) {
	s.order.Lock()
	defer s.order.Unlock()
	before := s.snapshot.Load()
	now := newSnapshot(after, s.opts.Version)
	s.snapshot.Store(&now)
	conn := s.conn.Load()
	if conn == nil {
		return
	}
	s.tell(conn, *before, now)
	for _, o := range happened {
		name, args := occurrence(o, after)
		s.emit(conn, managerPath, managerInterface+"."+name, args...)
	}
}

// occurrence is the signal that tells of something, and its arguments.
func occurrence(o observe.Occurrence, state observe.State) (name string, args []any) {
	switch o.Kind {
	case observe.Finished:
		details := pendingValues(state.Status.Update)
		details["updater"], details["reason"] = text(o.Updater), text(o.Reason)
		return "UpdateFinished", []any{o.Success, details}
	case observe.Switched:
		return "SlotSwitched", []any{string(o.Slot)}
	case observe.Committed:
		return "BootCommitted", []any{string(o.Slot)}
	}
	return "RolledBack", []any{string(o.Slot), valid(o.Reason)}
}

func (s *Service) emit(conn *dbus.Conn, path dbus.ObjectPath, name string, args ...any) {
	if err := conn.Emit(path, name, args...); err != nil {
		s.log.WithError(err).Debugf("cannot send the signal %s", name)
	}
}
