package dbusapi_test

import (
	"errors"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// user is somebody who calls. Not all groups of the tests' own process: root's are no one else's.
type user struct {
	uid, gid int
	groups   []uint32
}

// Numbers, as Debian has them: 60 is the group games.
var (
	nobody = user{uid: 65534, gid: 65534}
	member = user{uid: 65534, gid: 65534, groups: []uint32{60}}
)

// connect is a connection to the stage's bus that belongs to another user, for messages that no client program sends. The kernel
// tells the bus whose it is by the credentials of the thread that connects (unix(7), SO_PEERCRED), and a thread may have its own
// as long as libc is not asked (setresuid(2), C library/kernel differences).
func (s *stage) connect(t *testing.T, who user) *dbus.Conn {
	t.Helper()
	var conn *dbus.Conn
	done := make(chan error)
	go func() {
		// Never unlocked: the runtime ends a thread whose goroutine ends locked.
		runtime.LockOSThread()
		done <- func() (err error) {
			gid := uintptr(who.gid)
			for _, call := range [][4]uintptr{{unix.SYS_SETGROUPS, 0, 0, 0}, {unix.SYS_SETRESGID, gid, gid, gid},
				{unix.SYS_SETRESUID, uintptr(who.uid), uintptr(who.uid), uintptr(who.uid)}} {
				if _, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3]); errno != 0 {
					return errno
				}
			}
			conn, err = dbus.Dial(s.bus.Address, dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()))
			return err
		}()
	}()
	if err := <-done; err != nil {
		t.Fatalf("cannot connect as user %d: %v", who.uid, err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(who.uid))}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Hello(); err != nil {
		t.Fatal(err)
	}
	var uid uint32
	err := conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixUser", 0, conn.Names()[0]).Store(&uid)
	if err != nil || int(uid) != who.uid {
		t.Fatalf("the bus takes the caller for user %d (%v), want %d", uid, err, who.uid)
	}
	return conn
}

// send calls a method of the service; "" as interface leaves the field out, which D-Bus permits.
func send(t *testing.T, conn *dbus.Conn, face, member string, args ...any) error {
	t.Helper()
	m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldDestination: dbus.MakeVariant(busName), dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(manager)),
		dbus.FieldMember: dbus.MakeVariant(member),
	}, Body: args}
	if face != "" {
		m.Headers[dbus.FieldInterface] = dbus.MakeVariant(face)
	}
	if len(args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	select {
	case call := <-conn.Send(m, make(chan *dbus.Call, 1)).Done:
		return call.Err
	case <-time.After(10 * time.Second):
		t.Fatalf("no answer to %s", member)
		return nil
	}
}

func isDenied(err error) bool {
	var e dbus.Error
	return errors.As(err, &e) && e.Name == accessDenied
}

// TestCallWithoutInterface: no rule for everybody lets such a call pass, whichever interface the service would take it for.
func TestCallWithoutInterface(t *testing.T) {
	s := newStage(t, true)
	other := s.connect(t, nobody)
	if err := send(t, other, busName, "Check"); err != nil {
		t.Errorf("Check with its interface, by nobody: %v", err)
	}
	for _, methods := range s.all {
		for _, m := range methods {
			args := []any{"A", "Name", dbus.MakeVariant("B")}[:len(m.in)]
			if err := send(t, other, "", m.name, args...); !isDenied(err) {
				t.Errorf("%s without its interface, by nobody: %v, want %s", m.name, err, accessDenied)
			}
		}
	}
	// Not because nothing understands it.
	if err := send(t, s.bus.Connect(t), "", "Commit"); err != nil {
		t.Errorf("Commit without its interface, by root: %v", err)
	}
}

// TestOwner: nobody but root can be the service, and the rules do not open another service.
func TestOwner(t *testing.T) {
	s := newStage(t, true)
	_, err := s.service.ReleaseName(busName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.connect(t, nobody).RequestName(busName, dbus.NameFlagDoNotQueue); !isDenied(err) {
		t.Errorf("nobody owns the name: %v, want %s", err, accessDenied)
	}
	// The same connection without the name is just somebody on the bus: the rules do not reach it.
	other := s.connect(t, nobody)
	for _, method := range []string{busName + ".Check", "org.freedesktop.DBus.Peer.Ping"} {
		if err := other.Object(s.service.Names()[0], manager).Call(method, 0).Err; !isDenied(err) {
			t.Errorf("nobody calls %s of a service without a policy: %v, want %s", method, err, accessDenied)
		}
	}
	own(t, s.service, busName)
}

// TestEavesdropping: nobody sees what others ask and are told; root can, which shows that there was something to see.
func TestEavesdropping(t *testing.T) {
	s := newStage(t, true)
	spy, root := s.connect(t, nobody), s.bus.Connect(t)
	if err := spy.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, []string{}, uint32(0)).Err; !isDenied(err) {
		t.Errorf("nobody becomes a monitor: %v, want %s", err, accessDenied)
	}
	for _, kind := range []string{"method_call", "method_return", "error", "signal"} {
		// dbus-daemon refuses the rule that asks for it (1.14), and delivers nothing for the plain one.
		if err := spy.BusObject().Call("org.freedesktop.DBus.AddMatch", 0, "eavesdrop='true',type='"+kind+"'").Err; !isDenied(err) {
			t.Errorf("nobody asks to see every %s: %v, want %s", kind, err, accessDenied)
		}
		if err := spy.BusObject().Call("org.freedesktop.DBus.AddMatch", 0, "type='"+kind+"'").Err; err != nil {
			t.Fatal(err)
		}
	}
	if err := root.BusObject().Call("org.freedesktop.DBus.Monitoring.BecomeMonitor", 0, []string{}, uint32(0)).Err; err != nil {
		t.Fatal(err)
	}
	seen := map[*dbus.Conn]chan *dbus.Message{spy: make(chan *dbus.Message, 100), root: make(chan *dbus.Message, 100)}
	for conn, messages := range seen {
		conn.Eavesdrop(messages)
		// Before it is closed: godbus 5.2.4 closes the channel while it may still send.
		t.Cleanup(func() { conn.Eavesdrop(nil) })
	}
	if err := send(t, s.bus.Connect(t), busName, "Commit"); err != nil {
		t.Fatal(err)
	}
	if err := s.service.Emit(manager, busName+".BootCommitted", "A"); err != nil {
		t.Fatal(err)
	}
	// The bus delivers in order: who has the signal has had all before it.
	kinds := func(conn *dbus.Conn) (all []dbus.Type) {
		for {
			select {
			case m := <-seen[conn]:
				if m.Headers[dbus.FieldMember].Value() == "BootCommitted" {
					return all
				}
				all = append(all, m.Type)
			case <-time.After(10 * time.Second):
				t.Fatal("the signal does not arrive")
			}
		}
	}
	if got := kinds(root); !slices.Contains(got, dbus.TypeMethodReply) || !slices.Contains(got, dbus.TypeMethodCall) {
		t.Errorf("root's monitor has seen %v, want a call and a reply among it", got)
	}
	if got := kinds(spy); slices.ContainsFunc(got, func(k dbus.Type) bool { return k != dbus.TypeSignal }) {
		t.Errorf("nobody has seen %v, want signals at most", got)
	}
}
