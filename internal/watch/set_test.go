package watch

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Set with what is watched already costs nothing, and leaves no watch behind that nobody asked for.
func TestSetAgain(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/d/f", "")
	places := []Place{{Folder: "/d", Names: []string{"b", "a"}}, {Folder: "/d/", Names: []string{"a", "b"}}, {Folder: "/absent/deeper"}}
	w := opened(t, root, places...)
	before := masks(w)
	write(t, root+"/d/a", "")
	for range 100 {
		must(t, w.Set(places))
	}
	noticed(t, w, "a file from before Set")
	if d := cmp.Diff(before, masks(w)); d != "" {
		t.Error(d)
	}
	wakes := w.wakes.Load()
	for range 100 {
		must(t, w.Set(places))
	}
	if got := w.wakes.Load(); got != wakes {
		t.Errorf("Set woke the watcher %d times", got-wakes)
	}
	must(t, w.Set(nil))
	for _, dir := range []string{"/d", "/absent"} {
		if _, ok := masks(w)[root+dir]; ok {
			t.Errorf("%s is still watched", dir)
		}
	}
	quiet(t, w, "Set")
}

func TestClose(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/d/f", "")
	open := func() int {
		t.Helper()
		entries, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(entries)
	}
	before := open()
	for range 50 {
		for _, machine := range []string{root, "/"} {
			w := start(t, machine, Place{Folder: "/d"})
			done := make(chan error)
			for range 3 {
				go func() { done <- w.Close() }()
			}
			for range 3 {
				must(t, <-done)
			}
			if err := w.Set(nil); !errors.Is(err, fs.ErrClosed) {
				t.Fatalf("Set after Close: %v", err)
			}
			write(t, root+"/d/f", "x")
			select {
			case <-w.Changes():
				t.Fatal("reported after Close")
			default:
			}
		}
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
