package backends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// walk is one random life of a device: updates, failures, power cuts, a person's commands, reboots.
type walk struct {
	t       *rapid.T
	d       *sweepDevice
	running backends.Slot // whose root file system runs
	content string        // what it is
	died    bool          // firmware, kernel or userspace died since the last good boot
	window  bool          // the power was cut in the firmware, and boot-verify did not run since
	stuck   bool          // the device is in recovery because kernels died, or by order; a person is needed
	ordered bool          // RAUC marked the slot bad that runs: both may be unbootable until the next good boot
}

// named is a verb with the words that the log shows.
type named struct {
	words string
	verb  sweepVerb
}

func drawVerb(t *rapid.T) named {
	id := rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "id")
	unconfirmed := rapid.Bool().Draw(t, "unconfirmed")
	image := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "image")
	slot := rapid.SampledFrom([]backends.Slot{backends.None, backends.None, backends.None, backends.A, backends.B}).Draw(t, "slot")
	unsigned := rapid.IntRange(0, 4).Draw(t, "unsigned") == 0
	verbs := []named{
		{fmt.Sprintf("install APP %s, id %q, unconfirmed %v", image, id, unconfirmed), sweepInstall(id, "APP", image, unconfirmed)},
		{fmt.Sprintf("install APP %s, id %q", image, id), sweepInstall(id, "APP", image, false)},
		{fmt.Sprintf("install kernel, id %q", id), sweepInstall(id, "kernel", image, false)},
		{fmt.Sprintf("stage, id %q, unsigned %v", id, unsigned), sweepStage(id, unsigned)},
		{fmt.Sprintf("activate %q, id %q", slot, id), sweepActivate(id, slot)},
		{fmt.Sprintf("activate %q", slot), sweepActivate("", slot)},
		{fmt.Sprintf("update with %s and firmware, id %q", image, id), together(sweepInstall(id, "APP", image, false), sweepStage(id, unsigned), sweepActivate(id, backends.None))},
		{fmt.Sprintf("update with %s, id %q", image, id), together(sweepInstall(id, "APP", image, false), sweepActivate(id, backends.None))},
		{fmt.Sprintf("update with firmware, id %q", id), together(sweepStage(id, unsigned), sweepActivate(id, backends.None))},
		{fmt.Sprintf("confirm APP, id %q", id), sweepConfirm(id, "APP")},
		{"abort", sweepAbort},
		{"commit", sweepCommit},
		{"rollback", sweepRollback},
		{fmt.Sprintf("mark bad %q", slot), sweepMarkBad(slot)},
		{"refill", sweepRefill},
		{"count", sweepCount},
		{"verify", sweepVerify},
		outsideVerb(t, image),
		outsideVerb(t, image),
		outsideVerb(t, image),
		{"health fails from now on", healthFails},
		{"health is good from now on", func(_ context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
			return healthy(d)
		}},
	}
	return rapid.SampledFrom(verbs).Draw(t, "verb")
}

// together calls verbs until one fails.
func together(verbs ...sweepVerb) sweepVerb {
	return func(ctx context.Context, d *sweepDevice, c *backends.Control, m *device.Machine) error {
		for _, v := range verbs {
			if err := v(ctx, d, c, m); err != nil {
				return err
			}
		}
		return nil
	}
}

func (n named) String() string { return n.words }

// call runs a verb, perhaps with a failing change or a power cut in it.
func (w *walk) call() {
	v := drawVerb(w.t)
	if v.words == `mark bad ""` {
		return
	}
	f := &device.Fault{}
	switch rapid.SampledFrom([]string{"good", "good", "fails", "cut"}).Draw(w.t, "fault") {
	case "fails":
		f.FailAt = rapid.IntRange(1, 40).Draw(w.t, "fail at")
	case "cut":
		f.CutAt = rapid.IntRange(1, 40).Draw(w.t, "cut at")
		f.Loss = rapid.SampledFrom(device.Losses).Draw(w.t, "loss")
	}
	w.ordered = w.ordered || v.words == orderedBad
	err := w.d.do(f, v.verb)
	changes := f.Changes()
	switch {
	case f.WasCut():
		w.t.Logf("%s: cut before change %d (%s), %s", v, f.CutAt, changes[len(changes)-1], f.Loss)
	case f.FailAt > 0 && f.FailAt <= len(changes):
		w.t.Logf("%s: change %d fails (%s): %v", v, f.FailAt, changes[f.FailAt-1], err)
	default:
		w.t.Logf("%s: %v", v, err)
	}
	if errors.Is(err, device.ErrPowerCut) && !f.WasCut() {
		w.t.Fatal("power cut without a cut")
	}
	w.check()
	if f.WasCut() {
		w.boot(rapid.Bool().Draw(w.t, "cold after the cut"))
	}
}

func (w *walk) check() {
	if err := w.d.inspect(true); err != nil && !w.asOrdered(err) {
		w.t.Fatal(err)
	}
	w.remembered()
	got, err := w.d.root(w.running)
	if err != nil || got != w.content {
		w.t.Fatalf("the running root file system of slot %s became %q, was %q (%v)", w.running, got, w.content, err)
	}
}

