package backends_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

var sweepFull = flag.Bool("sweep.full", false, "judge every power cut by itself, even where it leaves the same device as another one")

// sweepCase is one call whose every change is cut.
type sweepCase struct {
	name       string
	redundancy virtual.Redundancy
	virgin     bool                       // tegra-ota never ran: a cut of the journal's first write leaves none, which is reported
	prepare    func(d *sweepDevice) error // leaves the device as the verb finds it
	verb       sweepVerb
	heal       func(d *sweepDevice) error // takes away what would make the next update fail, too
}

// sweepTally counts what a sweep did, so that it cannot shrink unseen.
type sweepTally struct {
	sync.Mutex
	points, cuts, states, settled int
}

func (s *sweepTally) add(points, cuts, states, settled int) {
	s.Lock()
	defer s.Unlock()
	s.points, s.cuts, s.states, s.settled = s.points+points, s.cuts+cuts, s.states+states, s.settled+settled
}

func (s *sweepTally) String() string {
	return fmt.Sprintf("%d cut points, %d cuts (with what each does to unsynced changes, warm and cold), %d different devices after a cut, %d after it settled",
		s.points, s.cuts, s.states, s.settled)
}

// sweepRun judges the cuts of one case.
type sweepRun struct {
	c       sweepCase
	base    *sweepDevice
	old     backends.Slot
	oldRoot string
	judging string // tells what is judged about a device, beside the device
	seen    int    // devices after a cut
	done    int    // devices after they settled
	share   int    // with the device that a verb is cut on
}

func newSweepRun(rig *sweepRig, c sweepCase, onESP bool) (*sweepRun, error) {
	if c.redundancy == "" {
		c.redundancy = virtual.RootfsAB
	}
	make := rig.used
	if c.virgin {
		make = rig.newDevice
	}
	base, err := make(c.redundancy, onESP)
	if err != nil {
		return nil, err
	}
	if err := c.prepare(base); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	if err := base.inspect(!c.virgin); err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	r := &sweepRun{c: c, base: base}
	if r.old, err = base.current(); err != nil {
		return nil, err
	}
	running := r.old
	if c.redundancy == virtual.BootOnly {
		running = backends.A
	}
	r.oldRoot, err = base.root(running)
	r.judging = fmt.Sprintf("%s with %s runs, virgin %v, healed %v, %s, on ESP %v", r.old, r.oldRoot, c.virgin, c.heal != nil, c.redundancy, onESP)
	return r, err
}

// judge boots a device that was cut, warm or cold, and checks all that must hold.
func (r *sweepRun) judge(cut *sweepDevice, cold, strict, dirtyWindow bool) error {
	d, err := cut.cloneSharing(shareRoots)
	if err != nil {
		return err
	}
	defer d.drop()
	if err := d.exhaust(cold, dirtyWindow); err != nil {
		return err
	}
	d, err = cut.cloneSharing(shareRoots)
	if err != nil {
		return err
	}
	defer d.drop()
	_, trace, err := d.settle(cold)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, strings.Join(trace, "\n"))
	}
	if err := r.settled(d, strict); err != nil {
		return fmt.Errorf("settled: %w\n%s", err, strings.Join(trace, "\n"))
	}
	return nil
}

func (r *sweepRun) settled(d *sweepDevice, strict bool) error {
	if err := d.inspect(strict); err != nil {
		return err
	}
	if err := r.untouched(d); err != nil {
		return err
	}
	if isNew, err := d.rig.fresh(d, r.judging+" settled", false); err != nil || !isNew {
		return err
	}
	r.done++
	if r.c.heal != nil {
		if err := r.c.heal(d); err != nil {
			return err
		}
	}
	e, err := d.cloneSharing(shareRoots)
	if err != nil {
		return err
	}
	defer e.drop()
	if err := e.exhaust(false, false); err != nil {
		return err
	}
	if err := d.unshare(); err != nil {
		return err
	}
	return d.again()
}

// untouched checks the root file system that ran when the power was cut.
func (r *sweepRun) untouched(d *sweepDevice) error {
	slot := r.old
	if d.redundancy == virtual.BootOnly {
		slot = backends.A
	}
	got, err := d.root(slot)
	if err == nil && got != r.oldRoot {
		err = fmt.Errorf("the root file system of slot %s, which ran, is %q and was %q", slot, got, r.oldRoot)
	}
	return err
}

