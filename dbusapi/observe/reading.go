package observe

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// reading is one look at the device, in a goroutine of its own: a file system that stalls must not stop the updaters' news.
type reading struct {
	done    chan struct{}
	waiters []chan struct{}
	took    time.Duration

	status backends.Status
	places []watch.Place
	err    error
}

// Readings take at most a fifth of the time, so that a busy device, or a client that asks for one after the other, does not keep
// a processor busy; and they are not further apart than what a person takes for at once.
const (
	restFactor = 4
	shortRest  = 20 * time.Millisecond
	longRest   = 500 * time.Millisecond
)

// schedule begins a reading if one is wanted and the last one is long enough ago; else the timer says when. It returns whether
// the timer runs.
func (o *Observer) schedule(ctx context.Context, timer *time.Timer) bool {
	now := time.Now()
	var wait time.Duration
	switch {
	case o.reading == nil && o.wanted() && !now.Before(o.rest):
		o.begin(ctx)
	case o.reading == nil && o.wanted():
		wait = o.rest.Sub(now)
	}
	if o.ending != nil {
		left := o.overdue.Sub(now)
		if left < time.Millisecond {
			left = time.Millisecond
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	if wait == 0 {
		return false
	}
	timer.Reset(wait)
	return true
}

func (o *Observer) wanted() bool {
	o.mail.Lock()
	defer o.mail.Unlock()
	return o.stale || len(o.waiters) > 0
}

func (o *Observer) begin(ctx context.Context) {
	r := &reading{done: make(chan struct{})}
	o.mail.Lock()
	r.waiters, o.waiters = o.waiters, nil
	o.mail.Unlock()
	o.stale, o.reading = false, r
	go func() {
		defer close(r.done)
		started := time.Now()
		defer func() { r.took = time.Since(started) }()
		device, err := o.device()
		if err != nil {
			r.err = err
			return
		}
		r.status, r.places, r.err = device.Survey(ctx)
	}()
}

// arrive takes over a reading that has ended.
func (o *Observer) arrive() {
	r := o.reading
	o.reading = nil
	o.rest = time.Now().Add(min(max(restFactor*r.took, shortRest), longRest))
	before, after := o.State(), o.State()
	if r.err != nil {
		o.trouble.device = fmt.Errorf("cannot read the device: %w", r.err)
		if after.LastError != o.trouble.text() {
			o.log.Warn(o.trouble.device)
		}
	} else {
		after.Status, after.Known = r.status, true
		o.stale = o.trouble.learn(r.status) || o.stale
	}
	o.follow(r.places)
	var happened []Occurrence
	if before.Known && r.err == nil {
		happened = o.judge(before.Status, after.Status)
	}
	o.publish(after, happened)
	o.release(r.waiters)
	if o.ending != nil && !o.stale {
		o.finish()
	}
}

// follow watches the places that were read. If they are others than before, something may have changed there since.
func (o *Observer) follow(places []watch.Place) {
	if len(places) == 0 || o.trouble.watch == nil && reflect.DeepEqual(places, o.places) {
		return
	}
	if err := o.watcher.Set(places); err != nil {
		if o.trouble.watch == nil {
			o.log.Warn(err)
		}
		o.trouble.watch = fmt.Errorf("cannot notice changes: %w", err)
		return
	}
	o.places, o.trouble.watch, o.stale = places, nil, true
}

func (o *Observer) release(waiters []chan struct{}) {
	for _, w := range waiters {
		close(w)
	}
}
