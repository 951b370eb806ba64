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

// The running slot was never activated, the other one's firmware may be half written: nothing is good, and an update
// must be let in. Before, install sent to activate, and activate to install.
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

// dirtyChain leaves the firmware of slot B half written, and protected.
func dirtyChain(t *testing.T) *sweepDevice {
	t.Helper()
	d, err := newSweepRig(t).used(virtual.RootfsAB, false)
	if err != nil {
		t.Fatal(err)
	}
	cut := reboots(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: virtual.AfterCutBothCleared}, virtual.OutcomePowerCut)
	err = d.run(sweepInstall("u", "APP", "one", false), sweepStage("u", false), sweepActivate("u", backends.None), cut, rebootsUp, sweepCount, sweepVerify)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A capsule that should cure a half-written chain made its slot bootable. Refused before anything is erased, it leaves
// the chain as it was.
func TestRefusedCureLeavesTheDirtyChainProtected(t *testing.T) {
	for name, services := range map[string][]sweepVerb{"count": {sweepCount}, "verify": {sweepVerify}, "both": {sweepCount, sweepVerify}} {
		d := dirtyChain(t)
		if err := d.run(append([]sweepVerb{sweepStage("v", true), sweepActivate("v", backends.None), rebootsUp}, services...)...); err != nil {
			t.Fatal(err)
		}
		if err := d.protected(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// So does one that is taken back: until the next boot-verify nothing else would keep the firmware from falling back to the chain.
func TestCureTakenBackLeavesTheDirtyChainProtected(t *testing.T) {
	for name, v := range map[string]sweepVerb{
		"activate": sweepActivate("", backends.A), "abort": sweepAbort, "rollback": sweepRollback,
		"another update": sweepStage("w", false),
	} {
		d := dirtyChain(t)
		if err := d.run(sweepStage("v", false), sweepActivate("v", backends.None), v); err != nil {
			t.Fatal(err)
		}
		if err := d.protected(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
