package swupdate_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/bustest"
	"github.com/tegra-ota/tegra-ota/internal/orintest"
)

// bridged runs tegra-slotd on the device, with SWUpdate's sockets where it looks for them, and a monitor.
func (o *orin) bridged(t *testing.T) *orintest.Monitor {
	t.Helper()
	if err := os.Symlink(o.tmp, o.path("run/swupdate")); err != nil {
		t.Fatal(err)
	}
	return orintest.Bridge(t, suite.libexec, o.dir, bustest.Start(t, bustest.Options{Open: true}).Address)
}

// TestBridge follows SWUpdate from outside, through a good update, the reboot, a failing update, and a system that is rolled back:
// what an application sees on D-Bus.
func TestBridge(t *testing.T) {
	parallel(t)
	o := newOrin(t)
	m := o.bridged(t)
	m.Until("UpdateState", "idle")
	d := o.daemon(t)

	image := o.image(t)
	if err := d.send(o.good(t, image).pack(t)); err != nil {
		t.Fatal(err)
	}
	m.Until("Operation", "installing")
	m.Until("Operation", "idle")
	m.Until("UpdateFinished", `[true,`)
	states := []string{"idle", "installing", "staged", "installing", "staged", "activated"}
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
	if steps := strings.Join(m.Values("Progress"), "\n"); !strings.Contains(steps, "tegra-image") || !strings.Contains(steps, "tegra-bup") {
		t.Errorf("the steps do not name the handlers:\n%s", steps)
	}

	o.arrives(t, image)
	m.Until("CurrentSlot", "B")
	m.Until("UpdateState", "committed")

	bad := o.good(t, o.image(t)).pack(t)
	truncate(t, bad, 2<<20)
	if err := d.send(bad); err == nil {
		t.Error("a truncated update was accepted")
	}
	m.Until("Operation", "installing")
	if l := m.Until("UpdateFinished", `[false,`); !strings.Contains(l.Text(), `"updater":"swupdate"`) {
		t.Errorf("%s does not name the updater", l.Text())
	}
	if last := m.Values("LastError"); last[len(last)-1] == "" {
		t.Error("the update failed, and LastError is empty")
	}

	if err := d.send(o.good(t, o.image(t)).pack(t)); err != nil {
		t.Fatal(err)
	}
	m.Until("LastError", "")
	m.Until("UpdateFinished", `[true,`)
	for range 3 { // and the firmware gives up
		o.mustNotBoot(t, "--fail", "userspace")
	}
	o.mustBoot(t, "B")
	m.Until("RolledBack", `["A",`)
}
