package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// retry is how long to wait when poll(2) itself fails, which takes a kernel without memory.
const retry = time.Second

// gone are the events after which a watch, or the path to it, is no longer what it was.
const gone = unix.IN_IGNORED | unix.IN_UNMOUNT | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF

// event is one struct inotify_event (inotify(7)).
type event struct {
	wd   int
	mask uint32
	name string // "" where the watched folder itself is meant
}

// run waits until Close.
func (w *Watcher) run() {
	defer close(w.ended)
	buf := make([]byte, 16<<10)
	fds := []unix.PollFd{
		{Fd: int32(w.inotify), Events: unix.POLLIN},
		{Fd: int32(w.wake), Events: unix.POLLIN},
		{Fd: int32(w.mounts), Events: unix.POLLPRI}, // POLLERR comes unasked
	}
	for {
		_, err := unix.Poll(fds, -1)
		w.wakes.Add(1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			// Nothing can be told for sure now. Whoever listens looks for themselves meanwhile.
			w.tell()
			select {
			case <-w.stop:
				return
			case <-time.After(retry):
			}
			continue
		}
		if fds[1].Revents != 0 {
			return
		}
		w.look(fds[2].Revents != 0, buf)
	}
}

// look takes in what the kernel tells and passes it on once the watches are as they should be, so that whoever reads then misses
// nothing that comes later.
func (w *Watcher) look(mountsChanged bool, buf []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := unix.Read(w.inotify, buf)
	if err != nil { // EAGAIN: only mounts changed. EINTR: poll says so again.
		n = 0
	}
	changed, all, moved := w.sift(parse(buf[:n]))
	if all || mountsChanged {
		// Another file system may lie on top of a folder, or none any more, and neither tells those who watch the one below.
		changed, moved = true, w.places
	}
	if len(moved) > 0 {
		_ = w.establish(moved) // the place remembers it for the next Set
	}
	if changed {
		w.tell()
	}
}

// sift finds out from events whether something changed, and which places have to be followed anew: all of them after an overflow.
//
// Every change on the way to a place is a change of it. A folder may have come, been read by whoever listens, and gone again
// before there was a watch in it.
func (w *Watcher) sift(events []event) (changed, all bool, moved []*place) {
	lost := map[*place]bool{}
	for _, e := range events {
		if e.mask&unix.IN_Q_OVERFLOW != 0 {
			changed, all = true, true
			continue
		}
		t := w.watches[e.wd]
		if t == nil { // we have removed it
			continue
		}
		for _, i := range t.interests {
			switch {
			case e.mask&gone != 0:
				changed = true
				lost[i.place] = true
			case e.mask&i.mask == 0: // another place asked for it
			case i.next == "":
				changed = changed || e.name == "" || i.place.counts(e.name)
			case e.name == "" || e.name == i.next:
				changed = true
				lost[i.place] = true
			}
		}
	}
	for _, p := range w.places {
		if lost[p] {
			moved = append(moved, p)
		}
	}
	return changed, all, moved
}

// parse takes apart what was read from inotify. The kernel never returns half an event.
func parse(b []byte) []event {
	var events []event
	for len(b) >= unix.SizeofInotifyEvent {
		e := event{wd: int(int32(binary.NativeEndian.Uint32(b))), mask: binary.NativeEndian.Uint32(b[4:])}
		length := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent:]
		if uint64(length) > uint64(len(b)) {
			break
		}
		name, _, _ := bytes.Cut(b[:length], []byte{0}) // padded with zeros
		e.name = string(name)
		b = b[length:]
		events = append(events, e)
	}
	return events
}
