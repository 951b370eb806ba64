package backends_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// nvbootctrl that does not answer at all is an error with a next step in each verb, changes nothing by itself, and is over with its
// cause.
func TestR32NVBootctrlWithoutAnAnswerIsAnErrorWithANextStep(t *testing.T) {
	for _, failure := range []virtual.NVBootctrlFailure{virtual.NVMemoryMap, virtual.NVNoEfivarfs, virtual.NVCrash, virtual.NVHang} {
		t.Run(string(failure), func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t)
			d.must(t, r32Full...)
			d.programs.Failure, d.patience = failure, 100*time.Millisecond
			a, b := d.slot(backends.A), d.slot(backends.B)
			for name, v := range map[string]r32Verb{
				"install": r32Install("v", "APP", "two"), "stage": r32Stage("u"), "activate": r32Activate(backends.None), "commit": r32Commit,
				"rollback": r32Rollback, "abort": r32Abort, "count": r32Count, "verify": r32Verify,
			} {
				err := d.do(nil, v)
				if err == nil || fail.NextOf(err) == "" || !strings.Contains(err.Error(), "nvbootctrl") {
					t.Errorf("%s: %v; next step %q", name, err, fail.NextOf(err))
				}
				if n := d.fault.Count(); n > 0 {
					t.Errorf("%s changed something: %q", name, d.fault.Changes())
				}
			}
			if _, err := d.status(); err == nil || fail.NextOf(err) == "" {
				t.Errorf("status: %v; next step %q", err, fail.NextOf(err))
			}
			d.programs.Failure, d.patience = "", 0
			d.wantSlots(t, a, b)
			d.must(t, r32Activate(backends.None))
			d.arrive(t, backends.B)
		})
	}
}

// Status needs nothing but complete output, whatever the exit code, and the metadata itself where the program is missing.
func TestR32StatusAnswersWherePossible(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t)
	d.must(t, r32Full...)
	want := d.mustStatus(t)
	same := func(what string) {
		t.Helper()
		st, err := d.status()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, s := range backends.Slots {
			if got, w := st.Slots[s], want.Slots[s]; *st.Current != *want.Current || *st.Next != *want.Next || *got.Bootable != *w.Bootable || *got.Retries != *w.Retries || got.Rootfs != w.Rootfs {
				t.Errorf("%s: slot %s: bootable %t, retries %d, %s", what, s, *got.Bootable, *got.Retries, got.Rootfs)
			}
		}
	}
	for _, failure := range []virtual.NVBootctrlFailure{virtual.NVSilent, virtual.NVSilentRootfs} {
		d.programs.Failure = failure
		same(string(failure))
	}
	d.programs.Failure = ""
	ruleDevice := &ruleDevice{Orin: d.Orin, t: t}
	ruleDevice.remove("usr/sbin/nvbootctrl")
	same("missing")
	r32Refused(t, d.do(nil, r32Activate(backends.None)), "nvbootctrl")
}

// r32Failing are the verbs whose calls of nvbootctrl fail one at a time, and what leads to them.
func r32Failing() []r32Case {
	up := r32Reboot(virtual.BootOptions{}, virtual.OutcomeRunning)
	full := append(append([]r32Verb{}, r32Full...), r32Activate(backends.None))
	trial := append(append([]r32Verb{}, full...), up, r32Count)
	return []r32Case{
		{name: "install", verb: r32Install("u", "APP", "one")},
		{name: "stage", verb: r32Stage("u")},
		{name: "activate", prepare: r32Full, verb: r32Activate(backends.None)},
		{name: "activate firmware alone", prepare: []r32Verb{r32Stage("u")}, verb: r32Activate(backends.None)},
		{name: "activate by hand", verb: r32Activate(backends.B)},
		{name: "abort", prepare: full, verb: r32Abort},
		{name: "commit", prepare: trial, verb: r32Commit},
		{name: "rollback", prepare: trial, verb: r32Rollback},
		{name: "count", prepare: append(append([]r32Verb{}, full...), up), verb: r32Count},
		{name: "verify", prepare: trial, verb: r32Verify},
	}
}

// Each call of nvbootctrl in each verb fails in each way. The verb may get over it, or else says what to do; and then the device comes up
// with what is whole, an update that was not activated is not on trial, and the same update again succeeds.
func TestR32NVBootctrlFailsInTheMiddle(t *testing.T) {
	rig := newR32Rig(t)
	total := 0
	t.Run("group", func(t *testing.T) {
		for _, c := range r32Failing() {
			base, err := rig.prepared(c)
			ruleMust(t, err)
			probe, err := base.clone()
			ruleMust(t, err)
			ruleMust(t, probe.do(nil, c.verb))
			calls := probe.calls
			total += len(calls)
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				run := &r32Run{rig: rig, c: c, base: base}
				ruleMust(t, run.begin())
				for n, call := range calls {
					for _, failure := range []virtual.NVBootctrlFailure{virtual.NVCrash, virtual.NVCrashAfter, virtual.NVExit1, virtual.NVNoDevMem, virtual.NVSilent, virtual.NVMemoryMap} {
						if !strings.HasPrefix(call, "nvbootctrl") {
							continue
						}
						if err := run.failing(n, failure); err != nil {
							t.Errorf("call %d (%s) fails by %s: %v", n, call, failure, err)
						}
					}
				}
			})
		}
	})
	if total < 100 {
		t.Errorf("%d calls of nvbootctrl: the verbs are not what they were", total)
	}
	t.Logf("%d calls", total)
}

// r32Wordless are errors without a next step: what was read back denies what the program said, and a dump that ends half-way.
var r32Wordless = regexp.MustCompile("read back|cannot understand the slots")

// failing lets one call fail.
func (r *r32Run) failing(n int, failure virtual.NVBootctrlFailure) error {
	d, err := r.base.clone()
	if err != nil {
		return err
	}
	defer d.drop()
	d.fails = func(at int, _ string) virtual.NVBootctrlFailure {
		if at == n {
			return failure
		}
		return ""
	}
	verbErr := d.do(nil, r.c.verb)
	d.fails = nil
	if verbErr != nil && fail.NextOf(verbErr) == "" && !r32Wordless.MatchString(verbErr.Error()) {
		return fmt.Errorf("no next step: %w", verbErr)
	}
	st, err := d.status()
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	// An abort that failed may be repeated: the running slot boots next then, and the journal does not know yet.
	activated := st.Update.State == backends.Activated
	if verbErr != nil && r.old == backends.A && (activated != (d.nextBoot() == backends.B)) && !(activated && r.c.name == "abort") {
		return fmt.Errorf("update %s, and slot %s boots next, after: %w", st.Update.State, d.nextBoot(), verbErr)
	}
	if isNew, err := r.fresh(d, "failed"); err != nil || !isNew {
		return err
	}
	if err := r.judge(d, false); err != nil {
		return fmt.Errorf("after %q (%v): %w", d.calls, verbErr, err)
	}
	return nil
}
