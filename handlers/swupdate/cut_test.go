package swupdate_test

import (
	"testing"
)

// phases of the firmware's work, in its order: each is cut at its first write.
var phases = []string{
	"variable:OsIndications", "capsule-gpt-invalidate", "capsule-mb1-invalidate", "capsule-image:mb2", "capsule-mb1", "capsule-gpt",
	"capsule-verify", "bct-switch", "esrt", "capsule-remove",
}

// TestCapsuleCut cuts the power once in every phase of the firmware's capsule update, for each way the firmware may leave
// the capsule behind, and then updates again. Every single write is swept in process, in package backends.
func TestCapsuleCut(t *testing.T) {
	for _, phase := range phases {
		for _, after := range []string{"retry", "flag-cleared", "both-cleared"} {
			t.Run(phase+" "+after, func(t *testing.T) {
				parallel(t)
				o, b := installed(t)
				o.mustNotBoot(t, "--cut-phase", phase, "--after-cut", after)
				o.untouched(t, b)

				// Power comes back. The firmware may try the capsule again, or not; an old slot with a half-written other one must not fall back to it.
				up, timeline := o.boot(t, "--cold")
				if !up {
					t.Fatalf("the device does not come up after a cut:\n%s", timeline)
				}
				s := o.status(t)
				if s.Current == b.slot && s.Slots[other(b.slot)].FirmwareDirty {
					o.cannotBoot(t, other(b.slot))
				}
				o.untouched(t, b)
				if !o.committed() {
					t.Errorf("slot %s is not committed: %s", s.Current, o.verdict())
				}
				if s.Current == other(b.slot) && s.Update.State != "committed" {
					t.Errorf("slot %s runs and the update is %q: %s", s.Current, s.Update.State, o.verdict())
				}
				if s.Current == b.slot && s.Update.State != "failed" {
					t.Errorf("slot %s runs and the update is %q: %s", s.Current, s.Update.State, o.verdict())
				}
				o.updates(t)
			})
		}
	}
}

// TestFirmwareFails: the new chain's firmware does not start.
func TestFirmwareFails(t *testing.T) {
	parallel(t)
	o, b := installed(t)
	up, timeline := o.boot(t, "--fail", "firmware")
	for i := 0; !up && i < tries+1; i++ {
		up, timeline = o.boot(t)
	}
	if !up {
		t.Fatalf("the device does not come up:\n%s", timeline)
	}
	if s := o.status(t); s.Current != b.slot {
		t.Fatalf("slot %s runs, want %s:\n%s", s.Current, b.slot, timeline)
	}
	o.untouched(t, b)
	o.updates(t)
}
