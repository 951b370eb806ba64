package main

import (
	"context"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/rauc"
)

// raucHook stages the firmware of a bundle, as the slot-install hook of its image.
func raucHook(ctx context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	if first(args) != "slot-install" {
		return fail.New(fail.Usage, "cannot run the hook %q: slot-install is the one there is", first(args)).
			Then("write hooks=install into the image's section of the manifest, and nothing else")
	}
	hook, err := rauc.ReadSlotHook(in.Getenv)
	if err != nil {
		return err
	}
	names, err := rauc.NewNames(in.Config.RAUC)
	if err != nil {
		return err
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	booted, err := control.Booted(ctx)
	if err != nil {
		return err
	}
	if err := hook.Check(names, booted); err != nil {
		return err
	}
	image, err := hook.Open()
	if err != nil {
		return err
	}
	defer image.Close()
	r, err := control.Stage(ctx, rauc.UpdateID, image, false)
	warnAll(in, r.Warnings)
	if err != nil {
		return sayNoCapsule(err)
	}
	if r.Skipped {
		in.Log.Infof("slot %s holds firmware %s already: the capsule is not needed", r.Target, r.Version)
		return nil
	}
	in.Log.Infof("firmware %s is staged for slot %s, and not activated yet", r.Version, r.Target)
	return nil
}
