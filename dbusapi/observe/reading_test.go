package observe_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// A device that cannot be read is said to be so, keeps its last values, and comes back.
func TestUnreadableDevice(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	r.becomes(func() { r.err = errors.New("efivarfs is not mounted") })
	r.until("the error", func(s observe.State) bool { return s.LastError == "cannot read the device: efivarfs is not mounted" })
	if err := r.Refresh(context.Background()); err == nil || err.Error() != "efivarfs is not mounted" {
		t.Errorf("refresh: %v", err)
	}
	if st := r.State(); st.Status.Backend != "test" {
		t.Errorf("the last values are gone: %+v", st)
	}
	r.becomes(func() { r.err = nil })
	r.until("recovery", func(s observe.State) bool { return s.LastError == "" })
	r.becomes(func() {
		r.status.Problems = []backends.Problem{{Check: "journal", Reason: "cannot trust the journal"}}
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
	end("")
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
