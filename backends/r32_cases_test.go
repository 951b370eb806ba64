package backends_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// r32Reboot is a reboot as a verb of a preparation; it must end as wanted.
func r32Reboot(o virtual.BootOptions, want virtual.Outcome) r32Verb {
	return func(_ context.Context, d *r32Device, _ *backends.Control, _ *device.Machine) error {
		r, err := d.boot(o)
		if err == nil && r.Outcome != want {
			err = fmt.Errorf("the boot ended %s, want %s: %v", r.Outcome, want, r.Timeline)
		}
		return err
	}
}

// r32CutOff is a verb of a preparation that is cut before one of its changes: counted from the end, 0 is the last.
func r32CutOff(v r32Verb, fromEnd int) r32Verb {
	return func(_ context.Context, d *r32Device, _ *backends.Control, _ *device.Machine) error {
		probe, err := d.clone()
		if err != nil {
			return err
		}
		defer probe.drop()
		if err := probe.do(nil, v); err != nil {
			return err
		}
		_ = d.do(&device.Fault{CutAt: probe.fault.Count() - fromEnd}, v)
		return nil
	}
}

func r32HealthFails(_ context.Context, d *r32Device, _ *backends.Control, _ *device.Machine) error {
	if err := os.MkdirAll(d.path(sweepHealth), 0o755); err != nil {
		return err
	}
	return os.WriteFile(d.path(sweepHealth, "10-no"), []byte("#!/bin/sh\nexit 1\n"), 0o755)
}

// r32Joined is a preparation out of parts.
func r32Joined(lists ...[]r32Verb) []r32Verb {
	var all []r32Verb
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// r32Cases are all calls that change something, in each state that makes them take another way.
func r32Cases() []r32Case {
	up, cold := r32Reboot(virtual.BootOptions{}, virtual.OutcomeRunning), r32Reboot(virtual.BootOptions{Cold: true}, virtual.OutcomeRunning)
	dies := r32Reboot(virtual.BootOptions{Fail: virtual.FailKernel}, virtual.OutcomeKernelFailed)
	app, kernel, fw, activate := r32Install("u", "APP", "one"), r32Install("u", "kernel", "one"), r32Stage("u"), r32Activate(backends.None)
	list := func(verbs ...r32Verb) []r32Verb { return verbs }
	full, plain := list(app, fw, activate), list(app, activate)
	trial := r32Joined(full, list(up, r32Count))
	whole := r32All(app, kernel, fw, activate)
	dirty := r32CutOff(fw, 40) // among the images
	healed := func(d *r32Device) error { return os.RemoveAll(d.path(sweepHealth)) }
	agx, tx2 := virtual.CreateOptions{Module: r32AGX}, virtual.CreateOptions{Module: r32TX2}
	old := virtual.CreateOptions{L4T: "32.5.1"}
	split := virtual.CreateOptions{Redundancy: virtual.RootfsOnly}
	const qspi, emmc = 4, 2
	return []r32Case{
		{name: "install", torn: true, verb: app},
		{name: "install, first", virgin: true, verb: app},
		{name: "install over a half-written slot", torn: true, prepare: list(r32CutOff(app, 3)), verb: app},
		{name: "install kernel", prepare: list(app), verb: kernel},
		{name: "install back", prepare: r32Joined(trial, list(r32Verify)), verb: r32Install("v", "APP", "two")},
		{name: "stage", prepare: list(app), verb: fw, window: qspi},
		{name: "stage alone", verb: fw, window: qspi},
		{name: "stage alone at the fixed path", device: old, verb: fw, window: qspi + 4},
		{name: "stage, first", virgin: true, verb: fw, window: qspi},
		{name: "stage over a half-written chain", prepare: list(dirty, up, r32Count, r32Verify), verb: fw, window: qspi},
		{name: "stage over a half-written root", torn: true, prepare: list(r32CutOff(app, 3), up, r32Count, r32Verify), verb: fw, window: qspi},
		{name: "stage again", prepare: list(app, fw), verb: fw, window: qspi},
		{name: "activate", prepare: list(app, fw), verb: activate},
		{name: "activate, TX2", device: tx2, prepare: list(app, fw), verb: activate},
		{name: "activate firmware alone", prepare: list(fw), verb: activate},
		{name: "activate plain", prepare: list(app), verb: activate},
		{name: "activate again", prepare: full, verb: activate},
		{name: "activate after a cut", prepare: list(app, fw, r32CutOff(activate, 3)), verb: activate},
		{name: "activate by hand", verb: r32Activate(backends.B)},
		{name: "take back", prepare: full, verb: r32Activate(backends.A)},
		{name: "start over", prepare: full, verb: r32Install("v", "APP", "two")},
		{name: "abort staged", prepare: list(app, fw), verb: r32Abort},
		{name: "abort firmware alone", prepare: list(fw), verb: r32Abort},
		{name: "abort activated", prepare: full, verb: r32Abort},
		{name: "commit", prepare: trial, verb: r32Commit},
		{name: "commit idle", verb: r32Commit},
		{name: "rollback", prepare: trial, verb: r32Rollback},
		{name: "rollback, AGX Xavier", device: agx, prepare: trial, verb: r32Rollback},
		{name: "rollback before the boot", prepare: full, verb: r32Rollback},
		{name: "rollback again", prepare: r32Joined(trial, list(r32Rollback)), verb: r32Rollback},
		{name: "count", prepare: r32Joined(full, list(up)), verb: r32Count},
		{name: "count, tries exhausted", prepare: r32Joined(full, list(up, r32Count, cold, r32Count, cold, r32Count, up)), verb: r32Count},
		{name: "verify, commit", prepare: trial, verb: r32Verify},
		{name: "verify, commit a switch", prepare: r32Joined(plain, list(up, r32Count)), verb: r32Verify},
		{name: "verify, health failed", prepare: r32Joined(trial, list(r32HealthFails)), verb: r32Verify, heal: healed},
		{name: "verify, fell back", prepare: r32Joined(full, list(dies, dies, dies, dies, dies, dies, dies, up, r32Count)), verb: r32Verify},
		{name: "verify, rolled back", prepare: r32Joined(trial, list(r32CutOff(r32Rollback, 1), up, r32Count)), verb: r32Verify},
		{name: "verify, not activated", prepare: list(app, fw, up), verb: r32Verify},
		{name: "verify, firmware not activated", prepare: list(fw, up), verb: r32Verify},
		{name: "verify, dirty", prepare: list(dirty, cold), verb: r32Verify},
		{name: "verify, half installed", torn: true, prepare: list(r32CutOff(app, 3), up), verb: r32Verify},
		{name: "whole update", verb: whole, window: qspi},
		{name: "whole update, AGX Xavier", device: agx, verb: whole, window: emmc},
		{name: "activate, separate views", device: split, prepare: list(app, fw), verb: activate},
		{name: "rollback, separate views", device: split, prepare: trial, verb: r32Rollback},
		{name: "verify, separate views", device: split, prepare: trial, verb: r32Verify},
		{name: "stage alone, separate views", device: split, verb: fw, window: qspi},
		{name: "whole update back, TX2", device: tx2, prepare: r32Joined(trial, list(r32Verify)), verb: whole, window: emmc},
	}
}
