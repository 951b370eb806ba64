package backends_test

import (
	"fmt"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// firmwareCase is one boot whose every write to flash is cut.
type firmwareCase struct {
	sweepCase
	boot virtual.BootOptions
}

func firmwareCases() []firmwareCase {
	const id = "one"
	app, fw, activate := sweepInstall(id, "APP", "one", false), sweepStage(id, false), sweepActivate(id, backends.None)
	dies := reboots(virtual.BootOptions{Fail: virtual.FailKernel}, virtual.OutcomeKernelFailed)
	cold := reboots(virtual.BootOptions{Cold: true}, virtual.OutcomeRunning)
	cut := reboots(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: virtual.AfterCutBothCleared}, virtual.OutcomePowerCut)
	broken := virtual.BootOptions{Fail: virtual.FailFirmware}
	plain, full := []sweepVerb{app, activate}, []sweepVerb{app, fw, activate}
	with := func(list []sweepVerb, more ...sweepVerb) func(*sweepDevice) error {
		return after(append(append([]sweepVerb{}, list...), more...)...)
	}
	return []firmwareCase{
		{sweepCase{name: "capsule", prepare: with(full)}, virtual.BootOptions{}},
		{sweepCase{name: "capsule alone", prepare: after(fw, activate)}, virtual.BootOptions{}},
		{sweepCase{name: "capsule, pinned", redundancy: virtual.BootOnly, prepare: after(fw, activate)}, virtual.BootOptions{}},
		{sweepCase{name: "capsule, without fall-back", redundancy: virtual.NoVariables, prepare: with(full)}, virtual.BootOptions{}},
		{sweepCase{name: "capsule over a half-written chain", prepare: with(full, cut, cold, sweepCount, sweepVerify, app, fw, activate)}, virtual.BootOptions{}},
		{sweepCase{name: "capsule that does not start", prepare: with(full)}, broken},
		{sweepCase{name: "switch", prepare: with(plain)}, virtual.BootOptions{}},
		{sweepCase{name: "switch that does not start", prepare: with(plain)}, broken},
		{sweepCase{name: "rollback", prepare: with(full, rebootsUp, sweepCount, sweepRollback)}, virtual.BootOptions{}},
		{sweepCase{name: "fall-back", prepare: with(plain, dies, dies, dies)}, virtual.BootOptions{}},
		{sweepCase{name: "fall-back from new firmware", prepare: with(full, dies, dies, dies)}, virtual.BootOptions{}},
	}
}

func (r *sweepRun) cutBoot(o virtual.BootOptions, exact bool) (string, error) {
	d, err := r.base.cloneSharing(shareRoots)
	if err != nil {
		return "", err
	}
	defer d.drop()
	report, err := d.boot(o)
	if err != nil {
		return "", err
	}
	what := fmt.Sprintf("cut %d (%s), %s", o.CutAt, report.Phases[len(report.Phases)-1], o.AfterCut)
	if report.Outcome != virtual.OutcomePowerCut {
		return what, fmt.Errorf("the boot outlived the power: %s", report.Outcome)
	}
	isNew, err := d.rig.fresh(d, r.judging+" firmware", exact)
	if err != nil || !isNew {
		return what, err
	}
	r.seen++
	temperatures := []bool{true} // the power was lost, and the scratch registers with it: a warm boot is the same
	if *sweepFull {
		temperatures = append(temperatures, false)
	}
	for _, cold := range temperatures {
		if err := r.judge(d, cold, true, true); err != nil {
			return what, fmt.Errorf("cold %v: %w", cold, err)
		}
	}
	return what, nil
}

func (r *sweepRun) sweepBoot(t *testing.T, o virtual.BootOptions, tally *sweepTally) {
	probe, err := r.base.clone()
	if err != nil {
		t.Fatal(err)
	}
	defer probe.drop()
	report, err := probe.boot(o)
	if err != nil || report.FirmwareWrites == 0 {
		t.Fatalf("without a cut: %d writes (%v)", report.FirmwareWrites, err)
	}
	ways := []virtual.AfterCut{virtual.AfterCutRetry, virtual.AfterCutFlagCleared, virtual.AfterCutBothCleared}
	// Each write of a whole capsule once; where the same capsule comes in another way, devices that the firmware cannot
	// tell apart once.
	exact, failed := r.c.name == "capsule" && !r.base.onESP && !testing.Short(), 0
	for n := 1; n <= report.FirmwareWrites; n++ {
		for _, way := range ways {
			o.CutAt, o.AfterCut = n, way
			if what, err := r.cutBoot(o, exact); err != nil {
				t.Errorf("%s: %v", what, err)
				if failed++; failed >= 3 {
					t.Fatal("too many failures")
				}
			}
		}
	}
	t.Logf("%d writes, %d different devices after a cut, %d after it settled", report.FirmwareWrites, r.seen, r.done)
	tally.add(report.FirmwareWrites, report.FirmwareWrites*len(ways), r.seen, r.done)
}

// TestFirmwareCutSweep cuts the power at each write of the firmware: while it processes a capsule, switches chains, falls back.
func TestFirmwareCutSweep(t *testing.T) {
	rig := newSweepRig(t)
	tally := &sweepTally{}
	t.Run("group", func(t *testing.T) {
		for _, c := range firmwareCases() {
			for _, onESP := range []bool{false, true} {
				if onESP && c.name != "capsule" && c.name != "rollback" {
					continue // the firmware does not care where the journal lies; two are enough for what follows the cut
				}
				t.Run(fmt.Sprintf("%s/esp=%v", c.name, onESP), func(t *testing.T) {
					t.Parallel()
					r, err := newSweepRun(rig, c.sweepCase, onESP)
					if err != nil {
						t.Fatal(err)
					}
					defer r.base.drop()
					r.sweepBoot(t, c.boot, tally)
				})
			}
		}
	})
	tally.publish(t)
	if tally.points < firmwareMinimum && !t.Failed() && !sweepFiltered() {
		t.Errorf("the sweep shrank: %d cut points, want %d at least", tally.points, firmwareMinimum)
	}
}

// firmwareMinimum is a little below what there were when this was written.
const firmwareMinimum = 650
