package dbusapi_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/internal/bustest"
)

// What make install copies as it is.
const (
	shippedPolicy  = "../init/dbus/" + busName + ".conf"
	shippedExample = "../examples/dbus/polkit.conf"
)

// everybody lists what the bus lets everybody call: what changes nothing. All else that the XML has, or will have, takes root or
// the group; who adds a method decides here.
var everybody = []string{
	busName + ".Check", busName + ".Refresh",
	"org.freedesktop.DBus.Properties.Get", "org.freedesktop.DBus.Properties.GetAll", "org.freedesktop.DBus.Introspectable.Introspect",
	"org.freedesktop.DBus.ObjectManager.GetManagedObjects", "org.freedesktop.DBus.Peer.Ping",
}

// standard are the methods of D-Bus's own interfaces.
var standard = map[string][]method{
	"org.freedesktop.DBus.Properties":     {{"Get", "ss"}, {"GetAll", "s"}, {"Set", "ssv"}},
	"org.freedesktop.DBus.Introspectable": {{"Introspect", ""}},
	"org.freedesktop.DBus.ObjectManager":  {{"GetManagedObjects", ""}},
	"org.freedesktop.DBus.Peer":           {{"Ping", ""}},
}

// arguments are what busctl is given for a signature.
var arguments = map[string][]string{"": nil, "s": {"s", "A"}, "ss": {"ss", slotFace, "Name"}, "ssv": {"ssv", slotFace, "Name", "s", "B"}}

// answers are methods of the stand-in for the service: it says yes to whatever the bus lets through.
var answers = map[string]any{
	"":    func() (string, *dbus.Error) { return "yes", nil },
	"s":   func(string) (string, *dbus.Error) { return "yes", nil },
	"ss":  func(string, string) (string, *dbus.Error) { return "yes", nil },
	"ssv": func(string, string, dbus.Variant) (string, *dbus.Error) { return "yes", nil },
}

// stage is a bus with policies, on which a stand-in owns the service's name and answers every method.
type stage struct {
	bus     *bustest.Bus
	service *dbus.Conn
	all     map[string][]method
}

// newStage uses the policy that is shipped, with the group renamed to one that this machine has, and more files where given.
func newStage(t *testing.T, rename bool, more ...string) *stage {
	t.Helper()
	file := shippedPolicy
	if rename {
		text := textOf(t, file)
		if strings.Count(text, `group="tegra-ota"`) != 1 {
			t.Fatalf("%s has not one policy for the group", file)
		}
		file = filepath.Join(t.TempDir(), "policy.conf")
		putText(t, file, strings.Replace(text, `group="tegra-ota"`, `group="games"`, 1))
	}
	s := &stage{bus: bustest.Start(t, bustest.Options{Policies: append([]string{file}, more...)}), all: interfaces(t)}
	for name, methods := range standard {
		s.all[name] = methods
	}
	s.service = s.bus.Connect(t)
	for name, methods := range s.all {
		table := map[string]any{}
		for _, m := range methods {
			if answers[m.in] == nil {
				t.Fatalf("%s.%s takes %q, for which this test has no answer", name, m.name, m.in)
			}
			table[m.name] = answers[m.in]
		}
		if err := s.service.ExportMethodTable(table, manager, name); err != nil {
			t.Fatal(err)
		}
	}
	own(t, s.service, busName)
	return s
}

func own(t *testing.T, conn *dbus.Conn, name string) {
	t.Helper()
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("cannot own %s: %v, %v", name, reply, err)
	}
}

// calls are all methods, called with busctl by a user.
func (s *stage) calls(t *testing.T, who user) map[string]string {
	t.Helper()
	results := map[string]string{}
	for face, methods := range s.all {
		for _, m := range methods {
			args := append([]string{"--system", "call", busName, manager, face, m.name}, arguments[m.in]...)
			c := s.bus.CommandAs(who.uid, who.gid, "busctl", args...)
			c.SysProcAttr.Credential.Groups = who.groups
			results[face+"."+m.name] = verdict(t, c)
		}
	}
	return results
}

// verdict is "yes", "refused", or what else a client says.
func verdict(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	switch text := string(out); {
	case err == nil && (strings.Contains(text, "yes") || strings.Contains(strings.Join(c.Args, " "), ".Peer")):
		return "yes"
	case err != nil && (strings.Contains(text, "Access denied") || strings.Contains(text, "AccessDenied")):
		return "refused"
	default:
		return strings.TrimSpace(text)
	}
}

// TestWhoMayCall calls every method of the XML as root, as a member of the group, and as nobody.
func TestWhoMayCall(t *testing.T) {
	open := map[string]bool{}
	for _, m := range everybody {
		open[m] = true
	}
	cases := []struct {
		name    string
		bus     *stage
		who     user
		refused func(method string) bool
	}{
		{"root", newStage(t, true), user{}, func(string) bool { return false }},
		{"a member of the group", newStage(t, true), member, func(string) bool { return false }},
		{"nobody", newStage(t, true), nobody, func(m string) bool { return !open[m] }},
		{"root, where there is no such group", newStage(t, false), user{}, func(string) bool { return false }},
		{"a member of another group, where there is no such group", newStage(t, false), member, func(m string) bool { return !open[m] }},
		// The stand-in asks nobody, which the service does.
		{"nobody, with the example for polkit", newStage(t, true, shippedExample), nobody,
			func(m string) bool { return !open[m] && !strings.HasPrefix(m, busName+".") }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := map[string]string{}
			for face, methods := range c.bus.all {
				for _, m := range methods {
					want[face+"."+m.name] = "yes"
					if c.refused(face + "." + m.name) {
						want[face+"."+m.name] = "refused"
					}
				}
			}
			if d := cmp.Diff(want, c.bus.calls(t, c.who)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestOtherClients: what busctl is told, dbus-send and gdbus are told as well.
func TestOtherClients(t *testing.T) {
	s := newStage(t, true)
	for method, want := range map[string]string{"Check": "yes", "Commit": "refused"} {
		for _, args := range [][]string{
			{"dbus-send", "--system", "--print-reply", "--dest=" + busName, manager, busName + "." + method},
			{"gdbus", "call", "--system", "--dest", busName, "--object-path", manager, "--method", busName + "." + method},
		} {
			if got := verdict(t, s.bus.CommandAs(nobody.uid, nobody.gid, args[0], args[1:]...)); got != want {
				t.Errorf("%s by nobody with %s: %s, want %s", method, args[0], got, want)
			}
		}
	}
}

// TestRulesAreNarrow: each rule allows, names the service, and says that it is about calls.
func TestRulesAreNarrow(t *testing.T) {
	for _, file := range []string{shippedPolicy, shippedExample} {
		for _, p := range policies(t, file) {
			if len(p.Deny) > 0 {
				t.Errorf("%s denies; it is the system bus that denies what nothing allows: %+v", file, p.Deny)
			}
			for _, r := range p.Allow {
				if r.Own == "" && (r.SendDestination != busName || r.SendType != "method_call") {
					t.Errorf("%s: this rule opens more than the service's methods: %+v", file, r)
				}
				if p.Context != "" && (r.SendInterface == "" || r.SendMember == "") {
					t.Errorf("%s: everybody gets more than one method: %+v", file, r)
				}
			}
		}
	}
}
