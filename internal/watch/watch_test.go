package watch

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// tb is *testing.T and *rapid.T.
type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t tb, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func start(t tb, root string, places ...Place) *Watcher {
	t.Helper()
	w, err := New(device.New(root))
	must(t, err)
	must(t, w.Set(places))
	return w
}

// opened is start for a test that is not run by rapid.
func opened(t *testing.T, root string, places ...Place) *Watcher {
	t.Helper()
	w := start(t, root, places...)
	t.Cleanup(func() { must(t, w.Close()) })
	return w
}

// told says whether a change is reported. inotify queues an event before the call that caused it returns, and the watcher passes
// it on before it lets go of its lock, so nothing has to be waited for but an empty queue.
func told(t tb, w *Watcher) bool {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		w.mu.Lock()
		n, err := unix.IoctlGetInt(w.inotify, unix.TIOCINQ) // FIONREAD
		w.mu.Unlock()
		must(t, err)
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of events wait for the watcher", n)
		}
		runtime.Gosched()
	}
	select {
	case <-w.Changes():
		return true
	default:
		return false
	}
}

func noticed(t tb, w *Watcher, what string) {
	t.Helper()
	if !told(t, w) {
		t.Fatalf("%s: not reported", what)
	}
}

func quiet(t tb, w *Watcher, what string) {
	t.Helper()
	if told(t, w) {
		t.Fatalf("%s: reported", what)
	}
}

// masks tells what the kernel is asked for: the host's folders and their masks.
func masks(w *Watcher) map[string]uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]uint32{}
	for _, t := range w.watches {
		all[t.path] = t.mask
	}
	return all
}

func TestWhatCounts(t *testing.T) {
	read := func(d string) error {
		if _, err := os.ReadFile(d + "/status"); err != nil {
			return err
		}
		if _, err := os.ReadDir(d); err != nil {
			return err
		}
		_, err := os.Stat(d + "/status")
		return err
	}
	put := func(name, text string) func(string) error {
		return func(d string) error { return os.WriteFile(d+"/"+name, []byte(text), 0o644) }
	}
	move := func(from, to string) func(string) error {
		return func(d string) error { return os.Rename(d+"/"+from, d+"/"+to) }
	}
	for _, tt := range []struct {
		name string
		do   func(dir string) error
		want bool
	}{
		{"write", put("status", "2"), true},
		{"truncate", func(d string) error { return os.Truncate(d+"/status", 0) }, true},
		{"create", put("status-new", ""), true},
		{"rename over", move("other", "status"), true},
		{"rename within", move("status", "status2"), true},
		{"rename away", move("status", "other"), true},
		{"move out", move("status", "../elsewhere/status"), true},
		{"move in", move("../elsewhere/file", "status"), true},
		{"delete", func(d string) error { return os.Remove(d + "/status") }, true},
		{"delete a second link", func(d string) error { return os.Remove(d + "/status-link") }, true},
		{"chmod", func(d string) error { return os.Chmod(d+"/status", 0) }, true},
		{"chmod of the folder", func(d string) error { return os.Chmod(d, 0o700) }, true},
		{"a folder", func(d string) error { return os.Mkdir(d+"/status.d", 0o755) }, true},
		{"a link", func(d string) error { return os.Symlink("x", d+"/status-x") }, true},
		{"read", read, false},
		{"write another name", put("other", "2"), false},
		{"create another name", put("stat", ""), false},
		{"delete another name", func(d string) error { return os.Remove(d + "/other") }, false},
		{"delete another link to it", func(d string) error { return os.Remove(d + "/link") }, false},
		{"rename among other names", move("other", "another"), false},
		{"chmod of another name", func(d string) error { return os.Chmod(d+"/other", 0) }, false},
		{"write in a folder below", put("sub/status", ""), false},
		{"create beside the folder", put("../status", ""), false},
		{"delete beside the folder", func(d string) error { return os.Remove(d + "/../elsewhere/file") }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			dir := root + "/var/place"
			for _, file := range []string{"status", "other", "sub/x", "../elsewhere/file"} {
				write(t, filepath.Join(dir, file), "1")
			}
			must(t, os.Link(dir+"/status", dir+"/link"))
			must(t, os.Link(dir+"/status", dir+"/status-link"))
			w := opened(t, root, Place{Folder: "/var/place", Names: []string{"x", "status"}})
			quiet(t, w, "nothing yet")
			must(t, tt.do(dir))
			if got := told(t, w); got != tt.want {
				t.Errorf("reported: %v, want %v", got, tt.want)
			}
			quiet(t, w, "nothing since")
		})
	}
}

// Several changes are one report, and one that comes after a receive is another.
func TestCoalescing(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/d/f", "")
	w := opened(t, root, Place{Folder: "/d"})
	for range 1000 {
		write(t, root+"/d/f", "x")
	}
	noticed(t, w, "a thousand writes")
	quiet(t, w, "the same writes")
	write(t, root+"/d/f", "y")
	select {
	case <-w.Changes():
	case <-time.After(20 * time.Second):
		t.Fatal("somebody who waits was not told")
	}
}

func TestTwoPlacesInOneFolder(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/d/sub/f", "")
	a, b, sub := Place{Folder: "/d", Names: []string{"a"}}, Place{Folder: "/d", Names: []string{"b"}}, Place{Folder: "/d/sub"}
	w := opened(t, root, a, b, sub)
	check := func(name string, want bool) {
		t.Helper()
		write(t, root+"/d/"+name, time.Now().String())
		if got := told(t, w); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	check("a1", true)
	check("b1", true)
	check("c1", false)
	check("sub/f", true)
	must(t, w.Set([]Place{b, sub}))
	check("a1", false)
	check("b1", true)
	must(t, w.Set([]Place{sub}))
	check("b1", false)
	check("sub/f", true)
	must(t, w.Set([]Place{a, {Folder: "/d/c1/deeper"}})) // c1 is a file, whose content is nothing to the second
	check("c1", false)
	must(t, w.Set(nil))
	check("sub/f", false)
	must(t, w.Set([]Place{{Folder: "/d"}}))
	check("anything", true)
	check("sub/f", false)
}
