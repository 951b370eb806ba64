package rauc

import (
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// TestLoss: the connection is lost in the middle of an install, and another follows. Nothing is told in between.
func TestLoss(t *testing.T) {
	for _, tt := range []struct {
		name  string
		away  func(t *testing.T, r *fake) // what RAUC does meanwhile
		after func(t *testing.T, r *fake) // and when it is followed again
		want  []install.Event
	}{
		{"it goes on", func(t *testing.T, r *fake) { r.progress(t, 41, "Copying", 2) }, end(0),
			[]install.Event{advanced(41, "Copying", 2), success}},
		{"nothing happens", nil, end(0), []install.Event{success}},
		{"it ends", end(0), nil, []install.Event{failed(unseen)}},
		{"it fails", func(t *testing.T, r *fake) { r.lastError(t, "no"); end(1)(t, r) }, nil, []install.Event{failed("no")}},
		{"a second one is refused", func(t *testing.T, r *fake) { r.setBusy(true); r.operation(t, idle) },
			func(t *testing.T, r *fake) { r.progress(t, 41, "Copying", 2); r.setBusy(false); r.completed(t, 0) },
			[]install.Event{advanced(41, "Copying", 2), success}},
		{"RAUC goes", func(_ *testing.T, r *fake) { _ = r.conn.Close() }, nil, []install.Event{failed(wentAway)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := bustest.Start(t, bustest.Options{Open: true})
			r, rec := newFake(t, b).appear(t), newRecorder()
			f := New(rec.sink, quiet())
			conn, stop := follow(t, b, f)
			r.keep(map[string]dbus.Variant{"Progress": progress(40, "Copying", 2)})
			waitFor(t, func() bool { return r.reads() == 1 })
			r.operation(t, installing)
			r.progress(t, 40, "Copying", 2)
			rec.want(t, begins, advanced(40, "Copying", 2))
			_ = conn.Close()
			stop()
			if tt.away != nil {
				tt.away(t, r)
			}
			if rec.none(t); r.reads() != 1 {
				t.Errorf("RAUC was asked %d times", r.reads())
			}
			_, stop = follow(t, b, f)
			if tt.after != nil {
				waitFor(t, func() bool { return r.reads() == 2 })
				tt.after(t, r)
			}
			rec.want(t, tt.want...)
			stop()
			rec.none(t)
		})
	}
}

// TestLossOfReason: the connection is lost while the reason of a failure is asked.
func TestLossOfReason(t *testing.T) {
	b := bustest.Start(t, bustest.Options{Open: true})
	rec := newRecorder()
	f := New(rec.sink, quiet())
	f.track.ask = func(question) {}
	f.track.appeared()
	f.track.changed(change{operation: pointer(installing)}, false)
	f.track.completed(1)
	rec.want(t, begins)
	r := newFake(t, b)
	r.keep(map[string]dbus.Variant{"LastError": dbus.MakeVariant("no")})
	r.appear(t)
	follow(t, b, f)
	rec.want(t, failed("no"))
}

// TestBusRestart: the bus ends, and RAUC with it, as the real one does. A new install, by a new RAUC, is followed.
func TestBusRestart(t *testing.T) {
	b, r, rec := scene(t)
	r.operation(t, installing)
	rec.want(t, begins)
	f := New(rec.sink, quiet())
	_, stop := follow(t, b, f)
	rec.want(t, begins) // the same install, seen by the second follower
	b.Restart(t)
	stop()
	_, stop = follow(t, b, f)
	rec.want(t, failed(wentAway))
	r = newFake(t, b)
	r.asked = make(chan struct{}, 10)
	r.appear(t)
	<-r.asked
	good(t, r)
	rec.want(t, goodEvents...)
	stop()
	rec.none(t)
}

func pointer[T any](v T) *T { return &v }

// reads says how often everything was asked.
func (r *fake) reads() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gotten
}

func waitFor(t *testing.T, come func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !come(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", limit)
		}
	}
}
