package rauc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// TestSpoofed: another program sends what RAUC would send, to everybody and straight to us.
func TestSpoofed(t *testing.T) {
	b := bustest.Start(t, bustest.Options{Open: true})
	r, rec := newFake(t, b), newRecorder()
	conn, _ := follow(t, b, New(rec.sink, quiet()))
	liar := b.Connect(t)
	lies := func() {
		t.Helper()
		for _, to := range []string{"", conn.Names()[0]} {
			for _, lie := range []struct {
				path   dbus.ObjectPath
				iface  string
				member string
				args   []any
			}{
				{object, properties, "PropertiesChanged", []any{installer, map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing),
					"Progress": progress(66, "Lying", 1)}, []string{}}},
				{object, installer, "Completed", []any{int32(1)}},
				{object, properties, "PropertiesChanged", []any{installer,
					map[string]dbus.Variant{"Operation": dbus.MakeVariant(idle)}, []string{}}},
				{busObject, bus, "NameOwnerChanged", []any{service, "", liar.Names()[0]}},
				{busObject, bus, "NameOwnerChanged", []any{service, r.conn.Names()[0], ""}},
			} {
				m := &dbus.Message{Type: dbus.TypeSignal, Body: lie.args, Headers: map[dbus.HeaderField]dbus.Variant{
					dbus.FieldPath: dbus.MakeVariant(lie.path), dbus.FieldInterface: dbus.MakeVariant(lie.iface),
					dbus.FieldMember: dbus.MakeVariant(lie.member), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(lie.args...))}}
				if to != "" {
					m.Headers[dbus.FieldDestination] = dbus.MakeVariant(to)
				}
				if err := liar.Send(m, make(chan *dbus.Call, 1)).Err; err != nil {
					t.Fatal(err)
				}
			}
		}
		// The bus has them all, before it hears what RAUC says next.
		if err := liar.BusObject().Call(bus+".GetId", 0).Err; err != nil {
			t.Fatal(err)
		}
	}
	lies()
	r.appear(t)
	waitFor(t, func() bool { return r.reads() == 1 })
	lies()
	r.operation(t, installing)
	rec.want(t, begins)
	lies()
	r.completed(t, 0)
	rec.want(t, success)
	rec.none(t)
}

// TestNeverActivates: RAUC can be started by a call, and is not.
func TestNeverActivates(t *testing.T) {
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	script := "#!/bin/sh\necho started >>" + trace + "\n"
	if err := os.WriteFile(filepath.Join(dir, "rauc"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("[D-BUS Service]\nName=%s\nExec=%s/rauc\n", service, dir)
	if err := os.WriteFile(filepath.Join(dir, service+".service"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b := bustest.Start(t, bustest.Options{Open: true, ServiceDirs: []string{dir}})
	rec := newRecorder()
	f := New(rec.sink, quiet())
	for range 2 {
		_, stop := follow(t, b, f)
		r := newFake(t, b).appear(t)
		waitFor(t, func() bool { return r.reads() == 1 })
		r.operation(t, installing)
		rec.want(t, begins)
		r.operation(t, idle)
		_ = r.conn.Close() // while it is asked whether it is busy
		e := rec.next(t)
		if e.Success || e.Reason == "" {
			t.Errorf("%+v", e)
		}
		stop()
	}
	if b, err := os.ReadFile(trace); err == nil {
		t.Errorf("RAUC was started: %s", b)
	}
	// It could have been.
	_ = b.Connect(t).Object(service, object).Go(installer+".GetPrimary", 0, make(chan *dbus.Call, 1))
	waitFor(t, func() bool { _, err := os.Stat(trace); return err == nil })
}

// TestLeaves: a connection that goes on has no rule and no channel of ours after Run.
func TestLeaves(t *testing.T) {
	b, rec := bustest.Start(t, bustest.Options{Open: true}), newRecorder()
	r := newFake(t, b).appear(t)
	conn, stop := follow(t, b, New(rec.sink, quiet()))
	mine := make(chan *dbus.Signal, 10)
	conn.Signal(mine)
	waitFor(t, func() bool { return r.reads() == 1 })
	rules := func() []string {
		var all map[string][]string
		if err := r.conn.BusObject().Call("org.freedesktop.DBus.Debug.Stats.GetAllMatchRules", 0).Store(&all); err != nil {
			t.Fatal(err)
		}
		return all[conn.Names()[0]]
	}
	if got := rules(); len(got) != 3 {
		t.Errorf("%d rules:\n%s", len(got), strings.Join(got, "\n"))
	}
	stop()
	if got := rules(); len(got) != 0 {
		t.Errorf("rules are left:\n%s", strings.Join(got, "\n"))
	}
	if err := conn.AddMatchSignal(dbus.WithMatchInterface(installer)); err != nil {
		t.Fatal(err)
	}
	r.completed(t, 0)
	for s := range mine {
		if s.Name == installer+".Completed" {
			break
		}
	}
	rec.none(t)
}
