package backends_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"testing"

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
	tally.publish(t)
	if tally.points < sweepMinimum && !t.Failed() && !sweepFiltered() {
		t.Errorf("the sweep shrank: %d cut points, want %d at least", tally.points, sweepMinimum)
	}
}

// sweepMinimum is a little below what there were when this was written.
const sweepMinimum = 2300

// sweepFiltered says that only some cases were asked for.
func sweepFiltered() bool { return strings.Contains(flag.Lookup("test.run").Value.String(), "/") }
