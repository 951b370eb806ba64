package dbusapi

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
)

// An updater that cannot be followed once is followed later, and at the end nothing waits for a pause.
func TestPersist(t *testing.T) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	runs, ended := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(ended)
		n := 0
		persist(ctx, func(ctx context.Context) error {
			n++
			runs <- time.Now()
			if n < 3 {
				return errors.New("not now")
			}
			<-ctx.Done()
			return nil
		}, logrus.NewEntry(log))
	}()
	first, second, third := <-runs, <-runs, <-runs
	if a, b := second.Sub(first), third.Sub(second); a < shortRetry || b < 2*shortRetry || b > longRetry {
		t.Errorf("pauses of %v and %v", a, b)
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on after its context")
	}
}

func TestSocketOf(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/dbus/system_bus_socket": "/run/dbus/system_bus_socket",
		"unix:path=/a%20b,guid=00ff":            "/a b",
		"unix:guid=00ff,path=/x":                "/x",
		"unix:abstract=/tmp/bus":                "@/tmp/bus",
		"unix:tmpdir=/tmp":                      "",
		"unix:path=":                            "",
		"unix:path=%zz":                         "",
		"tcp:host=localhost,port=1":             "",
		"":                                      "",
	} {
		if got, ok := socketOf(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t", address, got, ok)
		}
	}
}

// An address that leads nowhere is an error, of whatever kind it is.
func TestDialBusRefuses(t *testing.T) {
	for _, address := range []string{"", "tcp:host=localhost", "unix:path=/nowhere/bus", "unix:path=/nowhere/bus;nonsense"} {
		if _, err := dialBus(address); err == nil {
			t.Errorf("%q: connected", address)
		}
	}
}
