package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// bootctlProgram is tegra-bootctl, and nvbootctrl.
func bootctlProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-bootctl",
		Summary: "shows and controls which slot boots, and the update in flight",
		Help: `
status is what to read first; check says why an update would fail and is meant as SWUpdate's preupdatecmd. activate without a
slot activates the update in flight; with "other", "a" or "b" it also switches without an update, if the slot is whole. Naming
the running slot takes an activation back. verdict answers 0 only for "applied".

Linked as nvbootctrl, or by the same commands here, it answers in nvbootctrl's words (L4T R36), and knows the commands that
R35 removed.`,
		Verbs: append(controlVerbs(), nvbootctrlVerbs()...),
	}
}

func controlVerbs() []cli.Verb {
	jsonFlag := func(f *pflag.FlagSet) { f.Bool("json", false, "print JSON") }
	return []cli.Verb{
		{
			Name: "status", Synopsis: "[--json]", Summary: "show both slots, the update in flight, the last verdict, and what is wrong",
			Flags: jsonFlag, Run: status,
		},
		{
			Name: "check", Synopsis: "[--firmware-only] [--json]", Summary: "say what would make an update fail, before it begins",
			Flags: func(f *pflag.FlagSet) {
				jsonFlag(f)
				f.Bool("firmware-only", false, "the update brings no image for a slot's partitions")
			},
			Run: check,
		},
		{
			Name: "activate", Synopsis: "[--update ID] [other|a|b] [--json]", Summary: "make the updated slot, or the named one, boot next",
			Flags: func(f *pflag.FlagSet) {
				jsonFlag(f)
				f.String("update", "", "`ID` that the update in flight must have")
			},
			Run: activate,
		},
		{Name: "commit", Synopsis: "[--json]", Summary: "accept the running slot", Flags: jsonFlag, Run: commit},
		{
			Name: "rollback", Synopsis: "[--json]", Summary: "give up the slot on trial and make the other one boot next",
			Flags: jsonFlag, Run: rollback,
		},
		{Name: "abort", Summary: "give up the update in flight", Run: abort},
		{Name: "verdict", Synopsis: "[--json]", Summary: "say what the last boot did with the update", Flags: jsonFlag, Run: verdict},
		raucConfigVerb(), monitorVerb(),
	}
}

func wantsJSON(in *cli.Invocation) bool {
	v, _ := in.Flags.GetBool("json")
	return v
}

func status(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	st, err := control.Status(ctx)
	if err != nil {
		return err
	}
	if wantsJSON(in) {
		return printJSON(in, st)
	}
	return printStatus(in.Stdout, st)
}

func controlWithoutArguments(ctx context.Context, in *cli.Invocation) (*backends.Control, error) {
	if _, err := arguments(in, 0); err != nil {
		return nil, err
	}
	return newControl(ctx, in)
}

func check(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	firmwareOnly, _ := in.Flags.GetBool("firmware-only")
	problems, err := control.Check(ctx, backends.Scope{FirmwareOnly: firmwareOnly})
	if err != nil {
		return err
	}
	if wantsJSON(in) {
		err = printJSON(in, map[string]any{"problems": problems})
	} else {
		err = printProblems(in.Stdout, problems)
	}
	if err != nil {
		return err
	}
	return worst(problems)
}

// worst turns findings into an exit code: busy before unavailable, because it ends by itself. The message repeats the first
// error, because an updater shows stderr and not stdout.
func worst(problems []backends.Problem) error {
	var first *backends.Problem
	for i := range problems {
		p := &problems[i]
		if p.Code() != fail.OK && (first == nil || p.Code() == fail.Busy && first.Code() != fail.Busy) {
			first = p
		}
	}
	if first == nil {
		return nil
	}
	e := fail.New(first.Code(), "an update would fail: %s", first.Reason)
	if first.NextStep != "" {
		e = e.Then("%s", first.NextStep)
	}
	return e
}

func activate(ctx context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	slot, err := activateSlot(ctx, control, first(args))
	if err != nil {
		return err
	}
	id, _ := in.Flags.GetString("update")
	a, err := control.Activate(ctx, id, slot)
	if err != nil {
		return err
	}
	warnAll(in, a.Warnings)
	if wantsJSON(in) {
		if a.Warnings == nil {
			a.Warnings = []string{} // a list is never null
		}
		return printJSON(in, map[string]any{"next": a.Slot, "firmware": a.Firmware, "nothing_to_do": a.Nothing, "warnings": a.Warnings})
	}
	switch {
	case a.Nothing:
		_, err = fmt.Fprintln(in.Stdout, "nothing to do: the firmware is there already")
	case a.Firmware != nil:
		_, err = fmt.Fprintf(in.Stdout, "the next boot installs firmware %s and starts slot %s\n", a.Firmware, a.Slot)
	default:
		_, err = fmt.Fprintf(in.Stdout, "slot %s boots next\n", a.Slot)
	}
	return err
}

func activateSlot(ctx context.Context, control *backends.Control, name string) (backends.Slot, error) {
	switch strings.ToLower(name) {
	case "":
		return backends.None, nil
	case "other":
		st, err := control.State(ctx)
		return st.Current.Other(), err
	}
	return backends.ParseSlot(name)
}

func commit(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	message, err := control.Commit(ctx)
	if err != nil {
		return err
	}
	return printMessage(in, map[string]any{"message": message}, message)
}

func rollback(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	reboot, message, err := control.Rollback(ctx)
	if err != nil {
		return err
	}
	if reboot {
		message += "; reboot to finish"
	}
	return printMessage(in, map[string]any{"message": message, "reboot": reboot}, message)
}

func verdict(ctx context.Context, in *cli.Invocation) error {
	control, err := controlWithoutArguments(ctx, in)
	if err != nil {
		return err
	}
	v, err := control.Verdict(ctx)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s: %s", v.Outcome, v.Reason)
	if v.NextStep != "" {
		text += "\nnext step: " + v.NextStep
	}
	if err := printMessage(in, v, text); err != nil {
		return err
	}
	if v.Outcome != backends.Applied {
		return &cli.Answer{Code: fail.No}
	}
	return nil
}

func printMessage(in *cli.Invocation, value any, text string) error {
	if wantsJSON(in) {
		return printJSON(in, value)
	}
	_, err := io.WriteString(in.Stdout, text+"\n")
	return err
}
