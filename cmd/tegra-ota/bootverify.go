package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// bootVerifyProgram is tegra-boot-verify.
func bootVerifyProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-boot-verify",
		Summary: "judges each boot: commits a new slot, or rolls it back",
		// A new slot with a broken configuration has to be left, and that is this program's task.
		Undaunted: true,
		Help: `
systemd runs count early in every boot (tegra-boot-count.service) and run when the system is up (tegra-boot-verify.service).

count adds one to the number of uncommitted boots of an update on trial, and rolls back when there were too many. The
firmware's own retry counter is lost when power is cut; this one is not.

run then judges: the running chain, the firmware's update table, the launcher's choice and the mounted root file system must
all say the same. After that every executable in /etc/tegra-ota/health.d must succeed, in name order. If all is well the slot
is committed; if not, or after too many boots (tries in [boot]), the other slot is made to boot next and reboot_command is run.

It exits 0 whenever its job is done, whatever the verdict; /run/tegra-ota/committed exists while the running slot is committed.`,
		Verbs: []cli.Verb{
			{Name: "count", Summary: "count this boot if an update is on trial", Run: countBoot},
			{
				Name: "run", Synopsis: "[--json]", Summary: "judge this boot and act",
				Flags: func(f *pflag.FlagSet) { f.Bool("json", false, "print JSON") }, Run: verifyBoot,
			},
		},
	}
}

func countBoot(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	b, err := control.CountBoot(ctx)
	if err != nil {
		return err
	}
	if b.Boots > 0 {
		in.Log.Infof("uncommitted boot %d of the update on trial", b.Boots)
	}
	return rebootIfNeeded(ctx, in, b)
}

func verifyBoot(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	b, err := control.VerifyBoot(ctx)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("slot %s: %s", b.Slot, b.State)
	if b.Message != "" {
		text += ": " + b.Message
	}
	if err := printMessage(in, b, text); err != nil {
		return err
	}
	return rebootIfNeeded(ctx, in, b)
}

// rebootIfNeeded runs reboot_command after a roll-back.
func rebootIfNeeded(ctx context.Context, in *cli.Invocation, b backends.Boot) error {
	if !b.Reboot {
		return nil
	}
	in.Log.Warn(b.Message)
	if in.Machine.IsPrefixed() {
		in.Log.Warn("a reboot is needed; it is not run for a device in a folder")
		return nil
	}
	return reboot(ctx, in)
}

func reboot(ctx context.Context, in *cli.Invocation) error {
	command := in.Config.Boot.RebootCommand
	in.Log.Warnf("rebooting to roll back: %v", command)
	r, err := in.Machine.Run(ctx, device.Command{Path: command[0], Args: command[1:]})
	if err != nil {
		return err
	}
	if r.ExitCode != 0 {
		return fail.New(fail.IO, "cannot reboot: %v ended with exit %d: %s", command, r.ExitCode, r.Stderr).
			Then("reboot by hand to finish the roll-back")
	}
	return nil
}
