package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// ErrPowerCut is what every change answers after the power was cut: the process no longer runs.
var ErrPowerCut = errors.New("power is cut")

// ErrFault is what the one change answers that a Fault lets fail.
var ErrFault = errors.New("injected fault")

// Loss says what a power cut does to changes that no fsync covered yet.
type Loss int

// The outcomes of a power cut. Storage may have kept everything, nothing, or, on FAT, half of a rename: FAT keeps names in two
// places, and a cut between them leaves both names or neither.
const (
	KeepUnsynced  Loss = iota // everything issued had reached the storage
	LoseUnsynced              // nothing unsynced had
	RenameBoth                // as LoseUnsynced, and an unsynced rename left both names
	RenameNeither             // as LoseUnsynced, and an unsynced rename left neither name
)

// Losses are all outcomes, for sweeps.
var Losses = []Loss{KeepUnsynced, LoseUnsynced, RenameBoth, RenameNeither}

// String names the outcome in test output.
func (l Loss) String() string {
	return [...]string{"keep-unsynced", "lose-unsynced", "rename-both", "rename-neither"}[l]
}

// Fault counts a machine's changes and cuts the power before the CutAt-th, or fails the FailAt-th (both from 1; 0: never).
type Fault struct {
	CutAt  int
	FailAt int
	Loss   Loss

	mu      sync.Mutex
	count   int
	cut     bool
	changes []string
	undo    []undo
	reached map[string]bool // names whose creation the cut kept, because a rename that left both names implies it
}

// undo takes back one change that is not yet on storage. A change of a name is on storage when each folder in dirs was
// synced; a change of bytes when its file was.
type undo struct {
	file  *os.File // bytes of this file, or nil
	block bool     // the bytes are a partition's, which belong to no file system
	dirs  map[string]bool
	path  string
	back  func(Loss)
}

// Count returns how many changes were asked for.
func (f *Fault) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// WasCut says whether the power was cut.
func (f *Fault) WasCut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cut
}

// Changes returns the changes asked for, in order, in words.
func (f *Fault) Changes() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.changes...)
}

// Cut cuts the power now, wherever the machine is.
func (f *Fault) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutPower()
}

func (f *Fault) cutPower() {
	if f.cut {
		return
	}
	f.cut = true
	f.reached = map[string]bool{}
	if f.Loss != KeepUnsynced {
		for i := len(f.undo) - 1; i >= 0; i-- {
			f.undo[i].back(f.Loss)
		}
	}
	f.undo = nil
}

// Change runs one change of the machine's state, described in words for test output. Without a Fault it just runs it.
// Packages whose changes do not fit this package's own verbs (a UEFI variable) use it directly; such changes count as
// on storage at once.
func (m *Machine) Change(what string, do func() error) error {
	return m.change(what, func() (*undo, error) { return nil, do() })
}

func (m *Machine) change(what string, do func() (*undo, error)) error {
	f := m.fault
	if f == nil {
		_, err := do()
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut {
		return fmt.Errorf("cannot %s: %w", what, ErrPowerCut)
	}
	f.count++
	f.changes = append(f.changes, what)
	switch f.count {
	case f.CutAt:
		f.cutPower()
		return fmt.Errorf("cannot %s: %w", what, ErrPowerCut)
	case f.FailAt:
		return fmt.Errorf("cannot %s: %w", what, ErrFault)
	}
	u, err := do()
	if u != nil {
		f.undo = append(f.undo, *u)
	}
	return err
}

// synced forgets what a successful sync put on storage.
func (m *Machine) synced(done func(u *undo) bool) {
	f := m.fault
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.undo[:0]
	for i := range f.undo {
		if !done(&f.undo[i]) {
			kept = append(kept, f.undo[i])
		}
	}
	f.undo = kept
}

func (m *Machine) tracks() bool { return m.fault != nil }

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func nameChange(back func(Loss), paths ...string) *undo {
	u := &undo{dirs: map[string]bool{}, path: paths[0], back: back}
	for _, p := range paths {
		u.dirs[filepath.Dir(p)] = true
	}
	return u
}
