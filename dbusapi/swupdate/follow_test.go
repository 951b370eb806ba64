package swupdate

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

const nobody = 65534

var (
	whole = []message{{status: start, steps: 1}, {status: run, steps: 1, step: 1, image: "a"}, {status: success, steps: 1, step: 1}}
	seen  = []install.Event{started(0, preparing), advanced(0, "step 1 of 1: a"), ended("")}
)

func (s server) encodeAll(messages []message) (parts [][]byte) {
	for _, m := range messages {
		parts = append(parts, s.encode(m))
	}
	return parts
}

// Every version of SWUpdate is followed, one after the other, at either place, through its restarts; nothing is told in between.
func TestFollow(t *testing.T) {
	root := machine(t)
	var r recorder
	begin(t, root, r.sink)
	for i, s := range servers {
		l := listen(t, root, sockets[1-i%2])
		for again := range 2 {
			c := accept(t, l)
			send(t, c, s.greet())
			send(t, c, s.encodeAll(whole)...)
			r.wait(t, install.Ended, 2*i+again+1)
			_ = c.Close()
		}
		_ = l.Close()
	}
	var kinds []install.Event
	for _, e := range r.all() {
		if e.Kind != install.Advanced { // one that nobody took yet gives way to the next
			kinds = append(kinds, e)
		}
	}
	var want []install.Event
	for range 2 * len(servers) {
		want = append(want, seen[0], seen[2])
	}
	same(t, kinds, want...)
}

// The preferred socket is found after the other closed, and a folder that comes later is awaited.
func TestPreferred(t *testing.T) {
	root := machine(t)
	if err := os.Remove(filepath.Join(root, "run/swupdate")); err != nil {
		t.Fatal(err)
	}
	var r recorder
	begin(t, root, r.sink)
	tmp := listen(t, root, sockets[1])
	c := accept(t, tmp)
	if err := os.Mkdir(filepath.Join(root, "run/swupdate"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := listen(t, root, sockets[0])
	quiet(t, run) // one connection at a time
	_ = c.Close()
	accept(t, run)
	if len(r.all()) > 0 {
		t.Errorf("%+v", r.all())
	}
}

func TestLostInTheMiddle(t *testing.T) {
	root := machine(t)
	var r recorder
	l := listen(t, root, sockets[0])
	begin(t, root, r.sink)
	c := accept(t, l)
	send(t, c, servers[0].encode(whole[0]))
	_ = c.Close()
	r.wait(t, install.Ended, 1)
	// What goes on is another install for us.
	send(t, accept(t, l), servers[0].encodeAll(whole[1:])...)
	same(t, r.wait(t, install.Ended, 2), seen[0], ended(wentAway), started(0, "step 1 of 1: a"), ended(""))
}

// Garbage is told once, the connection is closed and not made again until something changes there.
func TestGarbledConnection(t *testing.T) {
	root := machine(t)
	var r recorder
	l := listen(t, root, sockets[0])
	begin(t, root, r.sink)
	c := accept(t, l)
	send(t, c, servers[2].greet(), servers[2].encode(whole[0]))
	r.wait(t, install.Started, 1)
	send(t, c, make([]byte, 3000))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection stays open")
	}
	got := r.wait(t, install.Unfollowed, 1)
	if len(got) != 3 || !strings.HasPrefix(got[1].Reason, "SWUpdate is not understood any more: ") ||
		got[2].Reason != "cannot follow SWUpdate at /run/swupdate/swupdateprog: a message begins with 0x0 instead of 0x20000" {
		t.Errorf("%+v", got)
	}
	quiet(t, l)
	_ = l.Close()
	r.wait(t, install.Followed, 1) // SWUpdate does not run now
	c = accept(t, listen(t, root, sockets[0]))
	send(t, c, servers[0].encodeAll(whole)...)
	r.wait(t, install.Ended, 2)
}

// A service that ends whenever it is connected to is not started for ever.
func TestServerThatClosesAtOnce(t *testing.T) {
	root := machine(t)
	var r recorder
	l := listen(t, root, sockets[1])
	begin(t, root, r.sink)
	for range len(delays) + 1 {
		_ = accept(t, l).Close()
	}
	got := r.wait(t, install.Unfollowed, 1)
	if want := "SWUpdate closes every connection to /tmp/swupdateprog soon"; got[len(got)-1].Reason != want {
		t.Errorf("%+v", got)
	}
	quiet(t, l)
	// A change at the socket begins anew.
	if err := os.Chmod(filepath.Join(root, sockets[1]), 0o600); err != nil {
		t.Fatal(err)
	}
	accept(t, l)
	r.wait(t, install.Followed, 1)
}

// A socket that a dead server left says nothing, and its successor is found.
func TestStaleSocket(t *testing.T) {
	root := machine(t)
	l := listen(t, root, sockets[1])
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	var r recorder
	f := begin(t, root, r.sink)
	time.Sleep(time.Duration(len(delays)+5) * delays[0])
	if err := os.Remove(filepath.Join(root, sockets[1])); err != nil {
		t.Fatal(err)
	}
	accept(t, listen(t, root, sockets[1]))
	if len(r.all()) > 0 || len(f.sockets) != 2 {
		t.Errorf("%+v", r.all())
	}
}

// as calls a function as another user: this thread alone, so not by package syscall's wrapper.
func as(t *testing.T, uid int, call func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep = ^uintptr(0)
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
		t.Fatalf("this test needs root: setresuid: %v", errno)
	}
	call()
	if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, 0, keep); errno != 0 {
		panic(errno)
	}
}

