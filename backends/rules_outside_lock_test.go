package backends_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A verb waits for the lock of another, and not for ever: RAUC itself sets no limit. An answer does not wait at all.
func TestOutsideVerbsWaitFiveSecondsForTheLock(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	m, _ := d.control()
	lock, err := m.Lock(context.Background(), "/run/tegra-ota/lock", 0)
	ruleMust(t, err)
	defer func() { _ = lock.Unlock() }()
	begin := time.Now()
	if !d.good(backends.B) || d.primary() != backends.A || d.booted() != backends.A {
		t.Error("the answers are others while a verb is at work")
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("the answers took %s", took)
	}
	before := d.snapshot()
	var all sync.WaitGroup
	for name, verb := range map[string]func(*ruleDevice) error{
		"set-state bad":  func(d *ruleDevice) error { _, err := d.setBad(backends.B); return err },
		"set-state good": func(d *ruleDevice) error { return d.setGood(backends.A) },
		"set-primary":    func(d *ruleDevice) error { _, err := d.setPrimary(backends.A); return err },
		"post-install":   func(d *ruleDevice) error { _, _, err := d.activateFirmware(); return err },
	} {
		process := *d // has a trace of its own
		all.Add(1)
		go func(name string, verb func(*ruleDevice) error) {
			defer all.Done()
			begin := time.Now()
			err := verb(&process)
			if took := time.Since(begin); fail.CodeOf(err) != fail.Busy || took < 4*time.Second || took > 8*time.Second {
				t.Errorf("%s answers %v after %s, want busy after 5 s", name, err, took)
			}
		}(name, verb)
	}
	all.Wait()
	d.wantSame(before)
}
