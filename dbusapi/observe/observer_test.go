package observe_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
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
	r.Observer = observe.New(func() (observe.Surveyor, error) { return r, nil }, r,
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

// An install without an updater that tells: the journal alone.
func TestInstallSeenInTheJournal(t *testing.T) {
	r := newRig(t)
	if h := r.until("the first reading", known); len(h) > 0 {
		t.Errorf("the first reading is no news: %+v", h)
	}
	r.update(backends.Installing, "")
	r.untilUpdate(backends.Installing)
	r.update(backends.StagedAll, "")
	r.untilUpdate(backends.StagedAll)
	b := backends.B
	r.becomes(func() { r.status.Update.State, r.status.Next = backends.Activated, &b })
	want := []observe.Occurrence{{Kind: observe.Switched, Slot: backends.B}, {Kind: observe.Finished, Success: true}}
	if d := cmp.Diff(want, r.untilUpdate(backends.Activated)); d != "" {
		t.Error(d)
	}
	r.becomes(func() { r.status.Update.State, r.status.Update.Reason = backends.Failed, "aborted" })
	want = []observe.Occurrence{{Kind: observe.RolledBack, Slot: backends.B, Reason: "aborted"}}
	if d := cmp.Diff(want, r.untilUpdate(backends.Failed)); d != "" {
		t.Errorf("an install that ended does not end again: %s", d)
	}
	if got := r.State().LastError; got != "aborted" {
		t.Errorf("LastError %q", got)
	}
}

// With an updater, its word is the end; and who hears of it reads what it led to.
func TestInstallByAnUpdater(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  install.Event
		want observe.Occurrence
		last string
	}{
		{"good", install.Event{Kind: install.Ended, Success: true}, observe.Occurrence{Kind: observe.Finished, Success: true, Updater: "rauc"}, ""},
		{
			"bad", install.Event{Kind: install.Ended, Reason: "no room"},
			observe.Occurrence{Kind: observe.Finished, Updater: "rauc", Reason: "no room"}, "no room",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			r.until("the first reading", known)
			r.Installed(install.Event{Updater: "rauc", Kind: install.Started})
			r.until("installing", func(s observe.State) bool { return s.Operation == observe.Installing })
			p := install.Progress{Percent: 40, Step: "copying", Depth: 2}
			r.Installed(install.Event{Updater: "rauc", Kind: install.Advanced, Progress: p})
			r.until("progress", func(s observe.State) bool { return s.Progress == p })
			r.update(backends.Installing, "")
			r.untilUpdate(backends.Installing)
			r.update(backends.Activated, "")
			if h := r.untilUpdate(backends.Activated); len(h) > 0 {
				t.Errorf("the updater has not said that it has finished: %+v", h)
			}
			r.mu.Lock()
			r.status.Backend = "after" // and the watcher does not notice
			r.mu.Unlock()
			tt.end.Updater = "rauc"
			r.Installed(tt.end)
			st := r.happens(tt.want)
			if st.Status.Backend != "after" || st.Operation != observe.Idle || st.LastError != tt.last {
				t.Errorf("%+v", st)
			}
			r.Installed(install.Event{Updater: "rauc", Kind: install.Started})
			r.until("installing again", func(s observe.State) bool { return s.Operation == observe.Installing && s.LastError == "" })
		})
	}
}

// What the boot's judgement changes.
func TestOccurrencesOfABoot(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	r.becomes(func() { r.status.Committed = true })
	r.happens(observe.Occurrence{Kind: observe.Committed, Slot: backends.A})
	r.update(backends.RolledBack, "the health check failed")
	r.happens(observe.Occurrence{Kind: observe.RolledBack, Slot: backends.B, Reason: "the health check failed"})
	r.quiet()
}

