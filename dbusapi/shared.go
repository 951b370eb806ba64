package dbusapi

import (
	"context"
	"sync"
)

// shared runs a question for many who ask at once: who asks gets the answer of a run that began after the asking, and all who
// wait for one share it. Fifty clients cost what two cost.
type shared[T any] struct {
	run func() (T, error)

	mu      sync.Mutex
	running bool
	next    *answer[T] // for those who ask while one is running
}

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
		s.mu.Lock()
		now := s.next
		s.next = nil
		if now == nil {
			s.running = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		now.value, now.err = s.run()
		close(now.done)
	}
}
