package backends_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Abort gives an activated update up, and the target is a way back again only if it holds what it held.
func TestR32AbortTakesTheSwitchBack(t *testing.T) {
	for name, tt := range map[string]struct {
		install []r32Verb
		b       string
	}{
		"firmware alone":  {[]r32Verb{r32Stage("u"), r32Activate(backends.None)}, r32Refilled},
		"firmware staged": {[]r32Verb{r32Stage("u")}, r32Refilled},
		"a root, staged":  {r32Full, r32Unbootable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t)
			d.must(t, tt.install...)
			d.must(t, r32Abort)
			d.wantSlots(t, r32Running, tt.b)
			if st := d.mustStatus(t); st.Update.State != backends.Failed || *st.Next != backends.A {
				t.Errorf("update %s, next %s", st.Update.State, *st.Next)
			}
			d.arrive(t, backends.A)
			d.cured(t)
		})
	}
}

// MB1 gives a slot seven boots. After as many dead kernels, also over power-offs, the old slot runs, and the verdict says so.
func TestR32FirmwareFallsBackAfterSevenDyingKernels(t *testing.T) {
	for _, module := range r32Modules {
		for _, cold := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cold %t", module, cold), func(t *testing.T) {
				t.Parallel()
				d := newR32Rule(t, r32Of(module))
				d.activated(t)
				for i := 1; i <= 7; i++ {
					r, err := d.boot(virtual.BootOptions{Cold: cold, Fail: virtual.FailKernel})
					ruleMust(t, err)
					if r.Outcome != virtual.OutcomeKernelFailed || r.Rootfs != virtual.B {
						t.Fatalf("boot %d: %s on %s: %q", i, r.Outcome, r.Rootfs, r.Timeline)
					}
				}
				d.arrive(t, backends.A)
				st := d.mustStatus(t)
				if st.Verdict.Outcome != backends.FellBack || st.Update.State != backends.RolledBack || !strings.Contains(st.Verdict.Reason, "retries") {
					t.Errorf("update %s, verdict %s: %s", st.Update.State, st.Verdict.Outcome, st.Verdict.Reason)
				}
				d.cured(t)
			})
		}
	}
}

// Boots that are counted and never accepted end after the configured tries, before MB1's seven.
func TestR32UserspaceThatHangsIsGivenUpAfterTheTries(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t)
	d.activated(t)
	boots := 0
	for reboot := false; !reboot; boots++ {
		r, err := d.boot(virtual.BootOptions{Cold: boots%2 == 0, Fail: virtual.FailUserspace})
		ruleMust(t, err)
		if r.Outcome != virtual.OutcomeUserspaceHung || r.Rootfs != virtual.B || boots > 4 {
			t.Fatalf("boot %d: %s on %s", boots, r.Outcome, r.Rootfs)
		}
		d.must(t, r32Count)
		reboot = d.last.Reboot
	}
	if boots != 4 {
		t.Errorf("given up in boot %d, want 4", boots)
	}
	d.arrive(t, backends.A)
	d.wantSlots(t, r32Running, r32Unbootable)
}

// The running slot cannot be written, and a second install beside a trial is refused.
func TestR32TrialIsNotOverwritten(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t)
	d.activated(t)
	_, err := d.boot(virtual.BootOptions{})
	ruleMust(t, err)
	d.must(t, r32Count)
	for _, v := range []r32Verb{r32Stage("v"), r32Install("v", "APP", "two")} {
		if err := d.do(nil, v); fail.CodeOf(err) != fail.Busy {
			t.Errorf("%v, want exit %d", err, fail.Busy)
		}
		if n := d.fault.Count(); n != 0 {
			t.Errorf("the refusal changed something: %q", d.fault.Changes())
		}
	}
	err = d.do(&device.Fault{}, func(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
		return c.Abort(ctx)
	})
	if fail.CodeOf(err) != fail.Busy || errors.Is(err, device.ErrPowerCut) {
		t.Errorf("abort: %v", err)
	}
}
