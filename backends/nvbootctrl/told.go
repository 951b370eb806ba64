package nvbootctrl

import (
	"context"
	"sync"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// told remembers what cannot change before the next boot: a verb asks many times, each answer costs a process, and RAUC's backend
// has ten seconds for all.
type told struct {
	mu       sync.Mutex
	boot     string // identity of the boot in which it was told
	current  backends.Slot
	asked    bool // about the root file systems
	separate bool
	root     backends.Slot
}

// fresh forgets what an earlier boot told; false where boots cannot be told apart. The lock is held.
func (t *told) fresh(m *device.Machine) bool {
	boot, err := m.BootID()
	if err != nil {
		return false
	}
	if t.boot != boot {
		t.boot, t.current, t.asked = boot, backends.None, false
	}
	return true
}

func (t *told) roots(m *device.Machine) (separate bool, running backends.Slot, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.separate, t.root, t.fresh(m) && t.asked
}

func (t *told) setRoots(m *device.Machine, separate bool, running backends.Slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fresh(m) {
		t.asked, t.separate, t.root = true, separate, running
	}
}

// running is the chain that runs.
func (b *Backend) running(ctx context.Context) (backends.Slot, error) {
	b.told.mu.Lock()
	known := b.told.fresh(b.m) && b.told.current != backends.None
	current := b.told.current
	b.told.mu.Unlock()
	if known {
		return current, nil
	}
	current, err := b.current(ctx, bootloader)
	if err == nil {
		b.told.mu.Lock()
		defer b.told.mu.Unlock()
		if b.told.fresh(b.m) {
			b.told.current = current
		}
	}
	return current, err
}
