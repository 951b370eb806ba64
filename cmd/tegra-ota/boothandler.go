package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// bootHandlerProgram is tegra-boot-handler.
func bootHandlerProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-boot-handler",
		Summary: "RAUC's bootloader backend and handlers",
		Help: `
In system.conf, [system] bootloader=custom and in [handlers]:

  bootloader-custom-backend=/usr/libexec/tegra-ota/tegra-boot-handler
  pre-install=/usr/libexec/tegra-ota/tegra-rauc-pre-install
  post-install=/usr/libexec/tegra-ota/tegra-rauc-post-install
  system-info=/usr/libexec/tegra-ota/tegra-rauc-system-info

RAUC runs the last three without arguments, so they have names of their own. A slot is named by its bootname (bootnames in
[rauc] of the configuration, A and B), its name in system.conf, or as for tegra-bootctl.

get-primary and get-current print a bootname, get-state good or bad, and need no privilege. get-primary names the slot that
boots next, also while a capsule waits, and prints nothing where that slot is bad. set-primary is the activation of the update
in flight; at the end of an install, while the bundle is mounted, it also means that RAUC has written the slot completely.
set-state good commits the running slot, without health checks: those are tegra-boot-verify's. Every call ends within 10 s
unless a file system stalls; 5 of them it may wait for another update or slot change (exit 75).

A bundle's firmware is installed by its slot hook, tegra-bup rauc-hook. A bundle with firmware alone makes RAUC switch nothing;
post-install activates it.`,
		Verbs: []cli.Verb{
			backendVerb("get-primary", "", "print the bootname of the slot that boots next", 0,
				func(ctx context.Context, b rauc.Backend, _ []string) error { return b.GetPrimary(ctx) }),
			backendVerb("set-primary", "BOOTNAME", "make a slot bootable and boot next", 1,
				func(ctx context.Context, b rauc.Backend, args []string) error { return b.SetPrimary(ctx, args[0]) }),
			backendVerb("get-state", "BOOTNAME", "print good or bad", 1,
				func(ctx context.Context, b rauc.Backend, args []string) error { return b.GetState(ctx, args[0]) }),
			backendVerb("set-state", "BOOTNAME good|bad", "commit or mark a slot", 2,
				func(ctx context.Context, b rauc.Backend, args []string) error {
					return b.SetState(ctx, args[0], args[1])
				}),
			backendVerb("get-current", "", "print the bootname of the slot whose root file system is mounted", 0,
				func(ctx context.Context, b rauc.Backend, _ []string) error { return b.GetCurrent(ctx) }),
			{Name: "pre-install", Summary: "refuse a bundle that could not be installed, before the first byte", Run: told(preInstall)},
			{Name: "post-install", Summary: "activate a bundle that holds firmware alone", Run: told(postInstall)},
			// Undaunted: RAUC 1.8's service ends at once when this fails (run), and board and versions need no configuration.
			{Name: "system-info", Summary: "print board and firmware versions as RAUC's variables", Undaunted: true, Run: systemInfo},
		},
	}
}

// handlerNames are the executables that RAUC runs without arguments, and what they mean.
var handlerNames = map[string]string{
	"tegra-rauc-pre-install":  "pre-install",
	"tegra-rauc-post-install": "post-install",
	"tegra-rauc-system-info":  "system-info",
}

// backendVerb is one of RAUC's calls, with exactly n arguments, in bounded time.
func backendVerb(name, synopsis, summary string, n int, call func(context.Context, rauc.Backend, []string) error) cli.Verb {
	return cli.Verb{Name: name, Synopsis: synopsis, Summary: summary, Run: func(ctx context.Context, in *cli.Invocation) error {
		args, err := arguments(in, n)
		if err != nil {
			return err
		}
		if len(args) < n {
			return fail.New(fail.Usage, "cannot run %s: it takes %s", name, synopsis)
		}
		names, err := rauc.NewNames(in.Config.RAUC)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, rauc.Patience) // choosing the backend counts, too
		defer cancel()
		control, err := newControl(ctx, in)
		if err != nil {
			return err
		}
		warn := func(text string) { in.Log.Warn(text) }
		return call(ctx, rauc.Backend{Control: control, Machine: in.Machine, Names: names, Stdout: in.Stdout, Warn: warn}, args)
	}}
}

