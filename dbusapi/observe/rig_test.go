package observe_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// rig is an Observer of a device that says what the test tells it to.
type rig struct {
	t *testing.T
	*observe.Observer
	changes chan struct{}
	seen    chan news

	mu       sync.Mutex
	status   backends.Status
	places   []watch.Place
	err      error
	stall    chan struct{} // readings wait for its end
	readings int
	set      [][]watch.Place
	setErr   error
}

// news is one call of changed.
type news struct {
	state    observe.State
	happened []observe.Occurrence
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, changes: make(chan struct{}, 1), seen: make(chan news, 1000)}
	a, b := backends.A, backends.A
	r.status = backends.Status{Backend: "test", Current: &a, Next: &b, Update: backends.UpdateStatus{State: backends.Idle}}
	r.places = []watch.Place{{Folder: "/x"}}
	log := logrus.New()
	log.SetOutput(io.Discard)
	r.Observer = observe.New(func() observe.Surveyor { return r }, r,
		func(_, after observe.State, happened []observe.Occurrence) { r.seen <- news{after, happened} }, logrus.NewEntry(log))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	t.Cleanup(func() {
		cancel()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
	})
	return r
}

// Survey is the device.
func (r *rig) Survey(ctx context.Context) (backends.Status, []watch.Place, error) {
	r.mu.Lock()
	r.readings++
	stall, st, places, err := r.stall, r.status, r.places, r.err
	r.mu.Unlock()
	if stall != nil {
		select {
		case <-stall:
		case <-ctx.Done():
		}
	}
	return st, places, err
}

// Set and Changes are the watcher.
func (r *rig) Set(places []watch.Place) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.set = append(r.set, places)
	return r.setErr
}
func (r *rig) Changes() <-chan struct{} { return r.changes }

// becomes changes the device, and the watcher notices.
func (r *rig) becomes(change func()) {
	r.mu.Lock()
	change()
	r.mu.Unlock()
	select {
	case r.changes <- struct{}{}:
	default:
	}
}

func (r *rig) update(state backends.UpdateState, reason string) {
	r.becomes(func() {
		b := backends.B
		r.status.Update = backends.UpdateStatus{State: state, Target: &b, Reason: reason}
	})
}

// until waits for a state, and returns all that happened up to it.
func (r *rig) until(what string, is func(observe.State) bool) []observe.Occurrence {
	r.t.Helper()
	var happened []observe.Occurrence
	limit := time.After(10 * time.Second)
	for {
		select {
		case n := <-r.seen:
			happened = append(happened, n.happened...)
			if is(n.state) {
				return happened
			}
		case <-limit:
			r.t.Fatalf("%s: not within 10 s; the state is %+v", what, r.State())
		}
	}
}

func (r *rig) untilUpdate(state backends.UpdateState) []observe.Occurrence {
	r.t.Helper()
	return r.until(string(state), func(s observe.State) bool { return s.Status.Update.State == state })
}

// happens waits for an occurrence.
func (r *rig) happens(want observe.Occurrence) observe.State {
	r.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case n := <-r.seen:
			for _, o := range n.happened {
				if cmp.Diff(want, o) == "" {
					return n.state
				}
				r.t.Errorf("unexpected: %+v", o)
			}
		case <-limit:
			r.t.Fatalf("%+v did not happen", want)
		}
	}
}

func (r *rig) quiet() {
	r.t.Helper()
	select {
	case n := <-r.seen:
		r.t.Errorf("unexpected news: %+v", n)
	case <-time.After(200 * time.Millisecond):
	}
}

func known(s observe.State) bool { return s.Known }
