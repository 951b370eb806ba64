package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// nvbootctrlVerbs answer as NVIDIA's nvbootctrl does: the commands of R36, and those of R32 that R35 removed. The outputs are
// those that public threads and tier4/ota-client's test data show.
func nvbootctrlVerbs() []cli.Verb {
	view := func(f *pflag.FlagSet) {
		f.StringP("target", "t", "bootloader", "the `VIEW` that is asked for: bootloader or rootfs")
	}
	verb := func(name, arguments, summary string, run controlVerb) cli.Verb {
		return cli.Verb{
			Name: name, Synopsis: strings.TrimSpace("[-t bootloader|rootfs] " + arguments), Summary: summary + " (nvbootctrl)",
			Flags: view, Run: asNVBootctrl(run),
		}
	}
	return []cli.Verb{
		verb("get-number-slots", "", "print 2", printNumberOfSlots),
		verb("get-current-slot", "", "print the running slot's number", printCurrentSlot),
		verb("set-active-boot-slot", "SLOT", "as activate: make a slot boot next", setActiveSlot),
		verb("dump-slots-info", "", "print both slots", dumpSlots),
		verb("verify", "", "delete BootChainFwStatus and refill the retries; a trial goes on", refill),
		verb("mark-boot-successful", "", "as verify (R32)", refill),
		verb("set-slot-as-unbootable", "SLOT", "make the other slot unbootable (R32)", setUnbootable),
		verb("is-slot-bootable", "SLOT", "exit 0 if a slot can boot, else 1 (R32)", answerBootable),
		verb("is-slot-marked-successful", "SLOT", "exit 0 if a slot was accepted, else 1 (R32)", answerSuccessful),
		verb("get-suffix", "SLOT", "print the slot's suffix (R32)", printSuffix),
		verb("is-rootfs-ab-enabled", "", "exit 0 if off, 1 or 2 if on and slot A or B runs", answerRootfsAB),
		verb("is-unified-enabled", "", "exit 0 if chain and root file system switch together, else 69 (R32)", answerUnified),
		verb("set-SR-BR", "SLOT", "refused: Linux cannot reach that register; use set-active-boot-slot", refuseScratch),
	}
}

// controlVerb is a command once the device's Control is there.
type controlVerb func(context.Context, *cli.Invocation, *backends.Control) error

func asNVBootctrl(run controlVerb) func(context.Context, *cli.Invocation) error {
	return func(ctx context.Context, in *cli.Invocation) error {
		if v, _ := in.Flags.GetString("target"); v != "bootloader" && v != "rootfs" {
			return fail.New(fail.Usage, "cannot look at target %q: the targets are bootloader and rootfs", v)
		}
		control, err := newControl(ctx, in)
		if err != nil {
			return err
		}
		return run(ctx, in, control)
	}
}

func rootfsView(in *cli.Invocation) bool {
	v, _ := in.Flags.GetString("target")
	return v == "rootfs"
}

// seen is a chain's slot in the view that was asked for: the launcher may have chosen another root file system, and
// RootfsRedundancyLevel 0 pins it.
func seen(in *cli.Invocation, st backends.State, chain backends.Slot) backends.Slot {
	switch {
	case !rootfsView(in):
		return chain
	case st.Redundancy != nil && *st.Redundancy == 0:
		return backends.A
	case chain == st.Current && st.RootCurrent != backends.None:
		return st.RootCurrent
	}
	return chain
}

// oneSlot reads the SLOT argument.
func oneSlot(in *cli.Invocation) (backends.Slot, error) {
	args, err := arguments(in, 1)
	if err != nil {
		return backends.None, err
	}
	if len(args) == 0 {
		return backends.None, fail.New(fail.Usage, "cannot run %s without a slot", in.Verb)
	}
	return backends.ParseSlot(args[0])
}

func printNumberOfSlots(_ context.Context, in *cli.Invocation, _ *backends.Control) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	_, err := fmt.Fprintln(in.Stdout, 2)
	return err
}

func printCurrentSlot(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	st, err := control.State(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(in.Stdout, seen(in, st, st.Current).Index())
	return err
}

func setActiveSlot(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	slot, err := oneSlot(in)
	if err != nil {
		return err
	}
	a, err := control.Activate(ctx, "", slot)
	warnAll(in, a.Warnings)
	return err
}

func refill(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	return control.Refill(ctx)
}

func setUnbootable(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	slot, err := oneSlot(in)
	if err != nil {
		return err
	}
	return control.SetUnbootable(ctx, slot)
}

func refuseScratch(_ context.Context, in *cli.Invocation, _ *backends.Control) error {
	if _, err := oneSlot(in); err != nil {
		return err
	}
	return fail.New(fail.Unavailable, "cannot select a chain through the scratch register: it is lost at power-off, "+
		"and Linux cannot reach it").Then("use set-active-boot-slot")
}
