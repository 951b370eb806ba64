package swupdate_test

import (
	"encoding/json"
	"strings"
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
	for _, k := range []kind{onEFI, onProgram} {
		t.Run(k.name, func(t *testing.T) { capsuleCut(t, k) })
	}
}

func capsuleCut(t *testing.T, k kind) {
	phases := phases
	if k.name != onEFI.name { // the firmware does the same; what is made of it afterwards is another backend's
		phases = []string{"capsule-image:mb2"}
	}
	for _, phase := range phases {
		for _, after := range []string{"retry", "flag-cleared", "both-cleared"} {
			t.Run(phase+" "+after, func(t *testing.T) {
				parallel(t)
				o, b := installed(t, newDevice(t, k))
				o.mustNotBoot(t, "--cut-phase", phase, "--after-cut", after)
				o.untouched(t, b)

				// Power comes back. The firmware may try the capsule again, or not.
				o.settle(t, "--cold")
				s := o.status(t)
				switch {
				case s.Current != b.slot && s.Update.State != "committed":
					t.Errorf("slot %s runs and the update is %q: %s", s.Current, s.Update.State, o.verdict())
				case s.Current == b.slot && s.Update.State != "failed" && s.Update.State != "rolled-back":
					t.Errorf("slot %s runs and the update is %q: %s", s.Current, s.Update.State, o.verdict())
				case s.Current == b.slot && s.Slots[other(b.slot)].FirmwareDirty:
					o.cannotBoot(t, other(b.slot))
				}
				if after == "retry" && (phase == "esrt" || phase == "capsule-remove") {
					// The switch had happened. The firmware finds the capsule again and applies it to the chain that is
					// not active any more, the old one: nothing that runs on the device can be asked before. What holds
					// is that it is whole.
					b = o.withoutChain(b)
				}
				o.untouched(t, b)
				o.updates(t)
			})
		}
	}
}

// settle boots until nobody asks for a reboot, and fails unless the device is committed then.
func (o *orin) settle(t *testing.T, options ...string) {
	t.Helper()
	for attempt := 0; attempt < 3; attempt++ {
		up, timeline := o.boot(t, options...)
		if !up {
			t.Fatalf("the device does not come up:\n%s", timeline)
		}
		if !o.wantsReboot(t) {
			break
		}
		options = nil
	}
	if !o.committed() {
		t.Errorf("slot %s is not committed: %s", o.status(t).Current, o.verdict())
	}
}

// wantsReboot says whether tegra-boot-verify rolled back.
func (o *orin) wantsReboot(t *testing.T) bool {
	t.Helper()
	var v struct {
		Reboot *bool `json:"reboot"`
	}
	if err := json.Unmarshal([]byte(o.verdict()), &v); err != nil || v.Reboot == nil {
		t.Fatalf("tegra-boot-verify run --json: %v: %s", err, o.verdict())
	}
	return *v.Reboot
}

// withoutChain leaves the firmware out of what must be untouched.
func (o *orin) withoutChain(b before) before {
	running := map[string]string{}
	for name, sum := range b.running {
		if !strings.HasPrefix(name, "/qspi/") {
			running[name] = sum
		}
	}
	return before{slot: b.slot, running: running, other: b.other}
}

// TestFirmwareFails: the new chain's firmware does not start.
func TestFirmwareFails(t *testing.T) {
	everywhere(t, func(t *testing.T, k kind) {
		o, b := installed(t, newDevice(t, k))
		if up, _ := o.boot(t, "--fail", "firmware"); !up {
			o.settle(t)
		}
		if s := o.status(t); s.Current != b.slot {
			t.Fatalf("slot %s runs, want %s: %s", s.Current, b.slot, o.verdict())
		}
		o.untouched(t, b)
		o.updates(t)
	})
}
