package swupdate

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// A server that blocks while it sends, as 2022.12 does, is not held up by a sink that takes its time: with a buffer of one message
// the whole install passes before the sink has returned once.
func TestSinkDoesNotHoldUpTheInstall(t *testing.T) {
	root := machine(t)
	l := listen(t, root, sockets[1])
	var r recorder
	free := make(chan struct{})
	begin(t, root, func(e install.Event) {
		<-free
		r.sink(e)
	})
	c := accept(t, l)
	if err := c.SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	s := servers[0]
	began := time.Now()
	send(t, c, s.encode(message{status: start, steps: 100}))
	for step := uint32(1); step <= 100; step++ {
		for percent := uint32(0); percent < 100; percent++ {
			send(t, c, s.encode(message{status: progress, steps: 100, step: step, percent: percent, image: "a"}))
		}
	}
	send(t, c, s.encode(message{status: success, steps: 100, step: 100}))
	t.Logf("10002 messages in %v", time.Since(began))
	close(free)
	got := r.wait(t, install.Ended, 1)
	if len(got) > 4 {
		t.Errorf("%d events were kept", len(got))
	}
	same(t, got[len(got)-2:], advanced(99, "step 100 of 100: a"), ended(""))
}

// /tmp is a busy folder: it is watched only while nobody is connected.
func TestNothingIsWatchedWhileConnected(t *testing.T) {
	root := machine(t)
	var r recorder
	f := begin(t, root, r.sink)
	l := listen(t, root, sockets[1])
	c := accept(t, l)
	send(t, c, servers[4].greet(), servers[4].encode(whole[0]))
	r.wait(t, install.Started, 1)
	if f.watcher != nil {
		t.Error("folders are watched while SWUpdate is connected")
	}
}

// While nobody listens, attempts are made only when something happens at a socket, not next to it.
func TestIdle(t *testing.T) {
	root := machine(t)
	var r recorder
	f := begin(t, root, r.sink)
	for end := time.Now().Add(late); f.rounds.Load() == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(root, "tmp", fmt.Sprint("swupdateprog", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	if n := f.rounds.Load(); n != 1 {
		t.Errorf("%d attempts", n)
	}
}