// boot is one attempt, perhaps with a failure or a cut in it, and what userspace does in it.
func (w *walk) boot(cold bool) {
	o := virtual.BootOptions{Cold: cold}
	switch rapid.SampledFrom([]string{"good", "good", "good", "fail", "cut"}).Draw(w.t, "boot") {
	case "fail":
		o.Fail = rapid.SampledFrom([]virtual.Failure{virtual.FailFirmware, virtual.FailKernel, virtual.FailUserspace}).Draw(w.t, "failure")
		w.died = true
	case "cut":
		o.CutAt = rapid.IntRange(1, 90).Draw(w.t, "cut at write")
		o.AfterCut = rapid.SampledFrom([]virtual.AfterCut{virtual.AfterCutRetry, virtual.AfterCutFlagCleared, virtual.AfterCutBothCleared}).Draw(w.t, "after the cut")
	}
	for {
		again := w.attempt(o)
		if !again {
			return
		}
		o = virtual.BootOptions{}
	}
}

// attempt reports whether the device boots once more by itself.
func (w *walk) attempt(o virtual.BootOptions) bool {
	r, err := w.d.boot(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("boot, cold %v, fail %q, cut %d %s: %s on %s: %s", o.Cold, o.Fail, o.CutAt, o.AfterCut, r.Outcome, r.Rootfs, strings.Join(r.Timeline[:min(len(r.Timeline), 14)], "; "))
	if err := w.d.started(r); err != nil && !w.unavoidable(err) {
		w.t.Fatal(err)
	}
	switch r.Outcome {
	case virtual.OutcomePowerCut:
		w.window = true
		return true
	case virtual.OutcomeKernelFailed:
		w.died = true
		return true
	case virtual.OutcomeUserspaceHung:
		w.died = true
		w.runs(r)
		c, _ := w.d.control(nil)
		b, err := c.CountBoot(context.Background())
		w.t.Logf("count: boots %d, reboot %v, %s (%v)", b.Boots, b.Reboot, b.Message, err)
		w.check()
		return true
	case virtual.OutcomeRunning:
		w.runs(r)
		return w.userspace()
	}
	if !w.died && !w.ordered {
		w.t.Fatalf("the device ended in %s, and nothing died", r.Outcome)
	}
	w.stuck = true
	return false
}

// unavoidable says that nobody could have kept something half written from booting: boot-verify had no chance since the
// firmware was cut, or the running firmware died on a device whose launcher knows no unbootable slots.
func (w *walk) unavoidable(err error) bool {
	return w.window && strings.Contains(err.Error(), "half-written chain") || w.died && w.d.redundancy == virtual.NoVariables
}

func (w *walk) runs(r virtual.BootReport) {
	w.running = backendsSlot(r.Rootfs)
	var err error
	if w.content, err = w.d.root(w.running); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walk) userspace() bool {
	if rapid.IntRange(0, 5).Draw(w.t, "services") == 0 {
		w.t.Log("neither count nor verify runs in this boot")
		w.died = true // for the retry counts it is the same
		return false
	}
	b, err := w.d.userspace()
	w.t.Logf("userspace: state %s, verdict %s, committed %v, reboot %v: %s", b.State, b.Verdict.Outcome, b.Committed, b.Reboot, b.Message)
	if err != nil {
		w.t.Fatal(err)
	}
	w.check()
	w.window = false
	if b.Committed {
		w.died, w.ordered = false, false
	}
	return b.Reboot
}

// TestRandomWalks takes devices through random lives. At the end of each, an update works, unless kernels that die left
// nothing that boots.
func TestRandomWalks(t *testing.T) {
	rig := newSweepRig(t)
	rapid.Check(t, func(t *rapid.T) {
		redundancy := rapid.SampledFrom([]virtual.Redundancy{virtual.RootfsAB, virtual.RootfsAB, virtual.RootfsAB, virtual.BootOnly, virtual.NoVariables}).Draw(t, "redundancy")
		d, err := rig.used(redundancy, rapid.Bool().Draw(t, "journal on the ESP"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.drop()
		w := &walk{t: t, d: d, running: backends.A, content: "factory-a"}
		for i, n := 0, rapid.IntRange(1, 14).Draw(t, "steps"); i < n && !w.stuck; i++ {
			if rapid.IntRange(0, 2).Draw(t, "step") == 0 {
				w.boot(rapid.Bool().Draw(t, "cold"))
			} else {
				w.call()
			}
		}
		if w.stuck {
			return
		}
		if err := healthy(d); err != nil {
			t.Fatal(err)
		}
		// A slot that was never activated, and that the firmware had to start all the same, is not accepted; an update is its cure.
		_, trace, err := d.settle(true)
		t.Log(strings.Join(trace, "; "))
		if err != nil && (w.unavoidable(err) || w.ordered && strings.Contains(err.Error(), "Linux does not run: recovery")) {
			return
		}
		if err != nil && !errors.Is(err, errUncommitted) {
			t.Fatalf("at the end: %v", err)
		}
		if err := errors.Join(d.inspect(true), d.protected()); err != nil {
			t.Fatal(err)
		}
		if err := d.again(); err != nil {
			t.Fatal(err)
		}
	})
}
