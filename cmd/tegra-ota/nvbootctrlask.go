package main

import (
	"context"
	"fmt"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// answer is an exit code that is nvbootctrl's yes or no.
func answer(yes bool) error {
	if yes {
		return nil
	}
	return &cli.Answer{Code: fail.No}
}

func answerBootable(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	slot, err := oneSlot(in)
	if err != nil {
		return err
	}
	st, err := control.Status(ctx)
	if err != nil {
		return err
	}
	bootable := st.Slots[slot].Bootable
	return answer(bootable != nil && *bootable)
}

func answerSuccessful(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	slot, err := oneSlot(in)
	if err != nil {
		return err
	}
	st, err := control.Status(ctx)
	if err != nil {
		return err
	}
	slotNow := st.Slots[slot]
	onTrial := st.Update.Target != nil && *st.Update.Target == slot &&
		(st.Update.State == backends.Activated || st.Update.State == backends.Testing || st.Update.State == backends.RolledBack)
	return answer(slotNow.Bootable != nil && *slotNow.Bootable && !onTrial)
}

func printSuffix(_ context.Context, in *cli.Invocation, _ *backends.Control) error {
	slot, err := oneSlot(in)
	if err != nil {
		return err
	}
	suffix := ""
	if slot == backends.B {
		suffix = "_b"
	}
	_, err = fmt.Fprintln(in.Stdout, suffix)
	return err
}

// redundant reads boot control and says whether the root file system is redundant.
func redundant(ctx context.Context, in *cli.Invocation, control *backends.Control) (backends.State, bool, error) {
	if _, err := arguments(in, 0); err != nil {
		return backends.State{}, false, err
	}
	st, err := control.State(ctx)
	return st, st.Redundancy != nil && *st.Redundancy != 0, err
}

func answerRootfsAB(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	st, yes, err := redundant(ctx, in, control)
	if err != nil || !yes {
		return err
	}
	return &cli.Answer{Code: fail.Code(1 + st.Current.Index())}
}

// answerUnified: firmware and root file system switch together exactly where the root file system is redundant. 69 is
// nvbootctrl's own answer for no.
func answerUnified(ctx context.Context, in *cli.Invocation, control *backends.Control) error {
	_, yes, err := redundant(ctx, in, control)
	if err != nil || yes {
		return err
	}
	return &cli.Answer{Code: fail.Unavailable}
}
