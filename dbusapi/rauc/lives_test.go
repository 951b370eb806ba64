package rauc

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// TestDeath: RAUC dies in the middle of an install and comes back.
func TestDeath(t *testing.T) {
	b, r, rec := scene(t)
	r.operation(t, installing)
	r.progress(t, 20, "Copying", 2)
	rec.want(t, begins, advanced(20, "Copying", 2))
	_ = r.conn.Close()
	rec.want(t, failed(wentAway))
	r = newFake(t, b)
	r.keep(map[string]dbus.Variant{"LastError": dbus.MakeVariant("of an install before")})
	r.asked = make(chan struct{}, 100)
	r.appear(t)
	<-r.asked
	good(t, r)
	rec.want(t, goodEvents...)

	// It dies between its failure and the reason for it.
	r.lastError(t, "")
	r.operation(t, installing)
	rec.want(t, begins)
	r.keep(map[string]dbus.Variant{"LastError": dbus.MakeVariant("")})
	r.completed(t, 1)
	_ = r.conn.Close()
	rec.want(t, failed(noReason))
	rec.none(t)
}

// TestReplaced: another process takes RAUC's name in the middle of an install. What the old one still says is of no account.
func TestReplaced(t *testing.T) {
	b, r, rec := scene(t)
	r.operation(t, installing)
	rec.want(t, begins)
	heir := newFake(t, b)
	heir.keep(map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "Progress": progress(30, "Copying", 2)})
	heir.appear(t)
	rec.want(t, failed(wentAway), started(30, "Copying", 2))
	r.completed(t, 1)
	heir.completed(t, 0)
	rec.want(t, success)
	rec.none(t)
}

// TestJoin: the follower comes in the middle of an install, and what signals tell stands, however old the answer is that comes after.
func TestJoin(t *testing.T) {
	middle := map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "Progress": progress(40, "Copying", 2)}
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, r *fake) // between RAUC's making up the answer and its sending it
		after  func(t *testing.T, r *fake)
		want   []install.Event
	}{
		{"", nil, end(0), []install.Event{started(40, "Copying", 2), success}},
		{"and it fails", nil, end(1), []install.Event{started(40, "Copying", 2), failed(noReason)}},
		{"progress comes first", func(t *testing.T, r *fake) { r.progress(t, 41, "Copying", 2) }, end(0),
			[]install.Event{started(41, "Copying", 2), success}},
		{"the end comes first", end(0), nil, []install.Event{started(0, "", 0), success}},
		{"half the end comes first", func(t *testing.T, r *fake) { r.completed(t, 0) },
			func(t *testing.T, r *fake) { r.operation(t, idle) }, []install.Event{started(0, "", 0), success}},
		{"an end and a beginning come first", func(t *testing.T, r *fake) { end(0)(t, r); r.operation(t, installing) }, end(0),
			[]install.Event{started(0, "", 0), success, begins, advanced(40, "Copying", 2), success}},
	} {
		t.Run("join "+tt.name, func(t *testing.T) {
			t.Parallel()
			b := bustest.Start(t, bustest.Options{Open: true})
			r, rec := newFake(t, b), newRecorder()
			r.keep(middle)
			r.asked, r.hold = make(chan struct{}, 100), make(chan struct{})
			r.appear(t)
			follow(t, b, New(rec.sink, quiet()))
			<-r.asked
			if tt.before != nil {
				tt.before(t, r)
			}
			close(r.hold)
			if tt.after != nil {
				time.Sleep(2 * settle) // the answer is handled first
				tt.after(t, r)
			}
			rec.want(t, tt.want...)
			r.lastError(t, "")
			time.Sleep(2 * settle)
			good(t, r)
			rec.want(t, goodEvents...)
			rec.none(t)
		})
	}
}

func end(result int32) func(t *testing.T, r *fake) {
	return func(t *testing.T, r *fake) {
		t.Helper()
		r.completed(t, result)
		r.operation(t, idle)
	}
}

// TestSilent: RAUC does not answer, and then it does. It was asked once.
func TestSilent(t *testing.T) {
	b := bustest.Start(t, bustest.Options{Open: true})
	r, rec := newFake(t, b), newRecorder()
	r.hold = make(chan struct{})
	r.keep(map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "Progress": progress(40, "Copying", 2)})
	r.appear(t)
	follow(t, b, New(rec.sink, quiet()))
	begin := time.Now()
	rec.want(t, install.Event{Kind: install.Unfollowed, Reason: silent})
	if took := time.Since(begin); took < patience/2 {
		t.Errorf("RAUC is given up after %v", took)
	}
	r.progress(t, 41, "Copying", 2)
	close(r.hold)
	rec.want(t, followed, started(41, "Copying", 2))
	end(0)(t, r)
	rec.want(t, success)
	if r.gotten != 1 {
		t.Errorf("RAUC was asked %d times", r.gotten)
	}
}