// A device that cannot be read is said to be so, keeps its last values, and comes back.
func TestUnreadableDevice(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	r.becomes(func() { r.err = errors.New("efivarfs is not mounted") })
	r.until("the error", func(s observe.State) bool { return s.LastError == "cannot read the device: efivarfs is not mounted" })
	if st := r.State(); st.Status.Backend != "test" {
		t.Errorf("the last values are gone: %+v", st)
	}
	r.becomes(func() { r.err = nil })
	r.until("recovery", func(s observe.State) bool { return s.LastError == "" })
	r.becomes(func() {
		r.status.Problems = []backends.Problem{{Check: "journal", Severity: backends.SeverityWarning, Reason: "cannot trust the journal", NextStep: "x"}}
	})
	r.until("the journal", func(s observe.State) bool { return s.LastError == "cannot trust the journal" })
	r.becomes(func() { r.status.Problems = nil })
	r.until("recovery", func(s observe.State) bool { return s.LastError == "" })
}

// A reading in the middle of a verb may find the journal half changed. That is nothing to tell.
func TestJournalInTheMiddleOfAVerb(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	journal := backends.Problem{Check: "journal", Reason: "cannot find the journal"}
	r.becomes(func() { r.status.Backend, r.status.Problems = "locked", []backends.Problem{{Check: "lock"}, journal} })
	r.until("a reading", func(s observe.State) bool {
		if s.LastError != "" {
			t.Errorf("LastError %q", s.LastError)
		}
		return s.Status.Backend == "locked"
	})
	r.becomes(func() { r.status.Backend, r.status.Problems = "over", nil })
	r.until("a reading", func(s observe.State) bool { return s.Status.Backend == "over" && s.LastError == "" })
	r.quiet()
}

// News of installs, and Refresh's patience, do not depend on a device that answers.
func TestStalledDevice(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	stall := make(chan struct{})
	r.becomes(func() { r.stall = stall })
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := r.Refresh(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("refresh of a stalled device: %v", err)
	}
	r.Installed(install.Event{Updater: "rauc", Kind: install.Started})
	r.until("installing", func(s observe.State) bool { return s.Operation == observe.Installing })
	r.Installed(install.Event{Updater: "rauc", Kind: install.Ended, Success: true})
	r.happens(observe.Occurrence{Kind: observe.Finished, Success: true, Updater: "rauc"}) // without the reading it waits for
	close(stall)
}

// Refresh returns with a reading that began after the call; a hundred askers cost a few readings.
func TestRefresh(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	r.mu.Lock()
	before := r.readings
	r.status.Backend = "new"
	r.mu.Unlock()
	var all sync.WaitGroup
	for i := 0; i < 100; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := r.Refresh(context.Background()); err != nil || r.State().Status.Backend != "new" {
				t.Errorf("%v, %q", err, r.State().Status.Backend)
			}
		}()
	}
	all.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := r.readings - before; n > 20 {
		t.Errorf("%d readings", n)
	}
}

// Only one of our operations works at a time, and Operation says which.
func TestOperation(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	end, ok := r.Begin(observe.Committing)
	if !ok {
		t.Fatal("nothing works, and nothing may begin")
	}
	if _, ok := r.Begin(observe.Marking); ok {
		t.Error("two at once")
	}
	r.until("committing", func(s observe.State) bool { return s.Operation == observe.Committing })
	end()
	r.until("idle", func(s observe.State) bool { return s.Operation == observe.Idle })
}

// Other places are watched, and then read once more: something may have changed there before they were watched.
func TestFollowsPlaces(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		done := r.readings >= 2 && len(r.set) == 1
		r.mu.Unlock()
		if done {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d readings, places set %d times", r.readings, len(r.set))
		}
	}
	r.becomes(func() { r.places, r.setErr = []watch.Place{{Folder: "/y"}}, errors.New("no more watches") })
	r.until("the error", func(s observe.State) bool { return s.LastError == "cannot notice changes: no more watches" })
	r.becomes(func() { r.setErr = nil })
	r.until("recovery", func(s observe.State) bool { return s.LastError == "" })
}

// Trouble with an updater is told while it lasts.
func TestUnfollowed(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	r.Installed(install.Event{Updater: "swupdate", Kind: install.Unfollowed, Reason: "cannot read its progress"})
	r.until("the error", func(s observe.State) bool { return s.LastError == "cannot read its progress" })
	r.Installed(install.Event{Updater: "swupdate", Kind: install.Followed})
	r.until("recovery", func(s observe.State) bool { return s.LastError == "" })
}
