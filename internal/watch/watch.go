// Package watch tells when files in folders change, or what is mounted changes, and costs nothing while they do not.
//
// It stands on inotify(7) and on poll(2) for /proc/self/mountinfo (proc(5)). Both are told by the kernel; no timer runs.
//
// What gives no event, so that nobody is told:
//   - network file systems and FUSE, when somebody changes them from elsewhere (inotify(7), limitations);
//   - bytes written through mmap(2), or through a hard link in a folder that is not watched;
//   - what the kernel itself does in sysfs and procfs: an attribute that changes, a folder that comes or goes. Only what user
//     space writes there gives events, and attributes whose driver calls sysfs_notify() (fs/kernfs/file.c);
//   - a folder that becomes readable again below two or more that are not: inotify watches only what can be read.
//
// efivarfs is like other file systems in this: whoever writes, creates or removes a variable goes through the VFS, which tells
// inotify (fs/efivarfs has nothing of its own for it). A variable that the firmware changes by itself tells nobody.
//
// Reading gives no event: open, read and close are not asked for, and a read that updates the time of access does not pass
// notify_change(), which alone reports changed attributes (fs/inode.c, touch_atime; fs/attr.c).
package watch

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// mounted is where the kernel tells what is mounted.
const mounted = "/proc/self/mountinfo"

// Place is a folder whose entries matter.
type Place struct {
	Folder string   // path of the device
	Names  []string // only entries whose names start with one of these count; nil: all
	// Unwritten says that entries are not written to as far as this place goes: they come, go, and change their rights. For a
	// socket in a folder such as /tmp, in which others write all the time.
	Unwritten bool
}

// Watcher tells when something changed in the places that it was given. Its methods may be called from any goroutine.
type Watcher struct {
	m       *device.Machine
	root    string // the machine's, on this host
	changes chan struct{}
	inotify int           // inotify(7)
	wake    int           // eventfd(2) that ends the goroutine
	mounts  int           // mountinfo of the running system, else -1, which poll(2) passes over
	stop    chan struct{} // closed by Close
	ended   chan struct{} // closed by the goroutine
	wakes   atomic.Int64  // how often poll returned; the tests count that idling costs nothing

	mu       sync.Mutex // what follows, and reading from inotify
	closed   bool
	closeErr error
	places   []*place
	watches  map[int]*watched // by watch descriptor
}

// place is a Place that is being watched or awaited.
type place struct {
	Place
	host   string // where it lies on this host
	key    string // the same for the same folder and names
	failed error  // inotify itself refused; Set tries again
}

// New returns a Watcher without places. It tells at once when what is mounted changes.
func New(m *device.Machine) (*Watcher, error) {
	w := &Watcher{m: m, changes: make(chan struct{}, 1), inotify: -1, wake: -1, mounts: -1,
		stop: make(chan struct{}), ended: make(chan struct{}), watches: map[int]*watched{}}
	var err error
	if w.root, err = filepath.Abs(m.Root()); err != nil {
		return nil, fail.New(fail.Unavailable, "cannot watch folders: %w", err)
	}
	if w.inotify, err = unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC); err != nil {
		e := fail.New(fail.Unavailable, "cannot watch folders: %w", &fs.PathError{Op: "inotify_init1", Path: "inotify", Err: err})
		if errors.Is(err, unix.EMFILE) {
			e = e.Then("raise fs.inotify.max_user_instances, or the limit of open files")
		}
		return nil, e
	}
	if w.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		_ = w.release()
		return nil, fail.New(fail.Unavailable, "cannot watch folders: %w", &fs.PathError{Op: "eventfd", Path: "eventfd", Err: err})
	}
	if !m.IsPrefixed() {
		// Not os.Open: that hands the file to the runtime's epoll, and whoever polls it first takes the news (proc_namespace.c).
		if w.mounts, err = unix.Open(m.Path(mounted), unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			_ = w.release()
			return nil, fail.New(fail.Unavailable, "cannot watch mounts: %w", &fs.PathError{Op: "open", Path: mounted, Err: err})
		}
	}
	if err := w.Set(nil); err != nil {
		_ = w.release()
		return nil, err
	}
	go w.run()
	return w, nil
}

// Set watches these places from now on and no others; those it has already stay as they are. A folder that does not exist, or
// cannot be read, is awaited. What changed before Set returned may go unreported for a new place, so read after it.
//
// An error means that inotify itself refused. The places that could be watched are, and the next Set tries the others again, as it
// does those that inotify refused meanwhile.
func (w *Watcher) Set(places []Place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fail.New(fail.Internal, "cannot watch folders: %w", fs.ErrClosed)
	}
	if w.m.IsPrefixed() {
		// A folder that stands in for a device has a file there, which is replaced when somebody means another list of mounts.
		places = append([]Place{{Folder: path.Dir(mounted), Names: []string{path.Base(mounted)}}}, places...)
	}
	old := map[string]*place{}
	for _, p := range w.places {
		old[p.key] = p
	}
	var keep, start []*place
	seen, retried := map[string]bool{}, map[*place]bool{}
	for _, given := range places {
		p, err := w.newPlace(given)
		if err != nil {
			return err
		}
		if seen[p.key] {
			continue
		}
		seen[p.key] = true
		if o := old[p.key]; o != nil {
			p = o
		}
		if old[p.key] == nil || p.failed != nil {
			start = append(start, p)
			retried[p] = p.failed != nil
		}
		keep = append(keep, p)
		delete(old, p.key)
	}
	for _, p := range old {
		w.forget(p)
	}
	w.places = keep
	if len(start) == 0 && len(old) == 0 {
		return nil
	}
	err := w.establish(start)
	for _, p := range start {
		if retried[p] && p.failed == nil {
			w.tell() // nobody looked at it meanwhile
		}
	}
	return err
}

func (w *Watcher) newPlace(given Place) (*place, error) {
	host, err := filepath.Abs(w.m.Path(given.Folder))
	if err != nil {
		return nil, fail.New(fail.Unavailable, "cannot watch %s: %w", given.Folder, err)
	}
	p := &place{Place: given, host: host}
	p.Names = append([]string(nil), given.Names...)
	sort.Strings(p.Names)
	p.key = host + "\x00" + strings.Join(p.Names, "\x00")
	if len(p.Names) == 0 {
		p.key = host
	}
	if p.Unwritten {
		p.key += "\x00/"
	}
	return p, nil
}

// counts says whether an entry of the folder matters.
func (p *place) counts(name string) bool {
	for _, n := range p.Names {
		if strings.HasPrefix(name, n) {
			return true
		}
	}
	return len(p.Names) == 0
}

// Changes returns the channel that tells. A receive means that something changed since the last receive, and that whatever
// changes from now on will be told again: so read after it. After Close it stays open and silent.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// tell makes the next receive from Changes succeed.
func (w *Watcher) tell() {
	select {
	case w.changes <- struct{}{}:
	default:
	}
}

// Close ends the watching and returns when the goroutine has ended. Further calls return what the first did.
func (w *Watcher) Close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.stop)
		one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1} // any number but 0, whatever the order of bytes
		_, _ = unix.Write(w.wake, one[:])      // fails only where the counter would overflow
	}
	w.mu.Unlock()
	<-w.ended
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.release(); err != nil {
		w.closeErr = fail.New(fail.IO, "cannot stop watching folders: %w", err)
	}
	return w.closeErr
}

// release closes what is open.
func (w *Watcher) release() error {
	var errs []error
	for _, fd := range []*int{&w.inotify, &w.wake, &w.mounts} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	w.watches = nil
	return errors.Join(errs...)
}
