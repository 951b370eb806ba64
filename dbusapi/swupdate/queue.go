package swupdate

import (
	"sync"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// queue stands between the socket and the sink. SWUpdate sends with its lock held, 2022.12 without end, so that whoever does not
// read stops the install: reading must not wait for a sink either. Of several Advanced that nobody took yet only the last stays, so
// that the queue has three events for an install at most.
type queue struct {
	mu     sync.Mutex
	events []install.Event
	closed bool
	more   chan struct{}
}

func newQueue() *queue { return &queue{more: make(chan struct{}, 1)} }

func (q *queue) put(events ...install.Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range events {
		if n := len(q.events); n > 0 && e.Kind == install.Advanced && q.events[n-1].Kind == install.Advanced {
			q.events[n-1] = e
			continue
		}
		q.events = append(q.events, e)
	}
	q.wake()
}

// close lets deliver return once everything is delivered.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake()
}

func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default: // it will look anyway
	}
}

func (q *queue) deliver(sink install.Sink) {
	for range q.more {
		q.mu.Lock()
		events, closed := q.events, q.closed
		q.events = nil
		q.mu.Unlock()
		for _, e := range events {
			sink(e)
		}
		if closed {
			return
		}
	}
}
