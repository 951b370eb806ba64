package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// bupProgram is tegra-bup.
func bupProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-bup",
		Summary: "installs boot firmware: a UEFI capsule (.Cap), or on JetPack 4 a bare BUP",
		Help: `
install checks the capsule against this device (image type, version floors, every image that the firmware needs for this
board, room on the EFI system partition) before it writes a byte, and then stages it on the ESP, outside the folder the
firmware looks into. It arms nothing: that is the update's last step, "tegra-bootctl activate". If the target slot provably
holds that firmware already, nothing is kept.

The capsule's signature is the firmware's to judge, unless capsule_trust in [firmware] names a certificate.

JetPack 4 (L4T R32 on T186 and T194) takes a bare BUP, which NVIDIA's nv_update_engine writes into the inactive slot during
install, for minutes; tegra-bup checks it before and the slots afterwards, and the slot is switched by "tegra-bootctl activate"
alone. With method = "mtd" in [firmware], on a device whose boot flash Linux sees, tegra-bup writes the inactive slot's chain
itself, reads it back, and never touches the boot configuration table or the other slot.`,
		Verbs: []cli.Verb{
			{
				Name: "install", Synopsis: "[--update ID] [--unconfirmed] [--allow-eks] [FILE|-]",
				Summary: "check firmware and stage it, or write it into the inactive slot's chain",
				Flags:   firmwareFlags, Stdin: readsStdin, Run: installFirmware,
			},
			{
				Name: "confirm", Synopsis: "[--update ID]", Summary: "say that the updater found its input good, after install --unconfirmed",
				Flags: idFlag,
				Run:   func(ctx context.Context, in *cli.Invocation) error { return confirm(ctx, in, "firmware") },
			},
			{Name: "check", Synopsis: "FILE", Summary: "check a capsule as install would, and change nothing", Run: checkFirmware},
			{
				Name: "inspect", Synopsis: "FILE [--spec SPEC --compat COMPAT] [--chip T234] [--json]",
				Summary: "print what is in a BUP or a capsule, and what a board would take from it", Flags: inspectFlags, Run: inspect,
			},
			{
				Name: "rauc-hook", Synopsis: "slot-install",
				Summary: "stage a RAUC bundle's capsule: what the bundle's hook runs for an image with hooks=install", Run: raucHook,
			},
			{Name: "abort", Summary: "give up the update in flight", Run: abort},
		},
	}
}

// firmwareFlags are those of tegra-bup install.
func firmwareFlags(f *pflag.FlagSet) {
	updateFlags(f)
	f.Bool(allowEKSFlag, false, "method mtd: write eks, the encrypted keys; both slots' secure worlds depend on them, and a wrong one locks both out")
}

func installFirmware(ctx context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	src, err := source.Open(first(args), in.Stdin)
	if err != nil {
		return err
	}
	defer src.Close()
	id, _ := in.Flags.GetString("update")
	unconfirmed, _ := in.Flags.GetBool("unconfirmed")
	r, err := control.Stage(ctx, id, src, unconfirmed)
	warnAll(in, r.Warnings)
	if err != nil {
		return sayNoCapsule(err)
	}
	if r.Skipped {
		in.Log.Infof("slot %s holds firmware %s already: the capsule is not needed", r.Target, r.Version)
		return nil
	}
	root := "its new root file system"
	if r.Root != backends.None {
		root = fmt.Sprintf("the root file system that slot %s has now, unless an image comes with this update", r.Root)
	}
	if r.Written {
		in.Log.Infof("firmware %s is in the flash of slot %s, checked, and boots with %s, after `tegra-bootctl activate` and a reboot", r.Version, r.Target, root)
		return nil
	}
	in.Log.Infof("firmware %s is staged for slot %s and boots with %s, after `tegra-bootctl activate` and a reboot", r.Version, r.Target, root)
	return nil
}

func checkFirmware(ctx context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fail.New(fail.Usage, "cannot check: no file is named")
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	src, err := source.Open(args[0], in.Stdin)
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := control.CheckFirmware(ctx, src)
	warnAll(in, r.Warnings)
	if err != nil {
		return sayNoCapsule(err)
	}
	in.Log.Infof("firmware %s fits this device and would go to slot %s", r.Version, r.Target)
	return nil
}

// sayNoCapsule adds in plain words what a GUID that does not match means: somebody named another file.
func sayNoCapsule(err error) error {
	var format *bup.FormatError
	if fail.NextOf(err) == "" && errors.As(err, &format) && (format.Field == "CapsuleGuid" || format.Field == "capsule header") {
		return fail.New(fail.CodeOf(err), "%w", err).Then("this is no UEFI capsule (.Cap)")
	}
	return err
}

func abort(ctx context.Context, in *cli.Invocation) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	return control.Abort(ctx)
}

func warnAll(in *cli.Invocation, warnings []string) {
	for _, w := range warnings {
		in.Log.Warn(w)
	}
}
