package watch

import (
	"os"
	"path/filepath"
	"testing"
)

// A folder in which others write: who waits for one name there is told that it comes and goes, and not even woken by what is written.
func TestUnwritten(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/tmp/other", "x")
	w := opened(t, root, Place{Folder: "/tmp", Names: []string{"socket"}, Unwritten: true})
	before := w.wakes.Load()
	write(t, root+"/tmp/other", "more")
	quiet(t, w, "others write")
	if n := w.wakes.Load(); n != before {
		t.Errorf("others woke the watcher %d times", n-before)
	}
	write(t, root+"/tmp/new", "x")
	quiet(t, w, "another name arrives")
	write(t, root+"/tmp/socket", "x")
	noticed(t, w, "the name arrives")
	must(t, os.Chmod(root+"/tmp/socket", 0o600))
	noticed(t, w, "its rights change")
	must(t, os.Rename(root+"/tmp/new", root+"/tmp/socket"))
	noticed(t, w, "another one takes its place")
	must(t, os.Remove(root+"/tmp/socket"))
	noticed(t, w, "it goes")
	must(t, os.Rename(root+"/tmp", root+"/gone"))
	noticed(t, w, "the folder goes")
	write(t, root+"/tmp/socket", "x")
	noticed(t, w, "it comes back")
	// The same folder for somebody who wants to know everything.
	must(t, w.Set([]Place{{Folder: "/tmp", Names: []string{"socket"}, Unwritten: true}, {Folder: "/tmp", Names: []string{"socket"}}}))
	write(t, root+"/tmp/socket", "more")
	noticed(t, w, "it is written, and one of the two places counts that")
}

// What happens around the folder that stands in for a device is no affair of the device's.
func TestAroundTheRoot(t *testing.T) {
	around := t.TempDir()
	write(t, around+"/orin/data/file", "x")
	write(t, around+"/other", "x")
	here, err := os.Getwd()
	must(t, err)
	relative, err := filepath.Rel(here, around+"/orin")
	must(t, err)
	for _, root := range []string{around + "/orin", relative} {
		w := opened(t, root, Place{Folder: "/data"})
		before := w.wakes.Load()
		must(t, os.Chmod(around+"/other", 0o600))
		write(t, around+"/another", "x")
		must(t, os.Remove(around+"/another"))
		quiet(t, w, "the neighbours")
		if n := w.wakes.Load(); n != before {
			t.Errorf("root %s: the neighbours woke the watcher %d times", root, n-before)
		}
		write(t, around+"/orin/data/file", "more")
		noticed(t, w, "the device")
	}
}
