package backends_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// after makes a preparation of verbs.
func after(verbs ...sweepVerb) func(*sweepDevice) error {
	return func(d *sweepDevice) error { return d.run(verbs...) }
}

// reboots is a reboot as a verb of a preparation; it must end as wanted.
func reboots(o virtual.BootOptions, want virtual.Outcome) sweepVerb {
	return func(_ context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
		r, err := d.boot(o)
		if err == nil && r.Outcome != want {
			err = fmt.Errorf("the boot ended %s, want %s: %v", r.Outcome, want, r.Timeline)
		}
		return err
	}
}

func rebootsUp(ctx context.Context, d *sweepDevice, c *backends.Control, m *device.Machine) error {
	return reboots(virtual.BootOptions{}, virtual.OutcomeRunning)(ctx, d, c, m)
}

// cutOff is a verb of a preparation that is cut before its last change.
func cutOff(v sweepVerb) sweepVerb {
	return func(_ context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
		probe, err := d.clone()
		if err != nil {
			return err
		}
		defer probe.drop()
		f := &device.Fault{}
		if err := probe.do(f, v); err != nil {
			return err
		}
		_ = d.do(&device.Fault{CutAt: f.Count()}, v)
		return nil
	}
}

// healthFails puts a health check on the device that fails.
func healthFails(_ context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
	if err := os.MkdirAll(d.path(sweepHealth), 0o755); err != nil {
		return err
	}
	return os.WriteFile(d.path(sweepHealth, "10-no"), []byte("#!/bin/sh\nexit 1\n"), 0o755)
}

func healthy(d *sweepDevice) error { return os.RemoveAll(d.path(sweepHealth)) }

// leftOver leaves a BootChainFwStatus behind, as the last switch of another tool does.
func leftOver(_ context.Context, d *sweepDevice, _ *backends.Control, _ *device.Machine) error {
	return os.WriteFile(d.path("sys/firmware/efi/efivars/BootChainFwStatus-781e084c-a330-417c-b678-38e696380cb9"), []byte{7, 0, 0, 0, 0, 0, 0, 0}, 0o644)
}

