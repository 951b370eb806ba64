package watch

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAwaitedFolder(t *testing.T) {
	root := t.TempDir()
	w := opened(t, root, Place{Folder: "/a/b/c", Names: []string{"status"}})
	write(t, root+"/beside", "")
	must(t, os.Mkdir(root+"/aa", 0o755))
	quiet(t, w, "beside the path")
	must(t, os.MkdirAll(root+"/a", 0o755))
	told(t, w)
	write(t, root+"/a/beside", "")
	write(t, root+"/beside", "2")
	quiet(t, w, "beside the path, one deeper")
	must(t, os.Mkdir(root+"/a/b", 0o755))
	told(t, w)
	must(t, os.Mkdir(root+"/a/b/c", 0o755))
	noticed(t, w, "the folder")
	write(t, root+"/a/b/c/other", "")
	quiet(t, w, "a name that does not count")
	write(t, root+"/a/b/c/status", "1")
	noticed(t, w, "a file in it")
	if got := masks(w)[root+"/a"]; got != passMask {
		t.Errorf("a folder on the way is watched with %#x, want %#x", got, passMask)
	}
}

// All at once, with a file already in it, as often as it takes to meet the watcher at work.
func TestAwaitedFolderComesWithFiles(t *testing.T) {
	root := t.TempDir()
	w := opened(t, root, Place{Folder: "/a/b/c"})
	for i := range 300 {
		write(t, root+"/a/b/c/f", "1")
		noticed(t, w, fmt.Sprint("made, round ", i))
		write(t, root+"/a/b/c/f", "2")
		noticed(t, w, fmt.Sprint("written, round ", i))
		must(t, os.RemoveAll(root+"/a"))
		noticed(t, w, fmt.Sprint("removed, round ", i))
		quiet(t, w, "nothing since")
	}
}

func TestFolderIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps func(root string) []error
	}{
		{"deleted and made again", func(r string) []error {
			return []error{os.RemoveAll(r + "/a/b"), os.Mkdir(r+"/a/b", 0o755)}
		}},
		{"moved away and made again", func(r string) []error {
			return []error{os.Rename(r+"/a/b", r+"/old"), os.Mkdir(r+"/a/b", 0o755)}
		}},
		{"moved away and another moved in", func(r string) []error {
			return []error{os.Rename(r+"/a/b", r+"/old"), os.Rename(r+"/new", r+"/a/b")}
		}},
		{"exchanged", func(r string) []error {
			return []error{unix.Renameat2(unix.AT_FDCWD, r+"/a/b", unix.AT_FDCWD, r+"/new", unix.RENAME_EXCHANGE)}
		}},
		{"moved away and back", func(r string) []error {
			return []error{os.Rename(r+"/a/b", r+"/old"), os.Rename(r+"/old", r+"/a/b")}
		}},
		{"the folder above moved away and made again", func(r string) []error {
			return []error{os.Rename(r+"/a", r+"/old"), os.MkdirAll(r+"/a/b", 0o755)}
		}},
		{"the folder above moved away and back", func(r string) []error {
			return []error{os.Rename(r+"/a", r+"/old"), os.Rename(r+"/old", r+"/a")}
		}},
		{"a file for a while", func(r string) []error {
			return []error{os.RemoveAll(r + "/a/b"), os.WriteFile(r+"/a/b", nil, 0o644), os.Remove(r + "/a/b"), os.Mkdir(r+"/a/b", 0o755)}
		}},
		{"a file above for a while", func(r string) []error {
			return []error{os.RemoveAll(r + "/a"), os.WriteFile(r+"/a", nil, 0o644), os.Remove(r + "/a"), os.MkdirAll(r+"/a/b", 0o755)}
		}},
		{"a link to another", func(r string) []error {
			return []error{os.RemoveAll(r + "/a/b"), os.Symlink("../new", r+"/a/b")}
		}},
	} {
		for _, each := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, each step seen: %v", tt.name, each), func(t *testing.T) {
				root := t.TempDir()
				write(t, root+"/a/b/f", "1")
				write(t, root+"/new/f", "2")
				w := opened(t, root, Place{Folder: "/a/b"})
				if !each {
					w.mu.Lock() // the watcher cannot look now
				}
				for _, err := range tt.steps(root) {
					must(t, err)
				}
				if !each {
					w.mu.Unlock()
				}
				noticed(t, w, "all of it")
				write(t, root+"/a/b/f", "3")
				noticed(t, w, "a file in the folder that is there now")
				must(t, os.MkdirAll(root+"/old", 0o755))
				told(t, w)
				write(t, root+"/old/f", "4")
				quiet(t, w, "the folder that was there")
			})
		}
	}
}

