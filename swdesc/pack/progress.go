package pack

import (
	"context"
	"io"
	"sync"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Progress is told how far a long step has come: bytes done of total. It is called from one goroutine at a time, often; nil is
// allowed where one is wanted.
type Progress func(step string, done, total int64)

// meter adds up what several readers read and reports it.
type meter struct {
	mu          sync.Mutex
	report      Progress
	step        string
	done, total int64
}

func newMeter(report Progress, step string, total int64) *meter {
	return &meter{report: report, step: step, total: total}
}

func (m *meter) add(n int) {
	if m.report == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += int64(n)
	m.report(m.step, m.done, m.total)
}

// watched is a reader that counts, and stops when the work is cancelled: a pack of gigabytes must end with Ctrl-C.
type watched struct {
	ctx context.Context
	r   io.Reader
	m   *meter
}

func (w watched) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, fail.New(fail.IO, "interrupted: %w", err)
	}
	n, err := w.r.Read(p)
	w.m.add(n)
	return n, err
}
