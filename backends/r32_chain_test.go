package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// chainOnly is a device whose slot metadata makes the boot chain redundant, and neither kernel nor root file system.
func chainOnly(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly }

// Where cboot loads the same root file system whichever chain runs, an image would be rolled back at each boot: it is refused, and check
// says so before.
func TestR32ImagesAreRefusedWhereOnlyTheChainIsRedundant(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t, chainOnly)
	err := d.do(nil, r32Install("u", "APP", "one"))
	if fail.CodeOf(err) != fail.Unavailable || !strings.Contains(err.Error(), "only the boot chain") {
		t.Errorf("an image: %v", err)
	}
	if n := d.fault.Count(); n != 0 {
		t.Errorf("the refusal changed something: %q", d.fault.Changes())
	}
	found := false
	ruleMust(t, d.do(nil, func(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
		problems, err := c.Check(ctx, backends.Scope{})
		for _, p := range problems {
			found = found || p.Severity == backends.SeverityError && strings.Contains(p.Reason, "only the boot chain")
		}
		return err
	}))
	if !found {
		t.Error("check finds nothing")
	}
	ruleMust(t, d.do(nil, func(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) error {
		problems, err := c.Check(ctx, backends.Scope{FirmwareOnly: true})
		for _, p := range problems {
			if p.Severity == backends.SeverityError {
				t.Errorf("firmware alone: %s", p.Reason)
			}
		}
		return err
	}))
}

// Firmware alone is installed there: the chain switches, the root file system stays, and chains are marked as everywhere.
func TestR32FirmwareAloneWhereOnlyTheChainIsRedundant(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t, chainOnly)
	d.must(t, r32Stage("u"))
	if !d.isUnbootable(backends.B) {
		t.Errorf("B is a way back before it is activated: %s", d.slot(backends.B))
	}
	d.must(t, r32Activate(backends.None))
	for boot := 1; boot <= 6; boot++ { // cboot would take back what nobody confirms
		r, err := d.boot(virtual.BootOptions{})
		ruleMust(t, err)
		b, err := d.userspace()
		if err != nil || !b.Committed || b.Slot != backends.B || r.Rootfs != virtual.A {
			t.Fatalf("boot %d: chain %s, root file system %s, committed %t (%s): %v", boot, b.Slot, r.Rootfs, b.Committed, b.Message, err)
		}
	}
	if st := d.mustStatus(t); st.Update.State != backends.Committed || *st.Redundancy != 0 {
		t.Errorf("%s, redundancy %d", st.Update.State, *st.Redundancy)
	}
	// A dirty chain is no way back, pinned or not.
	d.programs.EngineFailure = virtual.UpdateEngineFailures[0]
	if err := d.do(nil, r32Stage("v")); err == nil {
		t.Fatal("it did not fail")
	}
	if !d.isUnbootable(backends.A) {
		t.Errorf("A is a way back: %s", d.slot(backends.A))
	}
	d.programs = virtual.ProgramOptions{}
	d.must(t, r32Stage("v"), r32Activate(backends.None))
	d.arrive(t, backends.A)
}

// Without /dev/mem nvbootctrl ends with exit 1 after it has said and done everything (orb-software): an update goes through.
func TestR32WithoutDevMem(t *testing.T) {
	for name, redundancy := range map[string]virtual.Redundancy{"unified": virtual.RootfsAB, "separate views": virtual.RootfsOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, func(o *virtual.CreateOptions) { o.Redundancy = redundancy })
			d.programs.Failure = virtual.NVNoDevMem
			d.must(t, r32Full...)
			d.must(t, r32Activate(backends.None))
			d.arrive(t, backends.B)
			if st := d.mustStatus(t); st.Update.State != backends.Committed {
				t.Errorf("%s: %s", st.Update.State, st.Update.Reason)
			}
		})
	}
}
