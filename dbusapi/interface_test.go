package dbusapi_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

const (
	propertiesFace = "org.freedesktop.DBus.Properties"
	errorFace      = "org.freedesktop.DBus.Error."
)

// specified are the interfaces of the D-Bus specification, on which objects.
var specified = map[string][]string{
	manager: {"Introspectable", "ObjectManager", "Peer", "Properties"},
	slotA:   {"Introspectable", "Peer", "Properties"},
	slotB:   {"Introspectable", "Peer", "Properties"},
}

var ours = map[string]string{manager: dbusapi.BusName, slotA: slotFace, slotB: slotFace}

// What busctl and gdbus are told is what the XML files say, member by member.
func TestIntrospection(t *testing.T) {
	r := started(t)
	want := source(t)
	for path, face := range ours {
		for _, c := range [][]string{
			{"busctl", "--system", "introspect", "--xml-interface", dbusapi.BusName, path},
			{"gdbus", "introspect", "--system", "--xml", "--dest", dbusapi.BusName, "--object-path", path},
		} {
			faces, nodes := description(t, r.must(r.bus.Command(c[0], c[1:]...)))
			if d := cmp.Diff(want[face].members, faces[face].members, cmpopts.IgnoreUnexported(xmlMember{})); d != "" {
				t.Errorf("%s of %s: %s", c[0], path, d)
			}
			var names []string
			for name := range faces {
				if short, ok := strings.CutPrefix(name, "org.freedesktop.DBus."); ok {
					names = append(names, short)
				} else if name != face {
					t.Errorf("%s has the interface %s", path, name)
				}
			}
			sort.Strings(names)
			if d := cmp.Diff(specified[path], names); d != "" {
				t.Errorf("%s of %s: standard interfaces: %s", c[0], path, d)
			}
			if path == manager && cmp.Diff([]string{"slot"}, nodes) != "" {
				t.Errorf("nodes below %s: %s", path, nodes)
			}
		}
		// What the table for people shows: busctl reads the values with GetAll and puts them beside the description.
		table := r.must(r.bus.Command("busctl", "--system", "introspect", dbusapi.BusName, path, face))
		for name, m := range want[face].members {
			if !strings.Contains(table, "\n."+name+" ") || m.Kind == "property" && strings.Contains(table, "."+name+" property "+m.Out+" - ") {
				t.Errorf("busctl shows no %s:\n%s", name, table)
			}
		}
	}
	tree := r.must(r.bus.Command("busctl", "--system", "--list", "tree", dbusapi.BusName))
	wantTree := "/\n/io\n/io/github\n/io/github/tegra_ota\n" + manager + "\n" + manager + "/slot\n" + slotA + "\n" + slotB + "\n"
	if tree != wantTree {
		t.Errorf("busctl tree:\n%s", tree)
	}
	recursed := r.must(r.bus.Command("gdbus", "introspect", "--system", "--recurse", "--dest", dbusapi.BusName, "--object-path", "/"))
	for path := range ours {
		if !strings.Contains(recursed, "node "+path+" {") {
			t.Errorf("gdbus introspect does not come to %s:\n%s", path, recursed)
		}
	}
}

// Every object has exactly the properties of the XML, with its signatures, whoever is asked.
func TestPropertiesAreTheXMLs(t *testing.T) {
	r := started(t)
	want := source(t)
	var managed map[dbus.ObjectPath]map[string]map[string]dbus.Variant
	if err := r.object(manager).Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0).Store(&managed); err != nil {
		t.Fatal(err)
	}
	if len(managed) != 2 {
		t.Errorf("%d managed objects", len(managed))
	}
	for path, face := range ours {
		for _, asked := range []string{face, ""} { // "": all of them
			call := r.object(path).Call(propertiesFace+".GetAll", 0, asked)
			if call.Err != nil {
				t.Fatal(call.Err)
			}
			all := call.Body[0].(map[string]dbus.Variant) // not Store: it takes the signatures of structures away
			if d := cmp.Diff(want[face].of("property"), signatures(all)); d != "" {
				t.Errorf("GetAll(%q) of %s: %s", asked, path, d)
			}
			for name, v := range all {
				one := r.object(path).Call(propertiesFace+".Get", 0, asked, name)
				if one.Err != nil || one.Body[0].(dbus.Variant).String() != v.String() {
					t.Errorf("Get(%q, %s) of %s: %v, %v; want %v", asked, name, path, one.Body, one.Err, v)
				}
			}
		}
		if path != manager {
			if d := cmp.Diff(want[face].of("property"), signatures(managed[dbus.ObjectPath(path)][face])); d != "" {
				t.Errorf("GetManagedObjects, %s: %s", path, d)
			}
		}
	}
	out := r.must(r.bus.Command("gdbus", "call", "--system", "--dest", dbusapi.BusName, "--object-path", manager,
		"--method", "org.freedesktop.DBus.ObjectManager.GetManagedObjects"))
	if !strings.Contains(out, "'"+slotA+"': {") || !strings.Contains(out, "'"+slotB+"': {") || !strings.Contains(out, "'Name': <'B'>") {
		t.Errorf("gdbus: %s", out)
	}
}

