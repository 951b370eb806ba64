package dbusapi_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// TestFilesInMessages: anybody can put open files into a message. They must neither stop the service nor stay open in it, whatever
// the bus lets pass: calls and signals, arrays and variants. godbus 5.2.4 panics where it takes files and gets an array of them.
func TestFilesInMessages(t *testing.T) {
	r := started(t, openBus)
	m := orintest.StartMonitor(t, r.monitor("--json"))
	m.Until("Version", "test")
	targets := r.others()
	if len(targets) != 2 { // the service and the monitor
		t.Fatalf("on the bus are %v", targets)
	}
	pid := r.slotd.Process.Pid
	before := openFiles(t, pid)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := dbus.UnixFD(null.Fd())
	for _, body := range [][]any{
		{[]dbus.UnixFD{fd, fd}}, {fd}, {map[string]dbus.Variant{"x": dbus.MakeVariant(fd)}}, {fd, fd, fd, fd, fd, fd, fd, fd},
		{[]dbus.UnixFDIndex{0, 1}}, {dbus.UnixFDIndex(7)}, // files that are not there
	} {
		for range 20 {
			conn := r.bus.Connect(t)
			headers := map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(manager)), dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.DBus.Properties"),
				dbus.FieldMember: dbus.MakeVariant("Get"), dbus.FieldDestination: dbus.MakeVariant(dbusapi.BusName),
				dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
			}
			conn.Send(&dbus.Message{Type: dbus.TypeMethodCall, Headers: headers, Body: body}, nil)
			for _, to := range targets {
				signal := map[dbus.HeaderField]dbus.Variant{}
				for k, v := range headers {
					signal[k] = v
				}
				signal[dbus.FieldDestination] = dbus.MakeVariant(to)
				conn.Send(&dbus.Message{Type: dbus.TypeSignal, Headers: signal, Body: body}, nil)
			}
			_ = conn.Close()
		}
	}
	r.done("Refresh")
	if after := openFiles(t, pid); after > before+2 {
		t.Errorf("%d files were open, and now %d", before, after)
	}
	r.run("tegra-bootctl", "activate", "other")
	m.Until("NextSlot", "B") // both live
}

// others are the unique names on the bus of programs that are not this one.
func (r *rig) others() []string {
	r.t.Helper()
	bus := r.bus.Connect(r.t).BusObject()
	var all, others []string
	if err := bus.Call("org.freedesktop.DBus.ListNames", 0).Store(&all); err != nil {
		r.t.Fatal(err)
	}
	for _, name := range all {
		var pid uint32
		err := bus.Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, name).Store(&pid)
		if err == nil && strings.HasPrefix(name, ":") && int(pid) != os.Getpid() {
			others = append(others, name)
		}
	}
	return others
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestForgedSignals: a program can send any signal straight to a monitor, and what a value holds is no command to a terminal.
func TestForgedSignals(t *testing.T) {
	r := started(t, openBus)
	var out orintest.Log
	c := r.monitor()
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	r.wait("lines", func() bool { return strings.Contains(out.String(), "slot B Rootfs") })
	forger := r.bus.Connect(t)
	for _, to := range r.others() {
		for _, member := range []string{dbusapi.BusName + ".RolledBack", "org.freedesktop.DBus.Properties.PropertiesChanged"} {
			i := strings.LastIndex(member, ".")
			body := []any{"B", "forged \x1b[31mred"}
			if i == len("org.freedesktop.DBus.Properties") {
				body = []any{dbusapi.BusName, map[string]dbus.Variant{"LastError": dbus.MakeVariant("forged")}, []string{}}
			}
			forger.Send(&dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(manager)), dbus.FieldInterface: dbus.MakeVariant(member[:i]),
				dbus.FieldMember: dbus.MakeVariant(member[i+1:]), dbus.FieldDestination: dbus.MakeVariant(to),
				dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...)),
			}}, nil)
		}
	}
	r.run("tegra-bup", "install", "--update", "a\x1b[31mred", r.capsule("36.4.3"))
	r.wait("the update", func() bool { return strings.Contains(out.String(), "PendingUpdate boots=0 firmware=36.4.3") })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if said := out.String(); strings.Contains(said, "forged") || strings.Contains(said, "\x1b") {
		t.Errorf("the monitor prints\n%q", said)
	}
}