// sweepCases are all calls that change something, in each state that makes them take another way.
func sweepCases() []sweepCase {
	const id = "one"
	app, kernel, fw := sweepInstall(id, "APP", "one", false), sweepInstall(id, "kernel", "one", false), sweepStage(id, false)
	activate, back := sweepActivate(id, backends.None), sweepActivate("", backends.A)
	dies := reboots(virtual.BootOptions{Fail: virtual.FailKernel}, virtual.OutcomeKernelFailed)
	cutMB1 := reboots(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: virtual.AfterCutBothCleared}, virtual.OutcomePowerCut)
	cutKept := reboots(virtual.BootOptions{CutPhase: "capsule-mb1", AfterCut: virtual.AfterCutFlagCleared}, virtual.OutcomePowerCut)
	cold := reboots(virtual.BootOptions{Cold: true}, virtual.OutcomeRunning)
	plain, full := []sweepVerb{app, activate}, []sweepVerb{app, fw, activate}
	with := func(list []sweepVerb, more ...sweepVerb) func(*sweepDevice) error {
		return after(append(append([]sweepVerb{}, list...), more...)...)
	}
	committed := with(full, rebootsUp, sweepCount, sweepVerify)
	exhausted := []sweepVerb{rebootsUp, sweepCount, cold, sweepCount, cold, sweepCount, cold}
	return append(outsideCases(), []sweepCase{
		{name: "install", prepare: after(), verb: app},
		{name: "install, first", virgin: true, prepare: after(), verb: app},
		{name: "stage, first", virgin: true, prepare: after(), verb: fw},
		{name: "verify, first", virgin: true, prepare: after(), verb: sweepVerify},
		{name: "install over a half-written slot", prepare: after(cutOff(app)), verb: app},
		{name: "install unconfirmed", prepare: after(), verb: sweepInstall(id, "APP", "one", true)},
		{name: "install kernel", prepare: after(app), verb: kernel},
		{name: "install with a left-over status", prepare: after(leftOver), verb: app},
		{name: "install back", prepare: committed, verb: sweepInstall("two", "APP", "two", false)},
		{name: "install without fall-back", redundancy: virtual.NoVariables, prepare: after(), verb: app},
		{name: "confirm", prepare: after(sweepInstall(id, "APP", "one", true)), verb: sweepConfirm(id, "APP")},
		{name: "stage", prepare: after(app), verb: fw},
		{name: "stage alone", prepare: after(), verb: fw},
		{name: "stage again", prepare: after(app, fw), verb: fw},
		{name: "stage skipped", prepare: with(full, rebootsUp, sweepCount, sweepVerify, sweepInstall("two", "APP", "two", false), sweepStage("two", false), sweepActivate("two", backends.None), rebootsUp, sweepCount, sweepVerify), verb: fw},
		{name: "activate with capsule", prepare: after(app, fw), verb: activate},
		{name: "activate capsule alone", prepare: after(fw), verb: activate},
		{name: "activate plain", prepare: after(app), verb: activate},
		{name: "activate with a left-over status", prepare: after(app, fw, leftOver), verb: activate},
		{name: "activate again", prepare: after(app, fw, activate), verb: activate},
		{name: "activate after a cut", prepare: after(app, fw, cutOff(activate)), verb: activate},
		{name: "activate by hand", prepare: after(), verb: sweepActivate("", backends.B)},
		{name: "activate pinned", redundancy: virtual.BootOnly, prepare: after(fw), verb: activate},
		{name: "activate without fall-back", redundancy: virtual.NoVariables, prepare: after(app, fw), verb: activate},
		{name: "take back capsule", prepare: with(full), verb: back},
		{name: "take back switch", prepare: with(plain), verb: back},
		{name: "start over an armed capsule", prepare: with(full), verb: sweepInstall("two", "APP", "two", false)},
		{name: "start over a pending switch", prepare: with(plain), verb: sweepInstall("two", "APP", "two", false)},
		{name: "start over with firmware", prepare: with(full), verb: sweepStage("two", false)},
		{name: "abort staged", prepare: after(app, fw), verb: sweepAbort},
		{name: "abort armed", prepare: with(full), verb: sweepAbort},
		{name: "abort a switch", prepare: with(plain), verb: sweepAbort},
		{name: "rollback before the boot", prepare: with(full), verb: sweepRollback},
		{name: "rollback", prepare: with(full, rebootsUp, sweepCount), verb: sweepRollback},
		{name: "rollback of a switch", prepare: with(plain, rebootsUp, sweepCount), verb: sweepRollback},
		{name: "rollback again", prepare: with(full, rebootsUp, sweepCount, sweepRollback), verb: sweepRollback},
		{name: "rollback pinned", redundancy: virtual.BootOnly, prepare: after(fw, activate, rebootsUp, sweepCount), verb: sweepRollback},
		{name: "rollback without fall-back", redundancy: virtual.NoVariables, prepare: with(full, rebootsUp, sweepCount), verb: sweepRollback},
		{name: "commit", prepare: with(full, rebootsUp, sweepCount), verb: sweepCommit},
		{name: "commit a switch", prepare: with(plain, rebootsUp, sweepCount), verb: sweepCommit},
		{name: "commit idle", prepare: after(leftOver), verb: sweepCommit},
		{name: "commit the old slot", prepare: with(full, cutMB1, cold, sweepCount), verb: sweepCommit},
		{name: "mark bad", prepare: after(), verb: sweepMarkBad(backends.B)},
		{name: "mark bad armed", prepare: with(full), verb: sweepMarkBad(backends.B)},
		{name: "refill on trial", prepare: with(full, rebootsUp, sweepCount), verb: sweepRefill},
		{name: "count", prepare: with(full, rebootsUp), verb: sweepCount},
		{name: "count, tries exhausted", prepare: with(full, exhausted...), verb: sweepCount},
		{name: "count, dirty", prepare: with(full, cutMB1, cold), verb: sweepCount},
		{name: "verify, count was cut", prepare: with(full, rebootsUp), verb: sweepVerify},
		{name: "verify, commit", prepare: with(full, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, commit a switch", prepare: with(plain, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, commit pinned", redundancy: virtual.BootOnly, prepare: after(fw, activate, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, health failed", prepare: with(full, rebootsUp, sweepCount, healthFails), verb: sweepVerify, heal: healthy},
		{name: "verify, health of a switch failed", prepare: with(plain, rebootsUp, sweepCount, healthFails), verb: sweepVerify, heal: healthy},
		{name: "verify, tries exhausted", prepare: with(full, exhausted...), verb: sweepVerify},
		{name: "verify, rolled back", prepare: with(full, rebootsUp, sweepCount, cutOff(sweepRollback), rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, rolled back a second time", prepare: with(full, rebootsUp, sweepCount, sweepRollback), verb: sweepVerify},
		{name: "verify, refused", prepare: after(app, sweepStage(id, true), activate, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, cancelled", prepare: with(full, leftOver, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, switch dropped", prepare: with(plain, leftOver, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, fell back", prepare: with(plain, dies, dies, dies, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, new firmware fell back", prepare: with(full, dies, dies, dies, rebootsUp, sweepCount), verb: sweepVerify},
		{name: "verify, firmware did not start", prepare: with(plain, reboots(virtual.BootOptions{Fail: virtual.FailFirmware}, virtual.OutcomeRunning), sweepCount), verb: sweepVerify},
		{name: "verify, dirty", prepare: with(full, cutMB1, cold, sweepCount), verb: sweepVerify},
		{name: "verify, dirty and the capsule kept", prepare: with(full, cutKept, cold), verb: sweepVerify},
		{name: "verify, not activated", prepare: after(app, fw, rebootsUp), verb: sweepVerify},
		{name: "verify, half installed", prepare: after(cutOff(app), rebootsUp), verb: sweepVerify},
	}...)
}
