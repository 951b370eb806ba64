package dbusapi_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

const (
	loadClients   = 50 // in loadProcesses
	loadProcesses = 2
	loadCalls     = 1000 // of each
	loadEnv       = "TEGRA_OTA_TEST_LOAD"
)

// load is what the clients of one process saw.
type load struct {
	Mixed   []time.Duration // of all kinds of calls
	Reads   []time.Duration // of one property, all clients at once
	From    time.Time       // of the reads
	To      time.Time
	Worst   map[string]time.Duration
	Strange []string
}

// Fifty clients at a thousand calls each lose none and never wait long, while updates come and go; nothing that they read is
// contradictory. What it costs is measured.
func TestLoad(t *testing.T) {
	if address := os.Getenv(loadEnv); address != "" { // the clients
		clients(t, address)
		return
	}
	r := started(t, openBus)
	one := reads(t, r.bus.Connect(t), 2000)
	f := r.follow()
	stop := make(chan struct{})
	var working sync.WaitGroup
	for _, work := range []func(stop <-chan struct{}){r.updates(), r.installs()} {
		working.Add(1)
		go func() {
			defer working.Done()
			work(stop)
		}()
	}
	began := time.Now()
	var all load
	results := make(chan load, loadProcesses)
	for range loadProcesses {
		go func() { results <- r.process() }()
	}
	for range loadProcesses {
		l := <-results
		all.add(l)
	}
	took := time.Since(began)
	close(stop)
	working.Wait()
	if len(all.Mixed) != loadClients*loadCalls {
		t.Errorf("%d calls were answered, want %d", len(all.Mixed), loadClients*loadCalls)
	}
	if n := len(all.Strange); n > 0 {
		t.Errorf("%d answers are lost or contradictory, among them\n%s", n, strings.Join(all.Strange[:min(n, 5)], "\n"))
	}
	for method, worst := range all.Worst {
		if worst > patience {
			t.Errorf("a call of %s took %v", method, worst)
		}
	}
	f.compare()
	text := fmt.Sprintf(`TestLoad: %d clients in %d processes, %d calls of all kinds each, while updates are installed: %.1f s, %s
  property reads, one client:     %.0f calls/s, %s
  property reads, %d clients:     %.0f calls/s, %s, while updates are installed
`, loadClients, loadProcesses, loadCalls, took.Seconds(), latency(all.Mixed), one.rate(), latency(one.Reads),
		loadClients, all.rate(), latency(all.Reads))
	t.Log(all.Worst)
	if f.progress < 50 || f.states < 3 { // a slow machine gets through one install
		t.Errorf("meanwhile there were %d changes of Progress and %d of UpdateState; that is no load", f.progress, f.states)
	}
	orintest.Publish(t, "dbus-load", text)
}

// add takes over what other clients saw.
func (l *load) add(o load) {
	l.Mixed, l.Reads, l.Strange = append(l.Mixed, o.Mixed...), append(l.Reads, o.Reads...), append(l.Strange, o.Strange...)
	if l.From.IsZero() || !o.From.IsZero() && o.From.Before(l.From) {
		l.From = o.From
	}
	if o.To.After(l.To) {
		l.To = o.To
	}
	l.worse(o.Worst)
}

func (l *load) rate() float64 { return float64(len(l.Reads)) / l.To.Sub(l.From).Seconds() }

// worse takes over what took longest, by method.
func (l *load) worse(other map[string]time.Duration) {
	if l.Worst == nil {
		l.Worst = map[string]time.Duration{}
	}
	for method, took := range other {
		l.Worst[method] = max(l.Worst[method], took)
	}
}

// latency sorts what calls took, and says it in words.
func latency(all []time.Duration) string {
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	at := func(percent int) float64 { return all[(len(all)-1)*percent/100].Seconds() * 1000 }
	return fmt.Sprintf("median %.2f ms, p99 %.2f ms, longest %.0f ms", at(50), at(99), at(100))
}

// process runs clients in a process of their own.
func (r *rig) process() (l load) {
	c := exec.Command("/proc/self/exe", "-test.run=^TestLoad$", "-test.v")
	c.Env = append(os.Environ(), loadEnv+"="+r.bus.Address)
	out, err := c.Output()
	_, text, _ := strings.Cut(string(out), "LOAD ")
	text, _, _ = strings.Cut(text, "\n")
	if err != nil || json.Unmarshal([]byte(text), &l) != nil {
		r.t.Errorf("the clients' process: %v\n%s", err, out)
	}
	return l
}

// clients is what such a process does.
func clients(t *testing.T, address string) {
	var all load
	var mu sync.Mutex
	phase := func(what func(conn *dbus.Conn) load) {
		var done sync.WaitGroup
		for range loadClients / loadProcesses {
			conn, err := dbus.Connect(address)
			if err != nil {
				t.Fatal(err)
			}
			done.Add(1)
			go func() {
				defer done.Done()
				defer conn.Close()
				l := what(conn)
				mu.Lock()
				defer mu.Unlock()
				all.add(l)
			}()
		}
		done.Wait()
	}
	phase(mixed)
	phase(func(conn *dbus.Conn) load { return reads(t, conn, 200) })
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("LOAD %s\n", text)
}

// reads measures reads of one property.
func reads(t *testing.T, conn *dbus.Conn, n int) (l load) {
	l.From = time.Now()
	for range n {
		sent := time.Now()
		var v dbus.Variant
		err := conn.Object(dbusapi.BusName, manager).Call(propertiesFace+".Get", 0, dbusapi.BusName, "CurrentSlot").Store(&v)
		if err != nil || v.Value() != "A" {
			t.Errorf("CurrentSlot: %v, %v", v, err)
		}
		l.Reads = append(l.Reads, time.Since(sent))
	}
	l.To = time.Now()
	return l
}

// mixed is what an application does: it reads, and now and then it asks for more.
func mixed(conn *dbus.Conn) (l load) {
	strange := func(format string, args ...any) { l.Strange = append(l.Strange, fmt.Sprintf(format, args...)) }
	o, slot := conn.Object(dbusapi.BusName, manager), conn.Object(dbusapi.BusName, slotB)
	for i := range loadCalls {
		began := time.Now()
		var call *dbus.Call
		switch {
		case i%250 == 99:
			call = o.Call(dbusapi.BusName+".Check", 0)
		case i%10 == 5:
			call = o.Call("org.freedesktop.DBus.ObjectManager.GetManagedObjects", 0)
		case i%10 == 6:
			call = slot.Call("org.freedesktop.DBus.Introspectable.Introspect", 0)
		case i%10 == 7:
			call = slot.Call(propertiesFace+".GetAll", 0, slotFace)
		case i%10 > 7:
			call = o.Call(propertiesFace+".GetAll", 0, dbusapi.BusName)
		default:
			call = o.Call(propertiesFace+".Get", 0, dbusapi.BusName, "Progress")
		}
		took := time.Since(began)
		l.Mixed = append(l.Mixed, took)
		l.worse(map[string]time.Duration{call.Method: took})
		if call.Err != nil || len(call.Body) != 1 {
			strange("%s: %v", call.Method, call.Err)
			continue
		}
		if all, ok := call.Body[0].(map[string]dbus.Variant); ok && i%10 > 7 {
			if wrong := contradiction(all); wrong != "" {
				strange("%s: %v, next %v, %v", wrong, all["UpdateState"], all["NextSlot"], all["PendingUpdate"])
			}
		}
	}
	return l
}
