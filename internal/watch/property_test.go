package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// tree is a folder in which random things happen, and the places that are watched there.
type tree struct {
	root   string
	places []Place
}

func newTree(t tb, draw *rapid.T) *tree {
	root, err := os.MkdirTemp("", "watch")
	must(t, err)
	x := &tree{root: root}
	for _, p := range []Place{
		{Folder: "/a", Names: []string{"f"}}, {Folder: "/a", Names: []string{"g"}}, {Folder: "/a/b"},
		{Folder: "/a/b/a", Names: []string{"f", "a"}}, {Folder: "/l/b"}, {Folder: "/b/l", Names: []string{"g"}},
	} {
		if rapid.Bool().Draw(draw, p.Folder+" is watched") {
			x.places = append(x.places, p)
		}
	}
	return x
}

// path draws a path with a few components out of a few names, so that they meet.
func (x *tree) path(draw *rapid.T, label string) string {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "f", "g", "l", "x"}), 1, 4).Draw(draw, label)
	return x.root + "/" + strings.Join(names, "/")
}

// change does one random thing, which may fail.
func (x *tree) change(draw *rapid.T, n int) {
	path := x.path(draw, "path")
	operations := []string{"write", "write", "mkdir", "mkdir", "mkdirall", "remove", "removeall", "rename", "rename", "exchange",
		"dangling", "symlink", "chmod"}
	switch rapid.SampledFrom(operations).Draw(draw, "operation") {
	case "write":
		_ = os.WriteFile(path, []byte(fmt.Sprint(n)), 0o644)
	case "mkdir":
		_ = os.Mkdir(path, 0o755)
	case "mkdirall":
		_ = os.MkdirAll(path, 0o755)
	case "remove":
		_ = os.Remove(path)
	case "removeall":
		_ = os.RemoveAll(path)
	case "rename":
		_ = os.Rename(path, x.path(draw, "to"))
	case "exchange":
		_ = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, x.path(draw, "with"), unix.RENAME_EXCHANGE)
	case "dangling": // no hard links: what is written through one is not told in the other's folder
		_ = os.Symlink("absent", path)
	case "symlink":
		to := strings.TrimPrefix(x.path(draw, "target"), x.root+"/")
		if rapid.Bool().Draw(draw, "absolute") {
			to = x.root + "/" + to
		}
		_ = os.Symlink(to, path)
	case "chmod":
		_ = os.Chmod(path, os.FileMode(0o700|n&0o77))
	}
}

// view is what somebody sees who reads the places: of each entry that counts, its name, mode and, of a file, what is in it.
func (x *tree) view() string {
	var b strings.Builder
	for _, p := range x.places {
		fmt.Fprintf(&b, "%s %v:", p.Folder, p.Names)
		dir := x.root + p.Folder
		entries, err := os.ReadDir(dir)
		if err != nil {
			b.WriteString(" absent")
		}
		for _, e := range entries {
			if !(&place{Place: p}).counts(e.Name()) {
				continue
			}
			fmt.Fprintf(&b, " %s", e.Name())
			st, err := os.Lstat(filepath.Join(dir, e.Name()))
			if err != nil {
				continue
			}
			fmt.Fprintf(&b, " %v", st.Mode())
			if st.Mode().IsRegular() {
				text, _ := os.ReadFile(filepath.Join(dir, e.Name()))
				fmt.Fprintf(&b, " %q", text)
			} else if st.Mode()&os.ModeSymlink != 0 {
				to, _ := os.Readlink(filepath.Join(dir, e.Name()))
				fmt.Fprintf(&b, " %q", to)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// everywhere makes each place a folder and writes a file that counts in it.
func (x *tree) everywhere(t tb, check func(what string)) {
	for i, p := range x.places {
		dir := x.root
		for _, name := range strings.Split(p.Folder[1:], "/") {
			dir += "/" + name
			if st, err := os.Stat(dir); err != nil || !st.IsDir() {
				must(t, os.RemoveAll(dir))
				must(t, os.Mkdir(dir, 0o755))
			}
		}
		name := "any"
		if p.Names != nil {
			name = p.Names[0] + "-new"
		}
		check("folder of place " + fmt.Sprint(i))
		must(t, os.WriteFile(dir+"/"+name, []byte(time.Now().String()), 0o644))
		check(fmt.Sprintf("%s in %s", name, p.Folder))
	}
}

// Whatever happens: if somebody who reads sees a difference, it was reported; and the watches asked for are no more than needed.
func TestEveryDifferenceIsReported(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		x := newTree(r, r)
		defer os.RemoveAll(x.root)
		w := start(r, x.root, x.places...)
		defer w.Close()
		before := x.view()
		step := func(what string) {
			got, after := told(r, w), x.view()
			if before != after && !got {
				r.Fatalf("%s was not reported:\n%s\n%s", what, before, after)
			}
			before = after
		}
		for i := range rapid.IntRange(1, 40).Draw(r, "operations") {
			if rapid.IntRange(0, 9).Draw(r, "set") == 0 {
				at := 0
				if len(x.places) > 0 {
					at = rapid.IntRange(0, len(x.places)-1).Draw(r, "kept from")
				}
				must(r, w.Set(x.places[at:]))
				must(r, w.Set(x.places))
				before = x.view()
			}
			x.change(r, i)
			step(fmt.Sprint("operation ", i))
			if told(r, w) {
				r.Fatal("reported although nothing happened")
			}
		}
		x.everywhere(r, step)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, t := range w.watches {
			var mask uint32
			for _, i := range t.interests {
				mask |= i.mask
			}
			if mask != t.mask {
				r.Errorf("%s is watched with %#x, needed is %#x", t.path, t.mask, mask)
			}
		}
	})
}

// Somebody who reads when told, while the tree changes as fast as it can, knows the truth in the end.
func TestReaderEndsWithTheTruth(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		x := newTree(r, r)
		defer os.RemoveAll(x.root)
		w := start(r, x.root, x.places...)
		defer w.Close()
		var mu sync.Mutex
		known := x.view()
		done := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-done:
					return
				case <-w.Changes():
					mu.Lock()
					known = x.view()
					mu.Unlock()
				}
			}
		}()
		for i := range rapid.IntRange(1, 60).Draw(r, "operations") {
			x.change(r, i)
		}
		truth := x.view()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
			mu.Lock()
			got := known
			mu.Unlock()
			if got == truth {
				break
			}
			if time.Now().After(deadline) {
				r.Errorf("read:\n%s\ntrue:\n%s", got, truth)
				break
			}
		}
		close(done)
		<-ended
		told(r, w)
		x.everywhere(r, func(what string) {
			if got := told(r, w); !got && strings.Contains(what, " in ") {
				r.Errorf("%s was not reported", what)
			}
		})
	})
}
