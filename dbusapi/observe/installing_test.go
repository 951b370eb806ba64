package observe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
)

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
		{
			"good", install.Event{Kind: install.Ended, Success: true},
			observe.Occurrence{Kind: observe.Finished, Success: true, Updater: "rauc"}, "",
		},
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
