package backends_test

import (
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// What sweeps and walks found, each by its own name.

// With RootfsRedundancyLevel 0 slot A's root file system runs under chain B, too: marked unbootable, the launcher has none left.
func TestPinnedRootIsNotMarkedUnbootableUnderTheOtherChain(t *testing.T) {
	rig := newSweepRig(t)
	d, err := rig.used(virtual.BootOnly, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.run(sweepStage("u", false), sweepActivate("u", backends.None), rebootsUp, sweepCount, sweepVerify); err != nil {
		t.Fatal(err)
	}
	if current, err := d.current(); err != nil || current != backends.B {
		t.Fatalf("chain %s runs, want B (%v)", current, err)
	}
	if err := d.run(sweepMarkBad(backends.A)); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("marking the running root file system unbootable: %v, want it refused", err)
	}
	r, err := d.boot(virtual.BootOptions{Cold: true})
	if err != nil || r.Outcome != virtual.OutcomeRunning {
		t.Errorf("the next boot ended %s (%v)", r.Outcome, err)
	}
}

// The running slot was never activated, the other one's firmware may be half written: nothing is good, and an update must be let in. Before, install
// sent to activate, and activate to install.
func TestUpdateIsTheCureWhereNoSlotIsGood(t *testing.T) {
	rig := newSweepRig(t)
	d, err := rig.used(virtual.NoVariables, false)
	if err != nil {
		t.Fatal(err)
	}
	otherChain := reboots(virtual.BootOptions{Fail: virtual.FailFirmware}, virtual.OutcomeRunning)
	err = d.run(
		sweepInstall("u", "APP", "one", false), sweepStage("u", false), cutOff(sweepActivate("u", backends.None)), rebootsUp, sweepCount, sweepVerify, // B is dirty
		otherChain, sweepCount, sweepVerify, sweepInstall("v", "APP", "two", false), // B runs, A is torn
		otherChain, sweepCount, sweepVerify,
	)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.run(sweepActivate("", backends.B)); err == nil {
		t.Error("the half-written chain was activated")
	}
	if err := d.again(); err != nil {
		t.Error(err)
	}
}
