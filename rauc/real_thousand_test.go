package rauc_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/go-cmp/cmp"
)

// TestThousand asks RAUC a thousand times, half of it for the states and half for the primary: nothing grows, nothing is left, and
// a change works at once.
func TestThousand(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.start(t)
	bus := o.connect(t)
	ask := func(times int) {
		for i := 0; i < times; i++ {
			for _, name := range []string{"GetSlotStatus", "GetPrimary"} {
				if err := bus.installer(name); err != nil {
					t.Fatalf("%d: %v\n%s", i, err, o.log(t))
				}
			}
		}
	}
	if calls := o.traced(t, func() { ask(1) }); len(calls) != 3 {
		t.Errorf("GetSlotStatus and GetPrimary call %q", calls)
	}
	o.unobserved(t)
	before, files := o.leavings(t), o.open(t)
	ask(500)
	if diff := cmp.Diff(before, o.leavings(t)); diff != "" {
		t.Errorf("1,000 calls leave something behind (-before +after):\n%s", diff)
	}
	if now := o.open(t); now > files+10 { // GLib opens a few of its own when it needs them
		t.Errorf("the service had %d files open, and has %d after 1,000 calls", files, now)
	}
	begin := time.Now()
	if code, _, log := o.backend(t, "set-state", "B", "bad"); code != 0 {
		t.Errorf("set-state exits %d: %s", code, log)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("set-state takes %v", took)
	}
	o.tells(t, truth{Booted: "A", Primary: "A", Good: "A"})
	o.updates(t)
}

// open counts the files that the service has open.
func (o *orin) open(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", o.service.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// leavings are the service's children, and every file of the device.
func (o *orin) leavings(t *testing.T) map[string]string {
	t.Helper()
	pid := o.service.cmd.Process.Pid
	all := map[string]string{"children": string(read(t, fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)))}
	err := filepath.WalkDir(o.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			all[strings.TrimPrefix(path, o.dir)] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// client is one connection to the device's D-Bus: enough to wait for RAUC, and to ask it a thousand times, without starting a
// thousand programs.
type client struct{ conn *dbus.Conn }

func (o *orin) connect(t *testing.T) *client {
	t.Helper()
	conn, err := dbus.Connect(o.bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{conn: conn}
}

// installer calls a method of RAUC's.
func (c *client) installer(member string) error {
	return c.call("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer", member)
}

// call waits for the answer and says whether it is one.
func (c *client) call(destination string, path dbus.ObjectPath, iface, member string) error {
	return c.conn.Object(destination, path).Call(iface+"."+member, 0).Err
}
