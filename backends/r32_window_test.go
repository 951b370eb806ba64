package backends_test

import (
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// inWindow cuts the staging of firmware where nv_update_engine has ended and its switch is not taken back yet: the one window that
// cannot be closed from Linux.
func (d *r32Device) inWindow(t *testing.T) {
	t.Helper()
	probe, err := d.clone()
	ruleMust(t, err)
	ruleMust(t, probe.do(nil, r32Stage("u")))
	at := 0
	for i, c := range probe.calls {
		if strings.Contains(c, "set-active-boot-slot 0") {
			at = 1 + probe.marks[i]
			break
		}
	}
	f := &device.Fault{CutAt: at}
	if err := d.do(f, r32Stage("u")); err == nil || !f.WasCut() || d.nextBoot() != backends.B {
		t.Fatalf("slot %s boots next: %v", d.nextBoot(), err)
	}
}

// A cut in the window boots the target, whose chain the engine wrote completely. What becomes of it depends on its root file system.
func TestR32CutBeforeTheEnginesSwitchIsTakenBack(t *testing.T) {
	torn := r32CutOff(r32Install("v", "APP", "two"), 3)
	for name, tt := range map[string]struct {
		prepare []r32Verb
		slot    backends.Slot // ends up there, committed
	}{
		"the root file system is whole":             {nil, backends.A},
		"it came with the update, not activated":    {[]r32Verb{r32Install("u", "APP", "one")}, backends.A},
		"it is half written from an earlier update": {[]r32Verb{torn}, backends.A},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t)
			d.must(t, tt.prepare...)
			d.inWindow(t)
			e, err := d.clone()
			ruleMust(t, err)
			b, trace, err := d.settle(true, func(r virtual.BootReport) error { return nil })
			if err != nil || b.Slot != tt.slot || !b.Committed {
				t.Fatalf("slot %s, committed %t: %v\n%s", b.Slot, b.Committed, err, strings.Join(trace, "\n"))
			}
			if !strings.Contains(strings.Join(trace, "\n"), "userspace on slot B") {
				t.Errorf("B did not run: %q", trace)
			}
			if tt.slot == backends.A && (d.mark(backends.B) != "dirty" || !d.isUnbootable(backends.B)) {
				t.Errorf("B is %q in the journal, %s in the metadata", d.mark(backends.B), d.slot(backends.B))
			}
			ruleMust(t, d.again())
			// If the kernels die there, MB1 goes back by itself: the old slot stays a way back throughout.
			for i := 1; i <= 7; i++ {
				if r, err := e.boot(virtual.BootOptions{Fail: virtual.FailKernel}); err != nil || r.Rootfs != virtual.B {
					t.Fatalf("boot %d: %s (%v)", i, r.Rootfs, err)
				}
			}
			e.arrive(t, backends.A)
			e.wantSlots(t, r32Running, "14 0 false") // no retries left, which says the same
			e.cured(t)
		})
	}
}
