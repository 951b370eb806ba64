package bustest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// name is a service's.
const name = "io.github.tegra_ota.BusTest"

// nobody is a user without privilege.
const nobody = 65534

// TestMain is also the service that the bus activates: this executable, with an argument that go test never passes.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "serve" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serve owns the name until the bus ends.
func serve() error {
	conn, err := dbus.Connect(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"))
	if err != nil {
		return err
	}
	if _, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil {
		return err
	}
	<-conn.Context().Done()
	return nil
}

func run(c *exec.Cmd) (string, error) {
	out, err := c.CombinedOutput()
	return string(out), err
}

// driver calls a method of the bus itself, with a program that is not ours.
func driver(method string, args ...string) []string {
	return append([]string{"--system", "--print-reply", "--type=method_call", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
		"org.freedesktop.DBus." + method}, args...)
}

// ping is a method that every service answers.
func ping() []string {
	return []string{"--system", "--print-reply", "--type=method_call", "--dest=" + name, "/", "org.freedesktop.DBus.Peer.Ping"}
}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// rootOwns lets root own the name, and call it.
func rootOwns(t *testing.T) string {
	t.Helper()
	return file(t, "a&b.conf", `<busconfig><policy user="root"><allow own="`+name+`"/>`+
		`<allow send_destination="`+name+`"/></policy></busconfig>`)
}

func own(t *testing.T, b *Bus) *dbus.Conn {
	t.Helper()
	conn := b.Connect(t)
	if reply, err := conn.RequestName(name, dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("RequestName: %v, %v", reply, err)
	}
	return conn
}

// TestRules: without Open, the bus has the rules of Debian's system bus.
func TestRules(t *testing.T) {
	b := Start(t, Options{Policies: []string{rootOwns(t)}})
	own(t, b)
	for _, tt := range []struct {
		what  string
		uid   int
		args  []string
		wants string // in the output; a denial fails, else it succeeds
	}{
		{"nobody lists names", nobody, driver("ListNames"), name},
		{"nobody owns a name", nobody, driver("RequestName", "string:"+name+"2", "uint32:4"), "AccessDenied"},
		{"root owns a name without a policy", 0, driver("RequestName", "string:"+name+"2", "uint32:4"), "AccessDenied"},
		{"nobody calls without a policy", nobody, ping(), "AccessDenied"},
		{"root calls by the policy", 0, ping(), "method return"},
		{"nobody monitors", nobody, driver("Monitoring.BecomeMonitor", "array:string:", "uint32:0"), "AccessDenied"},
	} {
		out, err := run(b.CommandAs(tt.uid, tt.uid, "dbus-send", tt.args...))
		if denied := tt.wants == "AccessDenied"; (err != nil) != denied || !strings.Contains(out, tt.wants) {
			t.Errorf("%s: %v, want %s:\n%s", tt.what, err, tt.wants, out)
		}
	}
}

// TestPolicyFolder: a folder of policies is included, and a file that changes the rules is obeyed.
func TestPolicyFolder(t *testing.T) {
	all := file(t, "all.conf", `<busconfig><policy context="default"><allow send_destination="`+name+`"/></policy></busconfig>`)
	b := Start(t, Options{Policies: []string{rootOwns(t), filepath.Dir(all)}})
	own(t, b)
	if out, err := run(b.CommandAs(nobody, nobody, "dbus-send", ping()...)); err != nil {
		t.Errorf("the policy of the folder is not obeyed: %v\n%s", err, out)
	}
}

// TestOpen: everybody may do everything.
func TestOpen(t *testing.T) {
	b := Start(t, Options{Open: true})
	own(t, b)
	for _, args := range [][]string{ping(), driver("RequestName", "string:"+name+"2", "uint32:4")} {
		if out, err := run(b.CommandAs(nobody, nobody, "dbus-send", args...)); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

// TestRestart: the address stays, connections do not.
func TestRestart(t *testing.T) {
	b := Start(t, Options{Open: true})
	address, old := b.Address, own(t, b)
	b.Restart(t)
	select {
	case <-old.Context().Done():
	case <-time.After(20 * time.Second):
		t.Error("the connection outlives the bus")
	}
	if b.Address != address {
		t.Errorf("the address was %s and is %s", address, b.Address)
	}
	own(t, b)
	b.Stop()
	b.Stop()
	if conn, err := dbus.Connect(address); err == nil {
		_ = conn.Close()
		t.Error("a stopped bus takes connections")
	}
}

// TestActivation: a call starts the service, and stopping the bus ends it.
func TestActivation(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file(t, name+".service", "[D-BUS Service]\nName="+name+"\nExec="+self+" serve\nUser=root\n"))
	for _, o := range []Options{{Open: true}, {Policies: []string{rootOwns(t)}}} {
		o.ServiceDirs = []string{dir}
		b := Start(t, o)
		if out, err := run(b.Command("dbus-send", ping()...)); err != nil {
			t.Errorf("open %v: %v\n%s", o.Open, err, out)
		}
		var pid uint32
		if err := b.Connect(t).BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid); err != nil {
			t.Fatal(err)
		}
		b.Stop()
		for end := time.Now().Add(20 * time.Second); running(pid, self); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the service outlives the bus")
			}
		}
	}
}

// running says whether a process of an executable is there; one that has ended has none.
func running(pid uint32, executable string) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && exe == executable
}

// TestRulesOf: only policies and limits of the bus itself are taken.
func TestRulesOf(t *testing.T) {
	got, err := rulesOf([]byte(`<!-- <limit name="a">1</limit> --><busconfig><user>x</user><limit name="b">2</limit>
<include>y</include><policy user="root"> <allow own="*"/> </policy><other><limit name="c">3</limit></other></busconfig>`))
	want := `<limit name="b">2</limit>` + "\n" + `<policy user="root"> <allow own="*"/> </policy>` + "\n"
	if err != nil || string(got) != want {
		t.Errorf("rulesOf = %s, %v; want %s", got, err, want)
	}
	for _, broken := range []string{"", "<busconfig></busconfig>", "<busconfig><policy>"} {
		if got, err := rulesOf([]byte(broken)); err == nil {
			t.Errorf("rulesOf(%s) = %s", broken, got)
		}
	}
}