// told also says on stdout why a handler failed, in the form that RAUC passes on to whoever watches the install (RAUC 1.8 logs
// it, run); beyond that it tells the exit code alone.
func told(handler func(context.Context, *cli.Invocation) error) func(context.Context, *cli.Invocation) error {
	return func(ctx context.Context, in *cli.Invocation) error {
		err := handler(ctx, in)
		if err != nil {
			_, _ = fmt.Fprintf(in.Stdout, "<< error %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		return err
	}
}

// preInstall is the veto: RAUC runs it before it marks or writes anything.
func preInstall(ctx context.Context, in *cli.Invocation) error {
	bundle, control, err := handlerSetup(ctx, in)
	if err != nil {
		return err
	}
	if err := refuseSlots(ctx, in, bundle, control); err != nil {
		return err
	}
	capsules, err := bundle.Capsules()
	if err != nil {
		return err
	}
	for _, c := range capsules {
		defer c.Close()
	}
	if len(capsules) > 1 {
		return fail.New(fail.Data, "cannot install the bundle: %s and %s are both capsules, and an update has one", capsules[0].Name, capsules[1].Name)
	}
	problems, err := control.Check(ctx, backends.Scope{FirmwareOnly: !bundle.SwitchesSlots(), NoFirmware: len(capsules) == 0, Outside: true})
	if err != nil {
		return err
	}
	for _, p := range problems {
		if p.Code() == fail.OK && (p.Check != "firmware" || len(capsules) == 0) { // a capsule settles what is old
			in.Log.Warn(p.Reason)
		}
	}
	if err := worst(problems); err != nil {
		return err
	}
	for _, c := range capsules {
		r, err := control.CheckFirmware(ctx, c)
		warnAll(in, r.Warnings)
		if err != nil {
			return fail.New(fail.CodeOf(err), "cannot install %s: %w", c.Name, sayNoCapsule(err))
		}
	}
	return nil
}

// refuseSlots wants RAUC to know which slot runs: it writes the other group.
func refuseSlots(ctx context.Context, in *cli.Invocation, bundle rauc.Install, control *backends.Control) error {
	names, err := rauc.NewNames(in.Config.RAUC)
	if err != nil {
		return err
	}
	booted, err := control.Booted(ctx)
	if err != nil {
		return err
	}
	for _, bootname := range bundle.Bootnames() {
		slot, err := names.Slot(bootname)
		if err != nil {
			return fail.New(fail.Unavailable, "cannot install: the bootname %s of system.conf is not known here", bootname).
				Then("let [rauc] in the configuration and system.conf name the slots alike")
		}
		if slot == booted {
			return fail.New(fail.Unavailable, "cannot install into slot %s (bootname %s): it runs", slot, bootname).
				Then("start RAUC's service with --override-boot-slot=%s, or let it ask the backend (RAUC 1.11)", names.Bootname(booted))
		}
	}
	return nil
}

// postInstall activates what RAUC itself does not: a bundle without an image for a slot that boots. RAUC runs it when all went
// well, so what it wrote and was not to switch to (activate-installed=false) is complete.
func postInstall(ctx context.Context, in *cli.Invocation) error {
	bundle, control, err := handlerSetup(ctx, in)
	if err != nil {
		return err
	}
	if bundle.SwitchesSlots() {
		return control.FinishOutside(ctx, rauc.UpdateID)
	}
	capsules, err := bundle.CapsuleNames()
	if err != nil || len(capsules) == 0 {
		return err
	}
	if !bundle.ActivatesInstalled() {
		in.Log.Info("the firmware is staged and not activated: activate-installed is false; `rauc status mark-active other` does it, before a reboot")
		return nil
	}
	a, done, err := control.ActivateFirmwareOnly(ctx, rauc.UpdateID)
	warnAll(in, a.Warnings)
	switch {
	case err != nil:
		return err
	case done && a.Nothing:
		in.Log.Info("nothing to do: the firmware is there already")
	case done && a.Firmware == nil:
		in.Log.Infof("the firmware is in the flash of slot %s, which boots next", a.Slot)
	case done:
		in.Log.Infof("the next boot installs firmware %s and starts slot %s", a.Firmware, a.Slot)
	}
	return nil
}

func handlerSetup(ctx context.Context, in *cli.Invocation) (rauc.Install, *backends.Control, error) {
	bundle, err := rauc.ReadInstall(in.Getenv)
	if err != nil {
		return bundle, nil, err
	}
	control, err := controlWithoutArguments(ctx, in)
	return bundle, control, err
}

// systemInfo prints what is known. It fails never: RAUC runs it for every call, as the calling user, and does without it worse.
func systemInfo(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		in.Log.Warn(err.Error())
		return nil
	}
	st, err := control.Status(ctx)
	if err != nil {
		in.Log.Warn(err.Error())
		return nil
	}
	return rauc.PrintSystemInfo(in.Stdout, in.Machine, st)
}
