package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The kernel's queue overflows, and what is lost is that a folder was replaced, and that an awaited one came.
func TestOverflow(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	limit, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	root := t.TempDir()
	write(t, root+"/many/a", "")
	write(t, root+"/d/f", "")
	w := opened(t, root, Place{Folder: "/many", Names: []string{"none"}}, Place{Folder: "/d"}, Place{Folder: "/later"})
	names := [2]string{root + "/many/a", root + "/many/b"}
	w.mu.Lock() // the watcher cannot read now
	for i := range limit/2 + 1 {
		if err := os.Rename(names[i%2], names[1-i%2]); err != nil {
			w.mu.Unlock()
			t.Fatal(err)
		}
	}
	err = errors.Join(os.RemoveAll(root+"/d"), os.Mkdir(root+"/d", 0o755), os.Mkdir(root+"/later", 0o755))
	queued, errQueued := unix.IoctlGetInt(w.inotify, unix.TIOCINQ)
	w.mu.Unlock()
	must(t, errors.Join(err, errQueued))
	if queued < limit*unix.SizeofInotifyEvent {
		t.Fatalf("only %d bytes of events: the queue did not overflow", queued)
	}
	noticed(t, w, "the overflow")
	for _, file := range []string{"/d/f", "/later/f"} {
		write(t, root+file, "x")
		noticed(t, w, file)
	}
	write(t, root+"/many/c", "")
	quiet(t, w, "a name that does not count")
}

// Where inotify refuses, Set says what to raise; the next one tries again.
func TestTooManyWatches(t *testing.T) {
	if os.Getenv(inside) != t.Name() {
		root := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}
		again(t, &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWUSER, UidMappings: root, GidMappings: root, Pdeathsig: syscall.SIGKILL})
		return
	}
	const limit = "/proc/sys/user/max_inotify_watches" // of this user namespace; fs.inotify.max_user_watches is the whole host's
	if text, err := os.ReadFile("/proc/self/uid_map"); err != nil || strings.Fields(string(text))[2] != "1" {
		t.Fatalf("not in a user namespace of its own: %q, %v", text, err)
	}
	must(t, os.WriteFile(limit, []byte("6"), 0))
	root := t.TempDir()
	var places []Place
	for i := range 10 {
		folder := fmt.Sprint("/d", i)
		write(t, root+folder+"/f", "")
		places = append(places, Place{Folder: folder})
	}
	w := opened(t, root)
	err := w.Set(places)
	if !errors.Is(err, unix.ENOSPC) || fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") {
		t.Fatalf("ten folders: %v", err)
	}
	write(t, root+"/d0/f", "1")
	noticed(t, w, "the first folder")
	if err := w.Set(places); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("again: %v", err)
	}
	must(t, os.WriteFile(limit, []byte("1000"), 0))
	quiet(t, w, "being refused")
	must(t, w.Set(places))
	noticed(t, w, "what nobody looked at meanwhile")
	for _, p := range places {
		write(t, root+p.Folder+"/f", "2")
		noticed(t, w, p.Folder)
	}
	must(t, os.WriteFile("/proc/sys/user/max_inotify_instances", []byte("1"), 0))
	_, err = New(device.New(root))
	if !errors.Is(err, unix.EMFILE) || fail.CodeOf(err) != fail.Unavailable ||
		!strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
		t.Fatalf("a second watcher: %v", err)
	}
}

// inside names, in the environment of a process that a test started to have namespaces of its own, that test.
const inside = "TEGRA_OTA_TEST_INSIDE"

// again runs the test that calls it in another process, whose mounts are its own. That needs root.
func again(t *testing.T, more *syscall.SysProcAttr) {
	t.Helper()
	c := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), inside+"="+t.Name())
	// Go makes "/" private recursively in the new mount namespace.
	c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if more != nil {
		c.SysProcAttr = more
	}
	out, err := c.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("this test needs root: %v\n%s", err, out)
	}
}

// raw is an event as the kernel writes it.
func raw(wd int32, mask uint32, name string) []byte {
	length := (len(name) + 16) / 16 * 16
	if name == "" {
		length = 0
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(wd))
	b = binary.NativeEndian.AppendUint32(b, mask)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = binary.NativeEndian.AppendUint32(b, uint32(length))
	return append(b, append([]byte(name), make([]byte, length-len(name))...)...)
}

func TestParse(t *testing.T) {
	b := append(raw(1, unix.IN_MODIFY, "sixteen-letters!"), raw(-1, unix.IN_Q_OVERFLOW, "")...)
	b = append(b, raw(7, unix.IN_CREATE|unix.IN_ISDIR, "d")...)
	want := []event{{1, unix.IN_MODIFY, "sixteen-letters!"}, {-1, unix.IN_Q_OVERFLOW, ""}, {7, unix.IN_CREATE | unix.IN_ISDIR, "d"}}
	if d := cmp.Diff(want, parse(b), cmp.AllowUnexported(event{})); d != "" {
		t.Error(d)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(raw(1, unix.IN_MODIFY, "a"), raw(-1, unix.IN_Q_OVERFLOW, "")...))
	f.Add(binary.NativeEndian.AppendUint32(make([]byte, 12), 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		events := parse(b)
		if len(events)*unix.SizeofInotifyEvent > len(b) {
			t.Errorf("%d events in %d bytes", len(events), len(b))
		}
		var again []byte
		for _, e := range events {
			if strings.Contains(e.name, "\x00") {
				t.Errorf("a name with zeros: %q", e.name)
			}
			again = append(again, raw(int32(e.wd), e.mask, e.name)...)
		}
		if d := cmp.Diff(events, parse(again), cmp.AllowUnexported(event{})); d != "" {
			t.Error(d)
		}
	})
}
