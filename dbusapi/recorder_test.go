package dbusapi_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"sort"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// event is a signal of the service, as busctl monitor shows it.
type event struct {
	Path   string
	Member string         // PropertiesChanged or a signal of ours
	Values map[string]any // of PropertiesChanged
	Args   []any          // of the others
}

func (e event) String() string {
	if e.Member == "PropertiesChanged" {
		var all []string
		for name, v := range e.Values {
			all = append(all, fmt.Sprintf("%s=%v", name, v))
		}
		sort.Strings(all)
		return strings.TrimPrefix(e.Path, manager) + " changes " + strings.Join(all, " ")
	}
	return fmt.Sprint(e.Member, e.Args)
}

// recorder is a busctl monitor: it sees what everybody on the bus sees, in the bus's order, with the signatures.
type recorder struct {
	t    *testing.T
	r    *rig
	xml  map[string]described
	out  orintest.Log
	told int // events that were returned already
}

// marks number the signals that tell a recorder that it has seen everything before.
var marks atomic.Int32

func (r *rig) record() *recorder {
	r.t.Helper()
	rec := &recorder{t: r.t, r: r, xml: source(r.t)}
	var log orintest.Log
	c := r.bus.Command("busctl", "--system", "--json=short", "monitor")
	c.Stdout, c.Stderr = &rec.out, &log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if r.t.Failed() {
			lines := texts(rec.all())
			r.t.Logf("recorded, at last:\n%s", strings.Join(lines[max(0, len(lines)-30):], "\n"))
		}
	})
	r.wait("busctl monitor", func() bool { return strings.Contains(log.String(), "Monitoring bus") })
	return rec
}

// news are the events since the last call; every one is held to the XML.
func (rec *recorder) news() []event {
	rec.t.Helper()
	mark := fmt.Sprint("M", marks.Add(1))
	rec.r.must(rec.r.bus.Command("dbus-send", "--system", "--type=signal", "/", "test.Mark."+mark))
	rec.r.wait("the recording", func() bool { return strings.Contains(rec.out.String(), `"member":"`+mark+`"`) })
	all := rec.all()
	fresh := all[rec.told:]
	rec.told = len(all)
	return fresh
}

func (rec *recorder) all() []event {
	rec.t.Helper()
	var all []event
	for _, line := range strings.SplitAfter(rec.out.String(), "\n") {
		if !strings.HasSuffix(line, "\n") {
			break // not all of it has come
		}
		var m struct {
			Type, Path, Interface, Member string
			Payload                       struct {
				Type string
				Data []json.RawMessage
			}
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			rec.t.Fatalf("busctl monitor says %s: %v", line, err)
		}
		if m.Type != "signal" || !strings.HasPrefix(m.Path, manager) {
			continue
		}
		e := event{Path: m.Path, Member: m.Member}
		if m.Interface == "org.freedesktop.DBus.Properties" {
			e.Values = rec.changed(m.Path, m.Payload.Type, m.Payload.Data)
		} else {
			if want := rec.xml[m.Interface].of("signal")[m.Member]; m.Interface != dbusapi.BusName || want != m.Payload.Type {
				rec.t.Errorf("%s.%s has the signature %s, want %s", m.Interface, m.Member, m.Payload.Type, want)
			}
			for _, raw := range m.Payload.Data {
				e.Args = append(e.Args, rec.plain(raw))
			}
		}
		all = append(all, e)
	}
	return all
}

// changed are the values of a PropertiesChanged.
func (rec *recorder) changed(path, signature string, data []json.RawMessage) map[string]any {
	var face string
	var values map[string]struct {
		Type string
		Data json.RawMessage
	}
	if signature != "sa{sv}as" || json.Unmarshal(data[0], &face) != nil || json.Unmarshal(data[1], &values) != nil || string(data[2]) != "[]" {
		rec.t.Errorf("PropertiesChanged: %s %s", signature, data)
	}
	if want := map[bool]string{true: dbusapi.BusName, false: slotFace}[path == manager]; face != want {
		rec.t.Errorf("%s changes properties of %s", path, face)
	}
	all := map[string]any{}
	for name, v := range values {
		m := rec.xml[face].members[name]
		if m.Kind != "property" || m.Out != v.Type || m.Emits != "" {
			rec.t.Errorf("%s: %s has the type %s, want %+v", path, name, v.Type, m)
		}
		all[name] = rec.plain(v.Data)
	}
	return all
}

// plain takes busctl's wrapping of variants away.
func (rec *recorder) plain(raw json.RawMessage) any {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		rec.t.Fatalf("%s: %v", raw, err)
	}
	return unwrapped(v)
}

func unwrapped(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if data, ok := v["data"]; ok && len(v) == 2 && v["type"] != nil {
			return unwrapped(data)
		}
		for name, one := range v {
			v[name] = unwrapped(one)
		}
	case []any:
		for i, one := range v {
			v[i] = unwrapped(one)
		}
	}
	return v
}

func texts(all []event) []string {
	var lines []string
	for _, e := range all {
		lines = append(lines, e.String())
	}
	return lines
}

// must runs a program that has to succeed.
func (r *rig) must(c *exec.Cmd) string {
	r.t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}
