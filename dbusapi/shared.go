package dbusapi

import (
	"context"
	"sync"
	"time"
)

// shared runs a question for many who ask at once: who asks gets the answer of a run that began after the asking, and all who
// wait for one share it. Fifty clients cost what two cost, and somebody who asks all the time gets a fifth of a processor.
type shared[T any] struct {
	run func() (T, error)

	mu      sync.Mutex
	running bool
	next    *answer[T] // for those who ask while one is running
	rest    time.Time  // no run before
}

// Between two runs: so many times what the last one took, and no longer than a client can wait.
const (
	restFactor = 4
	longRest   = 500 * time.Millisecond
)

// answer is one run's.
type answer[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// do waits for an answer until ctx ends; the run goes on without its asker.
func (s *shared[T]) do(ctx context.Context) (T, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = &answer[T]{done: make(chan struct{})}
	}
	mine := s.next
	if !s.running {
		s.running = true
		go s.work()
	}
	s.mu.Unlock()
	select {
	case <-mine.done:
		return mine.value, mine.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// work runs as long as somebody waits.
func (s *shared[T]) work() {
	for {
		time.Sleep(time.Until(s.rest))
		s.mu.Lock()
		now := s.next
		s.next = nil
		if now == nil {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		began := time.Now()
		now.value, now.err = s.run()
		s.rest = time.Now().Add(min(restFactor*time.Since(began), longRest))
		close(now.done)
	}
}
