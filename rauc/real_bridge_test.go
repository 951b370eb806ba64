package rauc_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// TestBridge follows RAUC from outside, through a good update, the reboot, a failing update and RAUC's death in the middle of one:
// what an application sees on D-Bus.
func TestBridge(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	o.startBus(t)
	m := orintest.Bridge(t, o.path(libexec), o.dir, o.bus)
	m.Until("UpdateState", "idle")
	o.start(t)

	bundle, image := o.release(t)
	firmware := o.nextVersion(t)
	o.rauc(t, "install", bundle).want(t, 0)
	m.Until("Operation", "installing")
	m.Until("Operation", "idle")
	if l := m.Until("UpdateFinished", `[true,`); !strings.Contains(l.Text(), `"updater":"rauc"`) {
		t.Errorf("%s does not name the updater", l.Text())
	}
	states := []string{"idle", "installing", "staged", "activated"}
	if got := m.Values("UpdateState"); !orintest.Passes(got, states) {
		t.Errorf("the update went through %v, want %v", got, states)
	}
	if got := m.Values("Operation"); !slices.Equal(got, []string{"idle", "installing", "idle"}) {
		t.Errorf("operations %v", got)
	}
	if got := m.Values("SlotSwitched"); !slices.Equal(got, []string{`["B"]`}) {
		t.Errorf("switches %v", got)
	}
	if got := m.Percentages(); !slices.IsSorted(got) || got[0] != 0 || got[len(got)-1] != 100 || len(got) < 10 {
		t.Errorf("progress %v", got)
	}
	o.holds(t, "B", image)
	o.arrives(t, "B", firmware)
	m.Until("CurrentSlot", "B")
	m.Until("UpdateState", "committed")

	// Before the first byte: not a bundle that this device trusts.
	broken := o.tmp + "/broken.raucb"
	write(t, broken, read(t, bundle)[:4096])
	o.rauc(t, "install", broken).want(t, 1)
	m.Until("LastError", "")
	if l := m.Until("UpdateFinished", `[false,`); !strings.Contains(l.Text(), `"reason":"`) {
		t.Errorf("%s has no reason", l.Text())
	}

	// In the middle.
	bundle, _ = o.release(t)
	o.at(t, "set-state", "sleep 60")
	done := make(chan result, 1)
	go func() { done <- o.rauc(t, "install", bundle) }()
	m.Until("Operation", "installing")
	o.off()
	<-done
	m.Until("Operation", "idle")
	if l := m.Until("UpdateFinished", `[false,`); !strings.Contains(l.Text(), "RAUC went away") {
		t.Errorf("%s does not say that RAUC went away", l.Text())
	}
	o.undisturbed(t, "set-state")

	// And a new one is followed.
	o.start(t)
	o.rauc(t, "install", bundle).want(t, 0)
	m.Until("UpdateFinished", `[true,`)
	if _, err := os.Stat(o.path("run/tegra-ota/journal.json")); err != nil {
		t.Error(err)
	}
}
