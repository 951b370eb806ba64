package rauc_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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

// client is one connection to the device's D-Bus that calls methods without arguments, one after the other: enough to wait for RAUC,
// and to ask it a thousand times, without starting a thousand programs.
type client struct {
	conn   net.Conn
	in     *bufio.Reader
	serial uint32
}

func (o *orin) connect(t *testing.T) *client {
	t.Helper()
	conn, err := net.Dial("unix", strings.TrimPrefix(o.bus, "unix:path="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	fmt.Fprintf(conn, "\x00AUTH EXTERNAL %x\r\n", strconv.Itoa(0)) // root
	if line, err := c.in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "OK ") {
		t.Fatalf("the bus answers %q, %v", line, err)
	}
	fmt.Fprint(conn, "BEGIN\r\n")
	if err := c.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello"); err != nil {
		t.Fatal(err)
	}
	return c
}

// installer calls a method of RAUC's.
func (c *client) installer(member string) error {
	return c.call("de.pengutronix.rauc", "/", "de.pengutronix.rauc.Installer", member)
}

// call waits for the answer and says whether it is one. Message format: D-Bus specification, "Message Protocol".
func (c *client) call(destination, path, iface, member string) error {
	c.serial++
	const call, answer, failure = 1, 2, 3
	var fields []byte
	for _, f := range []struct {
		code, kind byte
		value      string
	}{{1, 'o', path}, {2, 's', iface}, {3, 's', member}, {6, 's', destination}} {
		fields = append(pad(fields), f.code, 1, f.kind, 0)
		fields = binary.LittleEndian.AppendUint32(fields, uint32(len(f.value)))
		fields = append(append(fields, f.value...), 0)
	}
	message := []byte{'l', call, 0, 1, 0, 0, 0, 0}
	message = binary.LittleEndian.AppendUint32(message, c.serial)
	message = binary.LittleEndian.AppendUint32(message, uint32(len(fields)))
	if _, err := c.conn.Write(pad(append(message, fields...))); err != nil {
		return err
	}
	for {
		head := make([]byte, 16)
		if _, err := io.ReadFull(c.in, head); err != nil {
			return err
		}
		body, fields := binary.LittleEndian.Uint32(head[4:]), binary.LittleEndian.Uint32(head[12:])
		rest := make([]byte, (fields+7)/8*8+body)
		if _, err := io.ReadFull(c.in, rest); err != nil {
			return err
		}
		switch head[1] { // signals are passed over
		case answer:
			return nil
		case failure:
			return fmt.Errorf("%s fails: %q", member, rest[(fields+7)/8*8:])
		}
	}
}

// pad fills up to a multiple of 8 bytes.
func pad(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}
