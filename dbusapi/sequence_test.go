package dbusapi_test

import (
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// TestAnswersAreNotOlderThanSignals: a client that has been told of a value reads that value or a newer one. Its own place in the
// order of the bus is what counts, so the connection that asks is the one that listens.
func TestAnswersAreNotOlderThanSignals(t *testing.T) {
	r := started(t)
	conn := r.bus.Connect(t)
	if err := conn.AddMatchSignal(dbus.WithMatchSender(dbusapi.BusName), dbus.WithMatchMember("PropertiesChanged")); err != nil {
		t.Fatal(err)
	}
	type told struct {
		at    dbus.Sequence
		value string
	}
	var mu sync.Mutex
	var signals, answers []told
	heard := make(chan *dbus.Signal, 10000)
	conn.Signal(heard)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		for s := range heard {
			changed, _ := s.Body[1].(map[string]dbus.Variant)
			if v, ok := changed["NextSlot"].Value().(string); ok && s.Path == manager {
				mu.Lock()
				signals = append(signals, told{s.Sequence, v})
				mu.Unlock()
			}
		}
	}()
	object := conn.Object(dbusapi.BusName, manager)
	var asking sync.WaitGroup
	stop := make(chan struct{})
	for range 16 {
		asking.Add(1)
		go func() {
			defer asking.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				call := object.Call("org.freedesktop.DBus.Properties.Get", 0, dbusapi.BusName, "NextSlot")
				var v string
				if err := call.Store(&v); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				answers = append(answers, told{call.ResponseSequence, v})
				mu.Unlock()
			}
		}()
	}
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		r.done("Activate", "B")
		r.done("Activate", "A")
	}
	close(stop)
	asking.Wait()
	_ = conn.Close()
	<-listening
	if len(signals) < 10 || len(answers) < 1000 {
		t.Fatalf("%d signals and %d answers tell nothing", len(signals), len(answers))
	}
	older := 0
	for _, a := range answers {
		last := ""
		for _, s := range signals {
			if s.at < a.at {
				last = s.value
			}
		}
		if last != "" && last != a.value {
			older++
		}
	}
	if older > 0 {
		t.Errorf("%d of %d answers are older than the last signal before them", older, len(answers))
	}
}
