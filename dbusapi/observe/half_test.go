package observe_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
)

// A journal that cannot be read any more does not mean that the update is gone; what comes from elsewhere is still believed.
func TestLostJournal(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	b := backends.B
	r.becomes(func() {
		r.status.Update, r.status.Next = backends.UpdateStatus{State: backends.Activated, Target: &b}, &b
	})
	r.untilUpdate(backends.Activated)
	r.becomes(func() {
		a := backends.A
		r.status.Update, r.status.Next = backends.UpdateStatus{State: backends.Idle}, &a
		r.status.Problems = []backends.Problem{{Check: "journal", Reason: "it is gone"}}
		r.status.Committed = true
	})
	h := r.until("the loss", func(s observe.State) bool { return s.LastError == "it is gone" })
	for _, o := range h {
		if o.Kind != observe.Committed {
			t.Errorf("the loss is taken for %+v", o)
		}
	}
	st := r.State().Status
	if st.Update.State != backends.Activated || *st.Next != backends.B || !st.Committed {
		t.Errorf("%+v", st)
	}
	r.becomes(func() { r.status.Problems, r.status.Update.State = nil, backends.Failed })
	r.untilUpdate(backends.Failed)
}

// A device that never had a journal to trust is shown as it is, also when that changes.
func TestJournalNeverTrusted(t *testing.T) {
	r := newRig(t)
	r.mu.Lock()
	r.status.Problems = []backends.Problem{{Check: "journal", Reason: "no place for it"}}
	r.mu.Unlock()
	r.until("the first reading", known)
	b := backends.B
	r.becomes(func() { r.status.Next = &b })
	r.until("the switch", func(s observe.State) bool { return s.Status.Next != nil && *s.Status.Next == backends.B })
}

// Two values that never fit but between the steps of a verb are not told before they have been read three times.
func TestHalfChange(t *testing.T) {
	r := newRig(t)
	r.until("the first reading", known)
	b := backends.B
	r.becomes(func() { r.status.Next = &b }) // a foreign switch: it stays, so it is believed in the end
	r.until("the switch", func(s observe.State) bool { return *s.Status.Next == backends.B })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.readings < 4 {
		t.Errorf("believed at once: %d readings in all", r.readings)
	}
}
