package observe

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// Surveyor is the device: *backends.Control.
type Surveyor interface {
	Survey(ctx context.Context) (backends.Status, []watch.Place, error)
}

// Watcher tells that something changed: *watch.Watcher.
type Watcher interface {
	Set(places []watch.Place) error
	Changes() <-chan struct{}
}

// Changed takes what is new: states that differ, and what happened.
type Changed func(before, after State, happened []Occurrence)

// Observer keeps the State true.
type Observer struct {
	device  func() Surveyor
	watcher Watcher
	changed Changed
	log     *logrus.Entry

	state atomic.Pointer[State]
	wake  chan struct{} // capacity 1: mail is waiting

	mail      sync.Mutex
	events    []install.Event
	waiters   []chan error    // for the next reading that begins
	operation string          // of ours; "" for none
	settled   []chan struct{} // for the next publication
	blame     string          // how the last operation failed, where nobody was told

	// What follows belongs to Run's goroutine.
	trouble  trouble
	updaters map[string]bool // that install now
	finished bool            // the end of the install was told already
	places   []watch.Place
	ending   *install.Event // waits for a reading, so that who hears of it reads what it led to
	overdue  time.Time      // when it waits no longer
	reading  *reading       // on its way
	halves   int            // readings of half a change, one after the other
	trusted  bool           // the journal could be trusted once
	stale    bool           // something changed since the last reading began
	rest     time.Time      // no reading before
}

// New returns an Observer. device is asked for anew at each reading, because it may not be there yet; changed is called from one
// goroutine, in order, and may read the State.
func New(device func() Surveyor, watcher Watcher, changed Changed, log *logrus.Entry) *Observer {
	o := &Observer{device: device, watcher: watcher, changed: changed, log: log, wake: make(chan struct{}, 1), stale: true}
	o.trouble.unseen, o.updaters = map[string]string{}, map[string]bool{}
	o.state.Store(&State{Operation: Idle})
	return o
}

// shortWait is for what Run's goroutine does at once.
const shortWait = time.Second

// State returns what is known now.
func (o *Observer) State() State { return *o.state.Load() }

// Installed takes what an updater tells; it is an install.Sink.
func (o *Observer) Installed(e install.Event) {
	o.mail.Lock()
	n := len(o.events)
	if n > 0 && e.Kind == install.Advanced && o.events[n-1].Kind == install.Advanced && o.events[n-1].Updater == e.Updater {
		o.events[n-1] = e // nobody can have seen the older one
	} else {
		o.events = append(o.events, e)
	}
	o.mail.Unlock()
	o.ring()
}

// Begin says that an operation of ours works from now on, and returns how to end it; false while another one does. LastError says
// what the end is given, how the operation failed where its caller has gone, until the next one begins.
func (o *Observer) Begin(operation string) (end func(blame string), ok bool) {
	o.mail.Lock()
	defer o.mail.Unlock()
	if o.operation != "" {
		return nil, false
	}
	o.operation, o.blame = operation, ""
	o.ring()
	return func(blame string) {
		told := make(chan struct{})
		o.mail.Lock()
		o.operation, o.blame = "", blame
		o.settled = append(o.settled, told)
		o.mail.Unlock()
		o.ring()
		select {
		case <-told:
		case <-time.After(shortWait): // Run has ended
		}
	}, true
}

// Refresh reads the device anew and returns when the State is that of a reading that began after the call, or when ctx ends. The
// error says why the device could not be read.
func (o *Observer) Refresh(ctx context.Context) error {
	done := make(chan error, 1)
	o.mail.Lock()
	o.waiters = append(o.waiters, done)
	o.mail.Unlock()
	o.ring()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		o.mail.Lock() // a device that hangs must not make them pile up
		o.waiters = slices.DeleteFunc(o.waiters, func(w chan error) bool { return w == done })
		o.mail.Unlock()
		return ctx.Err()
	}
}

func (o *Observer) ring() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Run observes until ctx ends.
func (o *Observer) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	if !timer.Stop() {
		<-timer.C
	}
	defer timer.Stop()
	for {
		o.receive()
		o.step()
		running := o.schedule(ctx, timer)
		var arrived <-chan struct{}
		if o.reading != nil {
			arrived = o.reading.done
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-o.watcher.Changes():
			o.stale = true
		case <-arrived:
			o.arrive()
		case <-timer.C:
			running = false
		}
		if running && !timer.Stop() {
			select {
			case <-timer.C:
			default:
			}
		}
	}
}
