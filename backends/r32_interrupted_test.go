package backends_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// r32Interrupted stages firmware and takes the verb's time away before the n-th call of NVIDIA's programs, as a signal does.
func r32Interrupted(n int) r32Verb {
	return func(ctx context.Context, d *r32Device, c *backends.Control, _ *device.Machine) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		seen := 0
		d.watch = func(string) {
			if seen++; seen == n {
				cancel()
			}
		}
		_, err := c.Stage(ctx, "u", bytes.NewReader(d.payload), false)
		return err
	}
}

// A signal anywhere in an install (an orderly reboot sends one) leaves the running slot selected, and the other one no way back as long
// as anything of it is half written.
func TestR32SignalNeverLeavesTheTargetSelected(t *testing.T) {
	base := newR32Rule(t)
	base.must(t, r32Install("u", "APP", "one"))
	probe, err := base.clone()
	ruleMust(t, err)
	ruleMust(t, probe.do(nil, r32Stage("u")))
	calls := len(probe.calls)
	if calls < 12 {
		t.Fatalf("only %d calls: %q", calls, probe.calls)
	}
	for n := 1; n <= calls; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			d, err := base.clone()
			ruleMust(t, err)
			stageErr := d.do(nil, r32Interrupted(n))
			d.watch = nil
			if next := d.nextBoot(); next != backends.A {
				t.Fatalf("slot %s boots next (%v); calls %q", next, stageErr, d.calls)
			}
			if stageErr == nil {
				return // the last calls: what was to be done was done
			}
			changed := d.fault.Count() > 0 // else it was refused, and the image stays staged
			if st := d.mustStatus(t); *st.Slots[backends.B].Bootable || changed && st.Update.State != backends.Failed {
				t.Errorf("B bootable %t, update %s (%v)", *st.Slots[backends.B].Bootable, st.Update.State, stageErr)
			}
			d.cured(t)
		})
	}
}

// A process that is killed in the window leaves the target selected. Whatever is called next in that boot takes it back: nobody is told
// to reboot into it.
func TestR32SwitchOfAKilledInstallIsTakenBack(t *testing.T) {
	for name, next := range map[string]r32Verb{
		"the same install again": r32Stage("u"),
		"another one":            r32Stage("v"),
		"abort":                  r32Abort,
		"abort twice":            r32All(r32Abort, r32Abort),
		"a root file system":     r32Install("v", "APP", "two"),
	} {
		for _, torn := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, torn %t", name, torn), func(t *testing.T) {
				t.Parallel()
				d := newR32Rule(t)
				if torn {
					d.must(t, r32CutOff(r32Install("u", "APP", "two"), 3))
				}
				d.inWindow(t)
				if st := d.mustStatus(t); st.Slots[backends.B].Bootable != nil && *st.Slots[backends.B].Bootable {
					t.Error("status calls B bootable")
				}
				for _, p := range d.mustStatus(t).Problems {
					if strings.Contains(p.NextStep, "reboot to let it happen") {
						t.Errorf("%s: %s", p.Reason, p.NextStep)
					}
				}
				d.must(t, next)
				if slot := d.nextBoot(); slot != backends.A {
					t.Fatalf("slot %s boots next", slot)
				}
				if !d.isUnbootable(backends.B) {
					t.Errorf("B is a way back: %s", d.slot(backends.B))
				}
				d.arrive(t, backends.A)
				d.cured(t)
			})
		}
	}
}
