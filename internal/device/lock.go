package device

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process holds the lock for longer than the caller would wait.
var ErrLocked = errors.New("another process holds the lock")

// Lock is an exclusive advisory lock, gone with the process that holds it.
type Lock struct{ f *os.File }

// Lock takes the lock at path, making file and folder where missing, and waits at most patience for it.
func (m *Machine) Lock(ctx context.Context, path string, patience time.Duration) (*Lock, error) {
	host := m.Path(path)
	if err := os.MkdirAll(filepath.Dir(host), 0o755); err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	f, err := os.OpenFile(host, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", path, err)
	}
	deadline := time.Now().Add(patience)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return &Lock{f: f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
		if time.Now().After(deadline) {
			_ = f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, ErrLocked)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", path, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Locked says whether a process holds the lock at path, as far as can be seen: not if there is no such file, or without the
// privilege to open it. Asking is no lock for others who ask, and one who would take it has to try again for an instant at most.
func (m *Machine) Locked(path string) bool {
	f, err := os.OpenFile(m.Path(path), os.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// Unlock releases the lock.
func (l *Lock) Unlock() error { return l.f.Close() }
