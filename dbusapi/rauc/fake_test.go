package rauc

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// limit is what a loaded machine is given.
const limit = 20 * time.Second

// recorder is a sink, and what a test wants of it.
type recorder struct{ events chan install.Event }

func newRecorder() *recorder { return &recorder{events: make(chan install.Event, 1000)} }

func (r *recorder) sink(e install.Event) { r.events <- e }

// next returns the next event.
func (r *recorder) next(t *testing.T) install.Event {
	t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(limit):
		t.Fatalf("no event within %v", limit)
		return install.Event{}
	}
}

// want fails unless exactly these events come next.
func (r *recorder) want(t *testing.T, want ...install.Event) {
	t.Helper()
	for i, w := range want {
		w.Updater = install.RAUC
		if diff := cmp.Diff(w, r.next(t)); diff != "" {
			t.Fatalf("event %d (-want +got):\n%s", i, diff)
		}
	}
}

// none fails if an event came that nobody wanted.
func (r *recorder) none(t *testing.T) {
	t.Helper()
	select {
	case e := <-r.events:
		t.Errorf("an event too many: %+v", e)
	default:
	}
}

// The events, short.
func started(percent int32, step string, depth int32) install.Event {
	return install.Event{Kind: install.Started, Progress: install.Progress{Percent: percent, Step: step, Depth: depth}}
}

func advanced(percent int32, step string, depth int32) install.Event {
	return install.Event{Kind: install.Advanced, Progress: install.Progress{Percent: percent, Step: step, Depth: depth}}
}

func failed(reason string) install.Event { return install.Event{Kind: install.Ended, Reason: reason} }

var (
	begins   = started(0, "", 0)
	success  = install.Event{Kind: install.Ended, Success: true}
	followed = install.Event{Kind: install.Followed}
)

func quiet() *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// follow runs a follower over a connection of its own. The returned function ends that, waits for Run, and checks why it ended.
func follow(t *testing.T, b *bustest.Bus, f *Follower) (conn *dbus.Conn, stop func()) {
	t.Helper()
	conn = b.Connect(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx, conn) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			lost := !conn.Connected()
			cancel()
			if err := <-done; !lost && !errors.Is(err, context.Canceled) {
				t.Errorf("Run ends with %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return conn, stop
}

// fake is a RAUC that says what a test wants.
type fake struct {
	conn *dbus.Conn

	mu     sync.Mutex
	values map[string]dbus.Variant
	busy   bool          // in the middle of an install
	asked  chan struct{} // takes a value at each GetAll, if not nil
	hold   chan struct{} // an answer to GetAll, already made up, waits for it, if not nil
	gotten int           // GetAll calls
}

// newFake puts a RAUC that does nothing on the bus.
func newFake(t *testing.T, b *bustest.Bus) *fake {
	t.Helper()
	r := &fake{conn: b.Connect(t), values: map[string]dbus.Variant{
		"Operation": dbus.MakeVariant(idle), "LastError": dbus.MakeVariant(""), "Progress": progress(0, "", 0),
		"Compatible": dbus.MakeVariant("test"), "Variant": dbus.MakeVariant(""), "BootSlot": dbus.MakeVariant("A")}}
	for name, method := range map[string]map[string]any{
		properties: {"GetAll": r.getAll, "Get": r.get},
		installer:  {"GetPrimary": r.getPrimary},
	} {
		if err := r.conn.ExportMethodTable(method, object, name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// appear lets it take RAUC's name.
func (r *fake) appear(t *testing.T) *fake {
	t.Helper()
	flags := dbus.NameFlagDoNotQueue | dbus.NameFlagAllowReplacement | dbus.NameFlagReplaceExisting
	if reply, err := r.conn.RequestName(service, flags); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("RequestName: %v, %v", reply, err)
	}
	return r
}

func (r *fake) getAll(string) (map[string]dbus.Variant, *dbus.Error) {
	r.mu.Lock()
	r.gotten++
	all := map[string]dbus.Variant{}
	for name, v := range r.values {
		all[name] = v
	}
	asked, hold := r.asked, r.hold
	r.mu.Unlock()
	if asked != nil {
		asked <- struct{}{}
	}
	if hold != nil {
		<-hold
	}
	return all, nil
}

func (r *fake) get(_, name string) (dbus.Variant, *dbus.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.values[name]
	if !ok {
		return v, dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"no such property"})
	}
	return v, nil
}

func (r *fake) getPrimary() (string, *dbus.Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return "", dbus.NewError("org.gtk.GDBus.UnmappedGError.Quark._g_2dio_2derror_2dquark.Code30",
			[]any{"already processing a different method"})
	}
	return "rootfs.0", nil
}

func progress(percent int32, step string, depth int32) dbus.Variant {
	return dbus.MakeVariant(struct {
		A int32
		B string
		C int32
	}{percent, step, depth})
}

// keep changes properties without a word.
func (r *fake) keep(values map[string]dbus.Variant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, v := range values {
		r.values[name] = v
	}
}

// say changes properties and tells it.
func (r *fake) say(t *testing.T, values map[string]dbus.Variant) {
	t.Helper()
	r.keep(values)
	r.emit(t, object, properties+".PropertiesChanged", installer, values, []string{})
}

func (r *fake) emit(t *testing.T, path dbus.ObjectPath, name string, args ...any) {
	t.Helper()
	if err := r.conn.Emit(path, name, args...); err != nil {
		t.Fatal(err)
	}
}

func (r *fake) operation(t *testing.T, op string) {
	t.Helper()
	r.say(t, map[string]dbus.Variant{"Operation": dbus.MakeVariant(op)})
}

func (r *fake) progress(t *testing.T, percent int32, step string, depth int32) {
	t.Helper()
	r.say(t, map[string]dbus.Variant{"Progress": progress(percent, step, depth)})
}

func (r *fake) lastError(t *testing.T, text string) {
	t.Helper()
	r.say(t, map[string]dbus.Variant{"LastError": dbus.MakeVariant(text)})
}

func (r *fake) completed(t *testing.T, result int32) {
	t.Helper()
	r.emit(t, object, installer+".Completed", result)
}

func (r *fake) setBusy(busy bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = busy
}

// scene is a bus with a RAUC that a follower follows and has read.
func scene(t *testing.T) (*bustest.Bus, *fake, *recorder) {
	t.Helper()
	b := bustest.Start(t, bustest.Options{Open: true})
	r, rec := newFake(t, b), newRecorder()
	r.asked = make(chan struct{}, 100)
	follow(t, b, New(rec.sink, quiet()))
	r.appear(t)
	<-r.asked
	return b, r, rec
}
