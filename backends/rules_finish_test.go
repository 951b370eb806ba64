package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// finish is RAUC's post-install handler where activate-installed=false: all went well, and no set-primary came.
func (d *ruleDevice) finish() {
	d.t.Helper()
	_, c := d.control()
	ruleMust(d.t, c.FinishOutside(context.Background(), ruleRAUC))
}

// What RAUC has written and was not to switch to is whole and not bootable; somebody makes it the primary one, before a reboot
// with its firmware, or after one.
func TestFinishedAndActivatedLater(t *testing.T) {
	for name, reboot := range map[string]bool{"before a reboot": false, "after a reboot": true} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.raucInstalls("new", "")
			d.finish()
			d.wantMarks(ruleBootable, ruleUnbootable)
			if d.primary() != backends.A || d.good(backends.B) {
				t.Errorf("primary %s, B good %t; want A, bad", d.primary(), d.good(backends.B))
			}
			if reboot {
				d.boot(virtual.BootOptions{})
				d.wantBoot(backends.A, true, false)
				if u := d.status().Update; u.State != backends.Failed || !strings.Contains(u.Reason, "written and not made the primary one") {
					t.Errorf("update %s: %s", u.State, u.Reason)
				}
			}
			_, err := d.markActive(backends.B)
			ruleMust(t, err)
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.B, true, false)
		})
	}
}

// Finished means nothing for an update of another, or for none.
func TestFinishWithoutAnUpdateOfItsOwn(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	before := d.snapshot()
	d.finish()
	d.wantSame(before)
	ruleMust(t, d.write("APP", "swupdate"))
	before = d.snapshot()
	d.finish()
	d.wantSame(before)
}

// A bundle with a handler of its own does all by itself; RAUC's post-install handler finds its firmware activated.
func TestFirmwareThatAnotherActivated(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.commit())
	d.activated("36.4.3")
	if _, done, err := d.activateFirmware(); done || err != nil {
		t.Errorf("done %t, %v; want nothing, and no failure", done, err)
	}
}

// With the root file system pinned to A no call makes B the primary slot, whichever chain runs.
func TestSetPrimaryWithAPinnedRoot(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.BootOnly })
	ruleMust(t, d.commit())
	for _, chain := range backends.Slots {
		_, err := d.setPrimary(backends.B)
		ruleRefused(t, err, fail.Unavailable, "RootfsRedundancyLevel is 0")
		_, err = d.setPrimary(backends.A)
		ruleMust(t, err)
		if d.primary() != backends.A {
			t.Errorf("chain %s: primary %q", chain, d.primary())
		}
		if chain == backends.A {
			_, err := d.stage("36.4.3", ruleRAUC)
			ruleMust(t, err)
			_, _, err = d.activateFirmware()
			ruleMust(t, err)
			d.boot(virtual.BootOptions{})
			d.wantBoot(backends.B, true, false)
		}
	}
}