// listenAs listens on a socket as another user, who then is its owner for SO_PEERCRED (unix(7)).
func listenAs(t *testing.T, path string, uid int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	as(t, uid, func() { err = unix.Listen(fd, 1) })
	if err != nil {
		t.Fatal(err)
	}
}

// Anybody can make a socket in /tmp; what a stranger says is not believed, and does not hide the real one.
func TestStranger(t *testing.T) {
	root := machine(t)
	listenAs(t, filepath.Join(root, sockets[1]), nobody)
	var r recorder
	begin(t, root, r.sink)
	time.Sleep(20 * calm) // it has had the time to look, and says nothing: a stranger must not write in LastError
	c := accept(t, listen(t, root, sockets[0]))
	send(t, c, servers[4].greet())
	send(t, c, servers[4].encodeAll(whole)...)
	got := r.wait(t, install.Ended, 1)
	if got[0].Kind != install.Started {
		t.Errorf("%+v", got)
	}
}

func TestNotPermitted(t *testing.T) {
	root := machine(t)
	f := New(device.New(root), sockets, nil, nil)
	var err error
	as(t, nobody, func() { _, err = f.connect(sockets[1]) }) // the folder is root's alone
	if want := "cannot connect to SWUpdate's progress socket /tmp/swupdateprog: permission denied"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	// A loop of links is refused to root as well.
	if err := os.Symlink("swupdateprog", filepath.Join(root, sockets[0])); err != nil {
		t.Fatal(err)
	}
	var r recorder
	begin(t, root, r.sink)
	const want = "cannot connect to SWUpdate's progress socket /run/swupdate/swupdateprog: too many levels of symbolic links"
	same(t, r.wait(t, install.Unfollowed, 1), install.Event{Updater: install.SWUpdate, Kind: install.Unfollowed, Reason: want})
}

// A path that is too long for a socket's address is no obstacle.
func TestLongPath(t *testing.T) {
	root := machine(t)
	l := listen(t, root, sockets[0])
	long := filepath.Join(root, strings.Repeat("x", 120))
	if err := os.Symlink(root, long); err != nil {
		t.Fatal(err)
	}
	var r recorder
	begin(t, long, r.sink)
	send(t, accept(t, l), servers[0].encodeAll(whole)...)
	r.wait(t, install.Ended, 1)
}