// A folder that somebody holds open is told of its deletion only when they let go (inotify(7), IN_DELETE_SELF).
func TestFolderThatIsHeldOpen(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/a/b/f", "")
	w := opened(t, root, Place{Folder: "/a/b"})
	held, err := os.Open(root + "/a/b")
	must(t, err)
	defer held.Close()
	must(t, os.Remove(root+"/a/b/f"))
	noticed(t, w, "the file's deletion")
	must(t, os.Remove(root+"/a/b"))
	noticed(t, w, "the folder's deletion")
	write(t, root+"/a/b/f", "")
	noticed(t, w, "a new folder")
	write(t, root+"/a/b/f", "1")
	noticed(t, w, "a file in it")
}

func TestLinks(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/one/d/f", "")
	write(t, root+"/two/d/f", "")
	must(t, os.Symlink("one", root+"/rel"))
	must(t, os.Symlink(root+"/rel/../one/./d", root+"/link"))
	must(t, os.Symlink("loop", root+"/loop"))
	w := opened(t, root, Place{Folder: "/link"}, Place{Folder: "/loop/x"}, Place{Folder: "/later/d"})
	swap := func(target, name string) {
		t.Helper()
		must(t, os.Symlink(target, root+"/next"))
		must(t, os.Rename(root+"/next", root+"/"+name))
		noticed(t, w, name+" leads to "+target)
	}
	change := func(file string, want bool) {
		t.Helper()
		write(t, root+file, "x")
		if got := told(t, w); got != want {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
	change("/one/d/f", true)
	change("/two/d/f", false)
	swap(root+"/rel/d", "link")
	swap("two", "rel")
	change("/one/d/f", false)
	change("/two/d/f", true)
	swap("absent", "rel")
	change("/two/d/f", false)
	swap("one", "rel")
	change("/one/d/f", true)
	swap("three", "later")
	must(t, os.MkdirAll(root+"/three/d", 0o755))
	noticed(t, w, "the folder that a dangling link leads to")
	change("/three/d/f", true)
	swap("two", "loop")
	must(t, os.Mkdir(root+"/two/x", 0o755))
	noticed(t, w, "a link that led to itself")
	change("/two/x/f", true)
}

// A mask is narrowed by path. When another folder is there by then, watched itself or not, neither ends up with the wrong one.
func TestNarrowingMeetsAnotherFolder(t *testing.T) {
	for _, other := range []Place{{Folder: "/e"}, {Folder: "/unrelated"}} {
		root := t.TempDir()
		write(t, root+"/d/sub/f", "")
		write(t, root+"/e/sub/f", "")
		w := opened(t, root, Place{Folder: "/d"}, Place{Folder: "/d/sub"}, other)
		w.mu.Lock() // the watcher does not know yet
		err := unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/e", unix.RENAME_EXCHANGE)
		for i, p := range w.places {
			if p.Folder == "/d" {
				w.forget(p)
				w.places = append(w.places[:i:i], w.places[i+1:]...)
			}
		}
		errEstablish := w.establish(nil)
		w.mu.Unlock()
		must(t, errors.Join(err, errEstablish))
		noticed(t, w, "the exchange")
		write(t, root+"/d/sub/f", "1")
		noticed(t, w, "a file in the place")
		write(t, root+"/d/f", "1")
		quiet(t, w, "a file in what is no place any more")
		write(t, root+"/e/f", "1")
		if got := told(t, w); got != (other.Folder == "/e") {
			t.Errorf("a file in /e: %v", got)
		}
	}
}

// Of a prefixed machine, the list of mounts is an ordinary file, which may not be there yet.
func TestMountsOfAFolder(t *testing.T) {
	root := t.TempDir()
	w := opened(t, root)
	write(t, root+"/proc/self/mountinfo", "1")
	noticed(t, w, "the list's arrival")
	for _, places := range [][]Place{nil, {{Folder: "/d"}}} {
		must(t, w.Set(places))
		write(t, root+"/proc/self/new", "2")
		quiet(t, w, "another file")
		must(t, os.Rename(root+"/proc/self/new", root+"/proc/self/mountinfo"))
		noticed(t, w, "another list")
	}
	must(t, os.Symlink("self", root+"/proc/thread-self"))
	quiet(t, w, "beside it")
}
