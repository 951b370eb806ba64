package dbusapi_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// contradiction says what in the manager's properties cannot be true at the same time, on a device that runs from A.
func contradiction(all map[string]dbus.Variant) string {
	text := func(name string) string { s, _ := all[name].Value().(string); return s }
	pending, _ := all["PendingUpdate"].Value().(map[string]dbus.Variant)
	state, next := text("UpdateState"), text("NextSlot")
	flying := state == "installing" || state == "staged" || state == "activated"
	switch {
	case text("CurrentSlot") != "A":
		return "CurrentSlot is " + text("CurrentSlot")
	case flying != (len(pending) > 0):
		return "PendingUpdate does not fit to UpdateState"
	case flying && pending["state"].Value() != state:
		return "PendingUpdate is in another state"
	case next != map[bool]string{true: "B", false: "A"}[state == "activated"]:
		return "NextSlot does not fit to UpdateState"
	}
	return ""
}

// updates are verbs of the executables, one after the other.
func (r *rig) updates() func(stop <-chan struct{}) {
	capsule, image := r.capsule("36.4.3"), r.image()
	verbs := [][]string{
		{"tegra-image", "install", "--partition", "APP", "--update", "one", image}, {"tegra-bup", "install", "--update", "one", capsule},
		{"tegra-bootctl", "activate"}, {"tegra-bootctl", "activate", "a"}, {"tegra-bup", "abort"},
		{"tegra-bootctl", "activate", "b"}, {"tegra-bootctl", "rollback"}, // a switch alone: of two steps
	}
	return func(stop <-chan struct{}) {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			verb := verbs[i%len(verbs)]
			if code, out, log := r.try(verb[0], verb[1:]...); code != 0 {
				r.t.Errorf("%v: exit %d: %s%s", verb, code, out, log)
			}
		}
	}
}

// installs are what a RAUC tells of its installs.
func (r *rig) installs() func(stop <-chan struct{}) {
	r.t.Helper()
	const rauc = "de.pengutronix.rauc"
	conn := r.bus.Connect(r.t)
	type progress struct {
		Percent int32
		Step    string
		Depth   int32
	}
	values, err := prop.Export(conn, "/", prop.Map{rauc + ".Installer": {
		"Operation": {Value: "idle", Emit: prop.EmitTrue}, "LastError": {Value: "", Emit: prop.EmitTrue},
		"Progress": {Value: progress{}, Emit: prop.EmitTrue},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if reply, err := conn.RequestName(rauc, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		r.t.Fatal(reply, err)
	}
	return func(stop <-chan struct{}) {
		for {
			values.SetMust(rauc+".Installer", "Operation", "installing")
			for percent := int32(0); percent <= 100; percent += 5 {
				values.SetMust(rauc+".Installer", "Progress", progress{percent, fmt.Sprint("Step ", percent), 1})
				time.Sleep(10 * time.Millisecond)
			}
			if err := conn.Emit("/", rauc+".Installer.Completed", int32(0)); err != nil {
				r.t.Error(err)
			}
			values.SetMust(rauc+".Installer", "Operation", "idle")
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// follower keeps a copy of the properties by the signals alone.
type follower struct {
	t                *testing.T
	r                *rig
	conn             *dbus.Conn
	signals          chan *dbus.Signal
	copies           map[string]map[string]dbus.Variant
	progress, states int // how often they changed
}

func (r *rig) follow() *follower {
	r.t.Helper()
	f := &follower{t: r.t, r: r, conn: r.bus.Connect(r.t), signals: make(chan *dbus.Signal, 1<<16)}
	f.copies = map[string]map[string]dbus.Variant{}
	f.conn.Signal(f.signals)
	if err := f.conn.AddMatchSignal(dbus.WithMatchSender(dbusapi.BusName), dbus.WithMatchMember("PropertiesChanged")); err != nil {
		r.t.Fatal(err)
	}
	for path := range ours {
		f.copies[path] = f.all(path)
	}
	return f
}

func (f *follower) all(path string) map[string]dbus.Variant {
	f.t.Helper()
	var all map[string]dbus.Variant
	if err := f.conn.Object(dbusapi.BusName, dbus.ObjectPath(path)).Call(propertiesFace+".GetAll", 0, "").Store(&all); err != nil {
		f.t.Fatal(err)
	}
	return all
}

// compare holds the copy to what there is now: whoever follows the signals has lost none.
func (f *follower) compare() {
	f.t.Helper()
	f.r.is("Operation", `s "idle"`)
	time.Sleep(time.Second) // the last verb's readings
	now := map[string]map[string]dbus.Variant{}
	for path := range ours {
		now[path] = f.all(path)
	}
	for len(f.signals) > 0 {
		s := <-f.signals
		if s.Name != propertiesFace+".PropertiesChanged" {
			continue // the bus tells a connection of its names
		}
		changed, _ := s.Body[1].(map[string]dbus.Variant)
		for name, v := range changed {
			switch name {
			case "Progress":
				f.progress++
			case "UpdateState":
				f.states++
			}
			f.copies[string(s.Path)][name] = v
		}
	}
	for path := range ours {
		for name, v := range now[path] {
			if got := f.copies[path][name]; got.String() != v.String() {
				f.t.Errorf("%s of %s is %v; by the signals it is %v", name, path, v, got)
			}
		}
	}
}