// cutVerb cuts one call before its n-th change.
func (r *sweepRun) cutVerb(n int, loss device.Loss) (string, error) {
	d, err := r.base.cloneSharing(r.share)
	if err != nil {
		return "", err
	}
	defer d.drop()
	f := &device.Fault{CutAt: n, Loss: loss}
	verbErr := d.do(f, r.c.verb)
	changes := f.Changes()
	what := fmt.Sprintf("cut %d (%s), %s", n, changes[len(changes)-1], loss)
	if !f.WasCut() || !errors.Is(verbErr, device.ErrPowerCut) {
		return what, fmt.Errorf("the verb outlived the power: %v", verbErr)
	}
	isNew, err := d.rig.fresh(d, r.judging, false)
	if err != nil || !isNew {
		return what, err
	}
	r.seen++
	strict := !r.c.virgin
	if err := d.inspect(strict); err != nil {
		return what, err
	}
	if err := r.untouched(d); err != nil {
		return what, err
	}
	for _, cold := range []bool{false, true} {
		if err := r.judge(d, cold, strict, false); err != nil {
			return what, fmt.Errorf("cold %v: %w", cold, err)
		}
	}
	return what, nil
}

func (r *sweepRun) sweepVerbs(t *testing.T, tally *sweepTally) {
	probe, err := r.base.clone()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.drop()
	f := &device.Fault{}
	if err := probe.do(f, r.c.verb); err != nil {
		t.Fatalf("without a cut: %v", err)
	}
	changes := f.Changes()
	total := len(changes)
	r.share = shareFlash | shareRoots
	for _, c := range changes {
		if strings.HasPrefix(c, "write /dev/") {
			r.share = shareFlash
		}
	}
	if total == 0 {
		t.Fatal("the verb changes nothing: the case does not test what it says")
	}
	losses := device.Losses
	if testing.Short() {
		losses = losses[:2]
	}
	failed := 0
	for n := 1; n <= total; n++ {
		for _, loss := range losses {
			if !*sweepFull && loss >= device.RenameBoth && !unsyncedRename(changes[:n-1]) {
				continue // the same as LoseUnsynced
			}
			if what, err := r.cutVerb(n, loss); err != nil {
				t.Errorf("%s: %v", what, err)
				if failed++; failed >= 3 {
					t.Fatal("too many failures")
				}
			}
		}
	}
	t.Logf("%d changes, %d different devices after a cut, %d after it settled", total, r.seen, r.done)
	tally.add(total, total*len(losses)*2, r.seen, r.done)
}

// unsyncedRename says whether a rename is so recent that it may not be on storage: after each come two or three syncs.
func unsyncedRename(changes []string) bool {
	for _, c := range changes[max(0, len(changes)-6):] {
		if strings.HasPrefix(c, "rename ") {
			return true
		}
	}
	return false
}

// TestPowerCutSweep cuts the power before each change that each verb makes, with the journal on /data and on the ESP.
func TestPowerCutSweep(t *testing.T) {
	rig := newSweepRig(t)
	tally := &sweepTally{}
	t.Run("group", func(t *testing.T) {
		for _, c := range sweepCases() {
			for _, onESP := range []bool{false, true} {
				name := c.name + "/data"
				if onESP {
					name = c.name + "/esp"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r, err := newSweepRun(rig, c, onESP)
					if err != nil {
						t.Fatal(err)
					}
					defer r.base.drop()
					r.sweepVerbs(t, tally)
				})
			}
		}
	})
	t.Log(tally)
	if tally.points < sweepMinimum && !t.Failed() && !sweepFiltered() {
		t.Errorf("the sweep shrank: %d cut points, want %d at least", tally.points, sweepMinimum)
	}
}

// sweepMinimum is a little below what there were when this was written.
const sweepMinimum = 1500

// sweepFiltered says that only some cases were asked for.
func sweepFiltered() bool { return strings.Contains(flag.Lookup("test.run").Value.String(), "/") }

// run calls verbs one after the other.
func (d *sweepDevice) run(verbs ...sweepVerb) error {
	for i, v := range verbs {
		c, m := d.control(nil)
		if err := v(context.Background(), d, c, m); err != nil {
			return fmt.Errorf("verb %d: %w", i+1, err)
		}
	}
	return nil
}
