// Package swupdate follows installs through SWUpdate's progress socket.
//
// It only reads: SWUpdate, of any version from 2022.12 to 2026.05, tells everybody who is connected, and nothing is asked. While
// SWUpdate does not run, or has nothing to tell, nothing wakes up.
package swupdate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// delays are the pauses between attempts while somebody may be about to listen: a server that is being started again. They end, and
// then only a change in a socket's folder leads to more: a systemd socket would start a service that cannot run again and again.
// The first are short: a server makes its socket, which is what we see, just before it listens.
var delays = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond,
	1600 * time.Millisecond, 3200 * time.Millisecond, 3200 * time.Millisecond}

// calm is between a change at a socket and what we do about it: who replaces the socket all the time does not keep us busy.
const calm = 50 * time.Millisecond

// steady is how long a connection must last for the attempts to be counted anew after it.
const steady = 10 * time.Second

// Follower follows SWUpdate from one connection to the next.
type Follower struct {
	m       *device.Machine
	sockets []string
	sink    install.Sink
	log     *logrus.Entry
	uid     int // who is believed beside root

	strangers map[string]bool // of whom it was said that they are not believed
	out       *queue
	trouble   string // what the last Unfollowed said, "" if that was taken back
	watcher   *watch.Watcher
	rounds    atomic.Int64 // how often the sockets were tried; the tests count that idling costs nothing
}

// New returns a follower that tries the sockets, paths of the device, in this order.
func New(m *device.Machine, sockets []string, sink install.Sink, log *logrus.Entry) *Follower {
	return &Follower{m: m, sockets: append([]string(nil), sockets...), sink: sink, log: log, uid: os.Geteuid(),
		strangers: map[string]bool{}}
}

// Run follows SWUpdate until the context ends and then returns nil. It returns an error, after an Unfollowed with the same words,
// only where SWUpdate's start cannot be awaited. There is one Run at a time.
func (f *Follower) Run(ctx context.Context) error {
	f.out, f.trouble = newQueue(), ""
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		f.out.deliver(f.sink)
	}()
	defer func() {
		f.unwatch()
		f.out.close()
		<-delivered
	}()
	for tries := 0; ; {
		seen := f.look() // before the attempt, so that what changes during it is noticed
		r := f.round(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if r.steady {
			tries = 0
		}
		if r.trouble != "" {
			f.tell(r.trouble)
		}
		if r.again && tries < len(delays) {
			if !pause(ctx, delays[tries]) {
				return nil
			}
			tries++
			continue
		}
		if r.closed != "" {
			r.trouble = fmt.Sprintf("SWUpdate closes every connection to %s soon", r.closed)
		}
		f.tell(r.trouble)
		if err := f.await(ctx, seen); err != nil {
			f.tell(err.Error())
			return err
		}
		if !pause(ctx, calm) {
			return nil
		}
		tries = 0
	}
}

// result is what came of trying every socket once.
type result struct {
	again   bool   // somebody may listen soon
	steady  bool   // a connection lasted, or told of a whole install
	closed  string // the socket of a connection that did not
	trouble string // why SWUpdate cannot be followed
}

// round tries every socket once, and follows where somebody listens for as long as that lasts.
func (f *Follower) round(ctx context.Context) (r result) {
	f.rounds.Add(1)
	for _, socket := range f.sockets {
		if ctx.Err() != nil {
			return r
		}
		conn, err := f.connect(socket)
		switch {
		case errors.Is(err, errAbsent):
			continue
		case errors.Is(err, errRefused):
			r.again = true
			continue
		case err != nil:
			r.trouble = err.Error()
			continue
		}
		f.unwatch() // /tmp is a busy folder
		f.tell("")
		f.log.Debugf("following SWUpdate at %s", socket)
		since := time.Now()
		useful, err := f.follow(ctx, conn)
		_ = conn.Close()
		f.log.Debugf("SWUpdate at %s is followed no more: %v", socket, err)
		switch {
		case err != nil:
			r.trouble = fmt.Sprintf("cannot follow SWUpdate at %s: %v", socket, err)
		case useful, time.Since(since) >= steady:
			r.again, r.steady = true, true
		default:
			r.again, r.closed = true, socket
		}
	}
	return r
}

// follow reads to the end of the connection, and says whether it saw the end of an install. An error means that SWUpdate is not
// understood.
func (f *Follower) follow(ctx context.Context, conn *net.UnixConn) (useful bool, err error) {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	var d decoder
	var t tracker
	buf := make([]byte, 32<<10)
	for {
		n, failed := conn.Read(buf)
		if ctx.Err() != nil {
			return useful, nil // an install that goes on has not ended
		}
		messages, garbled := d.feed(buf[:n])
		for _, m := range messages {
			f.out.put(t.take(m)...)
			useful = useful || m.status == success || m.status == failure
		}
		if garbled != nil {
			f.out.put(t.lost("SWUpdate is not understood any more: " + garbled.Error())...)
			return useful, garbled
		}
		if failed != nil {
			if !errors.Is(failed, io.EOF) {
				f.log.Debugf("reading from SWUpdate: %v", failed)
			}
			f.out.put(t.lost(wentAway)...)
			return useful, nil
		}
	}
}

// tell says that SWUpdate cannot be followed, or with "" that this is over, if it is news.
func (f *Follower) tell(trouble string) {
	if trouble == f.trouble {
		return
	}
	f.trouble = trouble
	if trouble == "" {
		f.out.put(install.Event{Updater: install.SWUpdate, Kind: install.Followed})
		return
	}
	f.log.Warn(trouble)
	f.out.put(install.Event{Updater: install.SWUpdate, Kind: install.Unfollowed, Reason: trouble})
}

// await returns when the sockets are no longer as they were seen, or the context ends.
func (f *Follower) await(ctx context.Context, seen string) error {
	if f.watcher == nil {
		w, err := watch.New(f.m)
		if err != nil {
			return fmt.Errorf("cannot wait for SWUpdate: %w", err)
		}
		f.watcher = w
		var places []watch.Place
		for _, socket := range f.sockets {
			places = append(places, watch.Place{Folder: path.Dir(socket), Names: []string{path.Base(socket)}, Unwritten: true})
		}
		if err := w.Set(places); err != nil {
			return fmt.Errorf("cannot wait for SWUpdate: %w", err)
		}
	}
	for f.look() == seen {
		select {
		case <-ctx.Done():
			return nil
		case <-f.watcher.Changes():
		}
	}
	return nil
}

func (f *Follower) unwatch() {
	if f.watcher != nil {
		_ = f.watcher.Close()
		f.watcher = nil
	}
}

// pause waits, and returns false if the context ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
