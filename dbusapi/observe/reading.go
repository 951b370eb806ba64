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
	waiters []chan error
	overdue time.Time // when somebody has to be told
	told    bool
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
		left := max(o.overdue.Sub(now), time.Millisecond)
		if wait == 0 || left < wait {
			wait = left
		}
	}
	if o.reading != nil && !o.reading.told {
		left := max(o.reading.overdue.Sub(now), time.Millisecond)
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
	return o.stale && o.operation == "" || len(o.waiters) > 0 // an operation of ours ends with a reading
}

func (o *Observer) begin(ctx context.Context) {
	r := &reading{done: make(chan struct{}), overdue: time.Now().Add(patience)}
	o.mail.Lock()
	r.waiters, o.waiters = o.waiters, nil
	o.mail.Unlock()
	o.stale, o.reading = false, r
	go func() {
		defer close(r.done)
		started := time.Now()
		defer func() { r.took = time.Since(started) }()
		r.status, r.places, r.err = o.device().Survey(ctx)
	}()
}

// arrive takes over a reading that has ended.
func (o *Observer) arrive() {
	r := o.reading
	o.reading = nil
	o.rest = time.Now().Add(min(max(restFactor*r.took, shortRest), longRest))
	before, after := o.State(), o.State()
	if r.err == nil && before.Known && between(r.status) && !between(before.Status) && o.halves < believed {
		// In the middle of somebody's verb, in all likelihood.
		o.halves++
		o.stale = true
		o.mail.Lock()
		o.waiters = append(o.waiters, r.waiters...)
		o.mail.Unlock()
		return
	}
	o.halves = 0
	if r.err != nil {
		o.trouble.device = fmt.Errorf("cannot read the device: %w", r.err)
		if after.LastError != o.trouble.text() {
			o.log.Warn(o.trouble.device)
		}
	} else {
		o.stale = o.trouble.learn(r.status) || o.stale
		after.Status, after.Known = o.believe(before.Status, r.status), true
	}
	o.follow(r.places)
	var happened []Occurrence
	if before.Known && r.err == nil {
		happened = o.judge(before.Status, after.Status)
	}
	o.publish(after, happened)
	for _, w := range r.waiters {
		w <- r.err
	}
	if o.ending != nil && !o.stale {
		o.finish()
	}
}

// believe is what a reading says, but for the update where the journal was good before and cannot be trusted now: a journal that
// is gone does not mean that the update is. What the firmware says of the slots is true all the same.
func (o *Observer) believe(before, now backends.Status) backends.Status {
	if o.trouble.suspected == "" {
		o.trusted = true
		return now
	}
	if o.trusted {
		now.Update, now.Verdict = before.Update, before.Verdict
		if before.Update.State == backends.Activated && now.Next != nil && now.Current != nil && *now.Next == *now.Current {
			now.Next = before.Next // of an armed capsule only the journal knows
		}
	}
	return now
}

// believed is how often a reading may show half a change before that is what there is.
const believed = 2

// between says that a reading shows what the steps of a verb leave between them.
func between(st backends.Status) bool {
	u := st.Update
	switch {
	case st.Current == nil || st.Next == nil || u.State == backends.RolledBack || u.State == backends.Testing:
		return false
	case u.State == backends.Activated && u.Target != nil:
		return *st.Next != *u.Target
	}
	return *st.Next != *st.Current
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
