package backends_test

import (
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// r32Rig holds what every device of one test shares.
type r32Rig struct {
	temp   string
	images map[string][]byte

	mu   sync.Mutex
	seen map[sweepKey]bool
}

func newR32Rig(t *testing.T) *r32Rig {
	t.Helper()
	r := &r32Rig{temp: r32Temp(t), images: map[string][]byte{}, seen: map[sweepKey]bool{}}
	for i, name := range []string{"factory-a", "factory-b", "one", "two", "again"} {
		r.images[name] = make([]byte, sweepAppSize)
		_, _ = rand.New(rand.NewSource(int64(i + 1))).Read(r.images[name])
	}
	return r
}

// r32Case is one call whose every change is cut, or whose every call of nvbootctrl fails.
type r32Case struct {
	name    string
	device  virtual.CreateOptions
	torn    bool      // root file systems are so large that a cut can leave half of one
	virgin  bool      // tegra-ota never ran: a cut of the journal's first write leaves none
	prepare []r32Verb // leaves the device as the verb finds it
	verb    r32Verb
	heal    func(d *r32Device) error // takes away what would make the next update fail, too
	// window is how many cuts leave the target selected by nv_update_engine itself, see TestR32PowerCutSweep.
	window int
}

// prepared is a device as the verb of a case finds it.
func (r *r32Rig) prepared(c r32Case) (*r32Device, error) {
	c.device.AppSize = 64 << 10
	if c.torn {
		c.device.AppSize = sweepAppSize
	}
	images := map[string][]byte{}
	for name, content := range r.images {
		images[name] = content[:c.device.AppSize]
	}
	d, err := newR32(r.temp, c.device, images)
	if err == nil && !c.virgin {
		_, err = d.userspace()
	}
	for i, v := range c.prepare {
		if err == nil {
			if err = d.do(nil, v); err != nil {
				err = fmt.Errorf("prepare, verb %d: %w", i+1, err)
			}
		}
	}
	return d, err
}

// r32Run judges the cuts of one case.
type r32Run struct {
	rig        *r32Rig
	c          r32Case
	base       *r32Device
	old        backends.Slot // which ran
	oldRoot    string
	windows    []int // cuts that left the target selected though nobody activated it
	seen, done int   // different devices after a cut, and after they settled
}

func (r *r32Run) begin() error {
	st, err := r.base.status()
	if err != nil {
		return err
	}
	r.old = *st.Current
	if r.oldRoot, err = r.base.root(r.old); err == nil && r.oldRoot == "" {
		err = errors.New("a torn root file system runs")
	}
	return err
}

// fresh says whether a device is judged for the first time.
func (r *r32Run) fresh(d *r32Device, judging string) (bool, error) {
	// Half-written chains are the same if MB1 cannot tell them apart: the engine writes each image anew.
	f, err := (&sweepDevice{orin: d.Orin}).fingerprint(false)
	if err != nil {
		return false, err
	}
	r.rig.mu.Lock()
	defer r.rig.mu.Unlock()
	key := sweepKey{f, fmt.Sprintf("%s %s %t %t %t %s", r.old, r.oldRoot, r.c.torn, r.c.virgin, r.c.heal != nil, judging)}
	known := r.rig.seen[key]
	r.rig.seen[key] = true
	return !known || *sweepFull, nil
}

// taken says that the target boots next though nobody activated it: nv_update_engine's own switch.
func (r *r32Run) taken(d *r32Device) (bool, error) {
	if d.nextBoot() == r.old {
		return false, nil
	}
	st, err := d.status()
	return st.Update.State == backends.Installing, err
}

// cut cuts the verb before its n-th change.
func (r *r32Run) cut(n int, loss device.Loss) (string, error) {
	d, err := r.base.clone()
	if err != nil {
		return "", err
	}
	defer d.drop()
	f := &device.Fault{CutAt: n, Loss: loss}
	verbErr := d.do(f, r.c.verb)
	changes := f.Changes()
	what := fmt.Sprintf("cut %d (%s), %s", n, changes[len(changes)-1], loss)
	if !f.WasCut() || verbErr == nil {
		return what, fmt.Errorf("the verb outlived the power: %v", verbErr)
	}
	if loss == device.KeepUnsynced {
		taken, err := r.taken(d)
		if err != nil {
			return what, err
		}
		if taken {
			r.windows = append(r.windows, n)
		}
	}
	if isNew, err := r.fresh(d, "cut"); err != nil || !isNew {
		return what, err
	}
	r.seen++
	if err := d.inspect(!r.c.virgin); err != nil {
		return what, err
	}
	for _, cold := range []bool{false, true} {
		if err := r.judge(d, cold); err != nil {
			return what, fmt.Errorf("cold %t: %w", cold, err)
		}
	}
	return what, nil
}

// sweep cuts every change.
func (r *r32Run) sweep(t *testing.T, tally *sweepTally) {
	probe, err := r.base.clone()
	ruleMust(t, err)
	defer probe.drop()
	ruleMust(t, probe.do(nil, r.c.verb))
	changes := probe.fault.Changes()
	if len(changes) == 0 {
		t.Fatal("the verb changes nothing: the case does not test what it says")
	}
	failed, losses := 0, device.Losses[:2] // the others are FAT's, and JetPack 4 has no ESP
	for n := 1; n <= len(changes); n++ {
		for _, loss := range losses {
			if what, err := r.cut(n, loss); err != nil {
				t.Errorf("%s: %v", what, err)
				if failed++; failed >= 3 {
					t.Fatal("too many failures")
				}
			}
		}
	}
	for i, n := range r.windows {
		if n != r.windows[0]+i || !strings.Contains(changes[n-1], "smd:") && !strings.Contains(changes[n-1], "/opt/ota_package") {
			t.Errorf("cut %d (%s) leaves the target selected", n, changes[n-1])
		}
	}
	if len(r.windows) != r.c.window {
		t.Errorf("%d cuts leave the target selected, want %d", len(r.windows), r.c.window)
	}
	t.Logf("%d changes, %d different devices after a cut, %d after it settled", len(changes), r.seen, r.done)
	tally.add(len(changes), len(changes)*len(losses)*2, r.seen, r.done)
}

// TestR32PowerCutSweep cuts the power before each change that each verb makes on JetPack 4 devices, those inside nvbootctrl and
// nv_update_engine included.
//
// One window cannot be closed from Linux: nv_update_engine ends by making the slot that it wrote the active one, and a cut before that
// is taken back boots the target without anybody having activated it. It opens when the engine's new metadata is what MB1 reads and
// closes when ours is: between are two writes of the metadata on eMMC, and two erasures and two writes in QSPI.
// Before R32.6 the payload's copy at the fixed path is removed in between, which makes it longer than it has to be. The chain is complete
// then, because the engine wrote all of it before. Its root file system may be torn, or not there yet: boot-verify goes back, or MB1 does
// after seven boots. r32Case.window holds the number of those cuts.
func TestR32PowerCutSweep(t *testing.T) {
	rig := newR32Rig(t)
	tally := &sweepTally{}
	t.Run("group", func(t *testing.T) {
		for _, c := range r32Cases() {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				base, err := rig.prepared(c)
				ruleMust(t, err)
				defer base.drop()
				r := &r32Run{rig: rig, c: c, base: base}
				ruleMust(t, r.begin())
				r.sweep(t, tally)
			})
		}
	})
	tally.publish(t)
	if tally.points < r32Minimum && !t.Failed() && !sweepFiltered() {
		t.Errorf("the sweep shrank: %d cut points, want %d at least", tally.points, r32Minimum)
	}
}

// r32Minimum is a little below what there were when this was written.
const r32Minimum = 1750