// TestSilentDeath: a RAUC that did not answer and is gone need not be seen.
func TestSilentDeath(t *testing.T) {
	b := bustest.Start(t, bustest.Options{Open: true})
	r, rec := newFake(t, b), newRecorder()
	r.hold = make(chan struct{})
	r.appear(t)
	follow(t, b, New(rec.sink, quiet()))
	rec.want(t, install.Event{Kind: install.Unfollowed, Reason: silent})
	_ = r.conn.Close()
	rec.want(t, followed)
	close(r.hold)
	rec.none(t)
}

// TestUnreadable: RAUC's properties are not what they should be.
func TestUnreadable(t *testing.T) {
	for _, tt := range []struct{ name, property, says string }{
		{"none", "Operation", "no property Operation"},
		{"another type", "Progress", "unexpected type of Progress"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bustest.Start(t, bustest.Options{Open: true})
			r, rec := newFake(t, b), newRecorder()
			was := r.values[tt.property]
			if r.values[tt.property] = dbus.MakeVariant([]string{"a"}); tt.name == "none" {
				delete(r.values, tt.property)
			}
			r.appear(t)
			follow(t, b, New(rec.sink, quiet()))
			rec.want(t, install.Event{Kind: install.Unfollowed, Reason: "cannot read RAUC's properties: " + tt.says})
			r.keep(map[string]dbus.Variant{tt.property: was})
			r.operation(t, installing)
			rec.want(t, begins, followed)
		})
	}
}

// TestForbidden: a policy keeps RAUC's properties from us, until it is changed. Signals are followed all the same.
func TestForbidden(t *testing.T) {
	policy := filepath.Join(t.TempDir(), "rauc.conf")
	write := func(rules string) {
		text := `<busconfig><policy context="default"><allow own="` + service + `"/>` + rules + `</policy></busconfig>`
		if err := os.WriteFile(policy, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	b := bustest.Start(t, bustest.Options{Policies: []string{policy}})
	rec := newRecorder()
	r := newFake(t, b).appear(t)
	follow(t, b, New(rec.sink, quiet()))
	e := rec.next(t)
	if e.Kind != install.Unfollowed || !strings.HasPrefix(e.Reason, "cannot read RAUC's properties: Rejected send message") {
		t.Fatalf("%+v", e)
	}
	good(t, r)
	rec.want(t, goodEvents...)
	r.operation(t, installing)
	rec.want(t, begins)
	r.completed(t, 1)
	r.operation(t, idle)
	rec.want(t, failed(noReason))
	write(`<allow send_destination="` + service + `"/>`)
	if err := r.conn.BusObject().Call(bus+".ReloadConfig", 0).Err; err != nil {
		t.Fatal(err)
	}
	r.operation(t, installing)
	rec.want(t, begins, followed)
	r.completed(t, 0)
	rec.want(t, success)
	rec.none(t)
}

// TestInvalidated: RAUC says that a value is new, and not which.
func TestInvalidated(t *testing.T) {
	_, r, rec := scene(t)
	r.keep(map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "Progress": progress(7, "quietly", 1)})
	r.emit(t, object, properties+".PropertiesChanged", installer, map[string]dbus.Variant{}, []string{"Operation"})
	rec.want(t, started(7, "quietly", 1))
	r.progress(t, 8, "aloud", 1)
	end(0)(t, r)
	rec.want(t, advanced(8, "aloud", 1), success)
	rec.none(t)
}

// TestStopped: a context that has ended, and a connection that has.
func TestStopped(t *testing.T) {
	b := bustest.Start(t, bustest.Options{Open: true})
	f, conn := New(newRecorder().sink, quiet()), b.Connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.Run(ctx, conn); err != context.Canceled {
		t.Errorf("Run without a context: %v", err)
	}
	_ = conn.Close()
	if err := f.Run(context.Background(), conn); err == nil || !strings.HasPrefix(err.Error(), "cannot follow RAUC: ") {
		t.Errorf("Run without a connection: %v", err)
	}
}
