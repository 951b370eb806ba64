package watch

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// What is asked of inotify. IN_ATTRIB is there for chmod: a file or folder that could not be read can be now. It is no noise:
// of a file's link count, only a watch of the file itself is told, and here folders are watched.
const (
	// contentMask is for a place's folder.
	contentMask = awaitMask | unix.IN_MODIFY
	// passMask is for a folder that leads to one, which is itself told when it is moved. IN_DELETE, because a folder that somebody
	// holds open, or works in, gets IN_DELETE_SELF only when they let go of it, and the entry above it is gone at once.
	passMask = unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	// awaitMask is for a folder in which the next component of a path is no folder, and may become one; or is a link, of which
	// only its name is told about.
	awaitMask = passMask | unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO
	// addFlags go with each. A path has its links resolved already, so a link in it is one that was put there since.
	addFlags = unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
)

// maxLinks is how many symbolic links a path may lead through (path_resolution(7)).
const maxLinks = 40

// watched is one folder as inotify sees it. The same folder has one descriptor however often it is asked for, so whoever is
// interested shares it.
type watched struct {
	path      string
	mask      uint32
	interests []interest
}

// interest is why a folder is watched.
type interest struct {
	place *place
	next  string // the component of the path that is looked up here; "" in the place's folder itself
	mask  uint32
}

// establish watches these places anew, drops what nobody is interested in any more, and returns the first error.
func (w *Watcher) establish(places []*place) error {
	err := w.followAll(places)
	if !w.settle() {
		err = w.followAll(w.places)
		w.tell() // what tells of the other folder's arrival may belong to a watch that nobody has now
	}
	return err
}

func (w *Watcher) followAll(places []*place) (first error) {
	for _, p := range places {
		w.forget(p)
		if p.failed = w.follow(p); p.failed != nil && first == nil {
			first = p.failed
		}
	}
	return first
}

// follow goes along the path of a place as open(2) does and watches each folder on it before it looks for the next in it: what
// changes later is told, and what changed earlier is seen. It stops where the path ends, the next folder's arrival being awaited.
// What leads to the machine's root is no part of the machine, and others may be busy there.
func (w *Watcher) follow(p *place) error {
	dir, rest, links := w.root, components(strings.TrimPrefix(p.host, w.root)), 0
	for len(rest) > 0 {
		name := rest[0]
		if name == ".." { // of a link; dir has none, so this is what the kernel does
			dir, rest = path.Dir(dir), rest[1:]
			continue
		}
		if _, err := w.reach(dir, interest{p, name, passMask}); err != nil {
			return err
		}
		isFolder, link := look(path.Join(dir, name))
		if !isFolder {
			if _, err := w.attach(dir, interest{p, name, awaitMask}); err != nil {
				return err
			}
			isFolder, link = look(path.Join(dir, name))
		}
		switch {
		case isFolder:
			dir, rest = path.Join(dir, name), rest[1:]
		case link != "" && links < maxLinks:
			links++
			if path.IsAbs(link) {
				dir = "/"
			}
			rest = append(components(link), rest[1:]...)
		default:
			return nil
		}
	}
	mask := uint32(contentMask)
	if p.Unwritten {
		mask = awaitMask
	}
	_, err := w.reach(dir, interest{p, "", mask})
	return err
}

// reach attaches an interest to a folder that was there a moment ago. Where that fails (it is gone again, or cannot be read) the
// folder above it tells when that changes. A folder that can be searched and not read can still lead to others.
func (w *Watcher) reach(dir string, i interest) (bool, error) {
	ok, err := w.attach(dir, i)
	if ok || err != nil || dir == "/" {
		return ok, err
	}
	if _, err := w.attach(path.Dir(dir), interest{i.place, path.Base(dir), awaitMask}); err != nil {
		return false, err
	}
	return w.attach(dir, i)
}

// attach watches a folder for an interest; false means that it is not there or must not be read.
func (w *Watcher) attach(dir string, i interest) (bool, error) {
	wd, err := w.add(dir, i.mask|unix.IN_MASK_ADD)
	switch {
	case errors.Is(err, unix.ENOSPC):
		return false, fail.New(fail.Unavailable, "cannot watch %s: %w", i.place.Folder, os.NewSyscallError("inotify_add_watch", err)).
			Then("raise fs.inotify.max_user_watches")
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EBADF), errors.Is(err, unix.EINVAL):
		return false, fail.New(fail.Unavailable, "cannot watch %s: %w", i.place.Folder, os.NewSyscallError("inotify_add_watch", err))
	case err != nil: // ENOENT, ENOTDIR, EACCES, and what a broken file system answers
		return false, nil
	}
	t := w.watches[wd]
	if t == nil {
		t = &watched{}
		w.watches[wd] = t
	}
	t.path = dir
	t.mask |= i.mask
	for k := range t.interests {
		if o := &t.interests[k]; o.place == i.place && o.next == i.next {
			o.mask |= i.mask
			return true, nil
		}
	}
	t.interests = append(t.interests, i)
	return true, nil
}

// forget takes a place's interests away; settle then drops the watches.
func (w *Watcher) forget(p *place) {
	for _, t := range w.watches {
		kept := t.interests[:0]
		for _, i := range t.interests {
			if i.place != p {
				kept = append(kept, i)
			}
		}
		t.interests = kept
	}
}

// settle removes the watches nobody is interested in and narrows those that ask for more than anybody needs. A narrower mask can
// only be given by path: false means that another folder is there by now and may have got it, so that all have to be followed anew.
func (w *Watcher) settle() bool {
	same := true
	for wd, t := range w.watches {
		if len(t.interests) == 0 {
			_, _ = unix.InotifyRmWatch(w.inotify, uint32(wd)) // EINVAL: the folder is gone, and the watch with it
			delete(w.watches, wd)
			continue
		}
		var mask uint32
		for _, i := range t.interests {
			mask |= i.mask
		}
		if mask == t.mask {
			continue
		}
		switch got, err := w.add(t.path, mask); {
		case err != nil: // gone; the event is under way
		case got == wd:
			t.mask = mask
		default:
			same = false
			if w.watches[got] == nil {
				_, _ = unix.InotifyRmWatch(w.inotify, uint32(got))
			}
		}
	}
	return same
}

func (w *Watcher) add(dir string, mask uint32) (int, error) {
	for {
		wd, err := unix.InotifyAddWatch(w.inotify, dir, mask|addFlags)
		if !errors.Is(err, unix.EINTR) {
			return wd, err
		}
	}
}

// look says whether a path is a folder, or else where it links to; neither if it is something else or nothing.
func look(p string) (isFolder bool, link string) {
	st, err := os.Lstat(p)
	if err != nil {
		return false, ""
	}
	if st.Mode()&os.ModeSymlink != 0 {
		link, _ = os.Readlink(p)
	}
	return st.IsDir(), link
}

// components splits a path into names. Its links are not resolved, so ".." stays.
func components(p string) []string {
	var names []string
	for _, name := range strings.Split(p, "/") {
		if name != "" && name != "." {
			names = append(names, name)
		}
	}
	return names
}