func signatures(all map[string]dbus.Variant) map[string]string {
	found := map[string]string{}
	for name, v := range all {
		found[name] = v.Signature().String()
	}
	return found
}

// Every method answers with the XML's signature, and what is in an a{sv} is what the XML's comment lists.
func TestAnswersAreTheXMLs(t *testing.T) {
	r := started(t)
	want := source(t)[dbusapi.BusName]
	calls := []struct {
		method   string
		args     []any
		optional string // a key that may be missing
	}{
		{"Activate", []any{"other"}, "firmware"}, {"Rollback", nil, ""}, {"Commit", nil, ""}, {"MarkBad", []any{"other"}, ""}, {"Check", nil, ""},
		{"MarkGood", []any{"B"}, ""}, {"Refresh", nil, ""},
	}
	for _, c := range calls {
		call := r.object(manager).Call(dbusapi.BusName+"."+c.method, 0, c.args...)
		if call.Err != nil {
			t.Errorf("%s: %v", c.method, call.Err)
			continue
		}
		m := want.members[c.method]
		if got := dbus.SignatureOf(call.Body...).String(); got != m.Out {
			t.Errorf("%s answers %s, want %s", c.method, got, m.Out)
		}
		if sent := dbus.SignatureOf(c.args...).String(); sent != m.In {
			t.Errorf("%s takes %s, which is not the XML's %s", c.method, sent, m.In)
		}
		switch {
		case m.Out == "a{sv}":
			holds(t, c.method, want.keys(t, c.method), call.Body[0].(map[string]dbus.Variant), c.optional)
		case c.method == "Check":
			all := call.Body[0].([]map[string]dbus.Variant)
			if len(all) == 0 { // slot B was marked bad
				t.Error("Check finds nothing")
			}
			for _, one := range all {
				holds(t, "Check", want.keys(t, "Check"), one, "")
			}
		}
		delete(want.members, c.method)
	}
	for name := range want.of("method") {
		t.Errorf("no call of %s", name)
	}
}

// The structures among the properties hold what their comments list, in the states that matter.
func TestStructuresAreTheXMLs(t *testing.T) {
	r := started(t)
	want := source(t)[dbusapi.BusName]
	look := func(optional string) {
		t.Helper()
		for _, name := range []string{"Board", "PendingUpdate", "LastVerdict"} {
			v, err := r.object(manager).GetProperty(dbusapi.BusName + "." + name)
			if err != nil {
				t.Fatal(err)
			}
			all := v.Value().(map[string]dbus.Variant)
			if name == "PendingUpdate" && len(all) == 0 {
				continue
			}
			holds(t, name, want.keys(t, name), all, optional)
		}
	}
	look("esrt")
	r.run("tegra-bup", "install", r.capsule("36.4.3"))
	r.is("UpdateState", `s "staged"`)
	look("esrt")
	r.done("Activate", "")
	look("esrt")
	r.boot("--cold")
	r.is("UpdateState", `s "committed"`)
	look("") // the firmware has judged: esrt is there
}

// holds compares an a{sv} with keys and types.
func holds(t *testing.T, what string, want map[string]string, got map[string]dbus.Variant, optional string) {
	t.Helper()
	have := signatures(got)
	if _, ok := have[optional]; !ok && optional != "" {
		have[optional] = want[optional]
	}
	if _, ok := want[optional]; !ok {
		delete(have, optional) // not of this structure
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}
