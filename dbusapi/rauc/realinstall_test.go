package rauc

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// What rauc 1.8 tells of an install into one slot, up to the moment before it writes, and then.
var (
	realCheck = []install.Event{begins, advanced(0, "Installing", 1),
		advanced(0, "Determining slot states", 2), advanced(20, "Determining slot states done.", 2),
		advanced(20, "Checking bundle", 2), advanced(20, "Verifying signature", 3), advanced(40, "Verifying signature done.", 3),
		advanced(40, "Checking bundle done.", 2), advanced(40, "Checking manifest contents", 2),
		advanced(60, "Checking manifest contents done.", 2), advanced(60, "Determining target install group", 2),
		advanced(80, "Determining target install group done.", 2)}
	realWrite = []install.Event{advanced(80, "Updating slots", 2), advanced(80, "Checking slot rootfs.1", 3),
		advanced(90, "Checking slot rootfs.1 done.", 3), advanced(90, "Copying image to rootfs.1", 3),
		advanced(99, "Copying image to rootfs.1 done.", 3), advanced(99, "Updating slots done.", 2),
		advanced(100, "Installing done.", 1), success}
)

func (m *machine) brokenBackend() string {
	return "Installation error: Failed marking slot rootfs.1 non-bootable: custom backend: Failed to run " + m.path("backend") +
		": Child process exited with code 1"
}

// TestRealInstalls: good and failing installs by rauc. What else RAUC does has progress too, and is no install.
func TestRealInstalls(t *testing.T) {
	m, rec := newMachine(t), newRecorder()
	follow(t, m.bus, New(rec.sink, quiet()))
	for range 2 {
		m.runs(t, 0, "install", m.bundle)
		rec.want(t, realCheck...)
		rec.want(t, realWrite...)
		m.runs(t, 0, "status", "--detailed")
		m.runs(t, 0, "status", "mark-good")
		m.call(t, "Info", m.bundle)
		m.write(t, "broken", "", 0o644)
		m.runs(t, 1, "install", m.bundle)
		m.remove(t, "broken")
		rec.want(t, realCheck...)
		rec.want(t, advanced(100, "Installing failed.", 1), failed(m.brokenBackend()))
	}
	m.write(t, "no.raucb", strings.Repeat("no bundle", 1000), 0o644)
	m.runs(t, 1, "install", m.path("no.raucb"))
	rec.want(t, realCheck[:5]...)
	rec.want(t, advanced(40, "Checking bundle failed.", 2), advanced(100, "Installing failed.", 1),
		failed("Invalid bundle format: Signature size (8007508393967512677) exceeds bundle size"))
	rec.none(t)
}

// call calls a method of RAUC.
func (m *machine) call(t *testing.T, method string, args ...any) {
	t.Helper()
	if err := m.bus.Connect(t).Object(service, object).Call(installer+"."+method, 0, args...).Err; err != nil {
		t.Fatal(err)
	}
}

// TestRealRefusal: rauc refuses a second install in the middle of one, says idle, and goes on.
func TestRealRefusal(t *testing.T) {
	m, rec := newMachine(t), newRecorder()
	follow(t, m.bus, New(rec.sink, quiet()))
	witness := m.bus.Connect(t)
	heard := make(chan *dbus.Signal, 100)
	witness.Signal(heard)
	if err := witness.AddMatchSignal(dbus.WithMatchSender(service), dbus.WithMatchMember("PropertiesChanged")); err != nil {
		t.Fatal(err)
	}
	first := m.halfway(t)
	rec.want(t, realCheck...)
	m.runs(t, 2, "install", m.bundle)
	for c := (change{}); c.operation == nil || *c.operation != idle; {
		select {
		case s := <-heard:
			if s.Name == properties+".PropertiesChanged" {
				c, _, _ = changedProperties(s.Body)
			}
		case <-time.After(limit):
			t.Fatal("rauc does not say idle: whetherBusy is asked for nothing")
		}
	}
	time.Sleep(4 * settle) // the follower asks, and is answered
	rec.none(t)
	m.remove(t, "gate")
	if err := first.Wait(); err != nil {
		t.Errorf("the first install: %v", err)
	}
	rec.want(t, realWrite...)
	m.runs(t, 0, "install", m.bundle)
	rec.want(t, realCheck...)
	rec.want(t, realWrite...)
	rec.none(t)
}

// TestRealDeath: the follower comes in the middle, then rauc is killed; a new one is followed.
func TestRealDeath(t *testing.T) {
	m, rec := newMachine(t), newRecorder()
	m.halfway(t)
	follow(t, m.bus, New(rec.sink, quiet()))
	rec.want(t, started(80, "Determining target install group done.", 2))
	m.kill()
	rec.want(t, failed(wentAway))
	m.remove(t, "gate")
	m.start(t)
	time.Sleep(4 * settle)
	m.runs(t, 0, "install", m.bundle)
	rec.want(t, realCheck...)
	rec.want(t, realWrite...)
	rec.none(t)
}

// TestRealLoss: the follower's connection is lost twice: the install goes on, and has ended.
func TestRealLoss(t *testing.T) {
	m, rec := newMachine(t), newRecorder()
	f := New(rec.sink, quiet())
	first := m.halfway(t)
	for i := range 3 {
		conn, stop := follow(t, m.bus, f)
		switch i {
		case 0:
			rec.want(t, started(80, "Determining target install group done.", 2))
		case 1:
			time.Sleep(4 * settle)
		case 2:
			rec.want(t, failed(unseen))
			m.runs(t, 0, "install", m.bundle)
			rec.want(t, realCheck...)
			rec.want(t, realWrite...)
		}
		_ = conn.Close()
		stop()
		rec.none(t)
		if i == 1 {
			m.remove(t, "gate")
			if err := first.Wait(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRealBusEnds: rauc ends with the bus, in the middle of an install.
func TestRealBusEnds(t *testing.T) {
	m, rec := newMachine(t), newRecorder()
	f := New(rec.sink, quiet())
	m.halfway(t)
	conn := m.bus.Connect(t)
	done := make(chan error, 1)
	go func() { done <- f.Run(context.Background(), conn) }()
	rec.want(t, started(80, "Determining target install group done.", 2))
	m.bus.Restart(t)
	if err := <-done; err == nil || !strings.Contains(err.Error(), "the connection to the bus ended") {
		t.Errorf("Run ends with %v", err)
	}
	select {
	case <-m.done:
	case <-time.After(limit):
		t.Fatal("rauc outlives the bus")
	}
	rec.none(t)
	follow(t, m.bus, f)
	rec.want(t, failed(wentAway))
	m.remove(t, "gate")
	m.start(t)
	time.Sleep(4 * settle)
	m.runs(t, 0, "install", m.bundle)
	rec.want(t, realCheck...)
	rec.want(t, realWrite...)
	rec.none(t)
}
