package swupdate

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// late is when something that should happen counts as not happening, on a loaded machine.
const late = 20 * time.Second

// sockets are the places on a device, the preferred one first.
var sockets = []string{"/run/swupdate/swupdateprog", "/tmp/swupdateprog"}

// TestMain makes the pauses short, as many as there are.
func TestMain(m *testing.M) {
	for i := range delays {
		delays[i] = 10 * time.Millisecond
	}
	os.Exit(m.Run())
}

// recorder is a sink.
type recorder struct {
	mu     sync.Mutex
	events []install.Event
}

func (r *recorder) sink(e install.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []install.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]install.Event(nil), r.events...)
}

// wait returns the events once the last one is of this kind and there are n of it.
func (r *recorder) wait(t *testing.T, kind install.Kind, n int) []install.Event {
	t.Helper()
	for end := time.Now().Add(late); time.Now().Before(end); time.Sleep(time.Millisecond) {
		events := r.all()
		found := 0
		for _, e := range events {
			if e.Kind == kind {
				found++
			}
		}
		if found >= n {
			return events
		}
	}
	t.Fatalf("there are not %d events of kind %d: %+v", n, kind, r.all())
	return nil
}

// begin runs a follower of this folder's /run/swupdate and /tmp until the test ends.
func begin(t *testing.T, root string, sink install.Sink) *Follower {
	t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	f := New(device.New(root), sockets, sink, logrus.NewEntry(log))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(late):
			t.Error("Run does not end")
		}
	})
	return f
}

// machine returns a folder with both sockets' folders.
func machine(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "swu") // not t.TempDir: servers need a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	for _, folder := range []string{"run/swupdate", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func listen(t *testing.T, root, socket string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(root, socket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func accept(t *testing.T, l *net.UnixListener) *net.UnixConn {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(late))
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, parts ...[]byte) {
	t.Helper()
	for _, b := range parts {
		_ = c.SetWriteDeadline(time.Now().Add(late))
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// quiet fails if nothing is what should happen and something does.
func quiet(t *testing.T, l *net.UnixListener) {
	t.Helper()
	_ = l.SetDeadline(time.Now().Add(300 * time.Millisecond))
	if c, err := l.AcceptUnix(); err == nil {
		_ = c.Close()
		t.Error("somebody connects again")
	}
}

func same(t *testing.T, got []install.Event, want ...install.Event) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
