package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func prepareBoot(e env, flags *pflag.FlagSet) func(context.Context, []string) (fail.Code, error) {
	cold := flags.Bool("cold", false, "power off and on: the scratch registers are lost")
	warm := flags.Bool("warm", false, "reset: the scratch registers are kept (default)")
	failing := flags.String("fail", "", "what fails on the slot that is about to boot: firmware, kernel or userspace")
	userspace := flags.String("userspace", "", "shell command to run once Linux is up, with TEGRA_OTA_ROOT and VIRTUAL_ORIN_STAGE set")
	cut := flags.Int("cut", 0, "cut the power instead of the firmware's N-th write")
	cutPhase := flags.String("cut-phase", "", "cut the power at the first write of a phase, for example capsule-mb1 or bct-switch")
	afterCut := flags.String("after-cut", string(virtual.AfterCutRetry), "what a cut inside capsule processing leaves of the request: retry, flag-cleared or both-cleared")
	asJSON := flags.Bool("json", false, "print one JSON object")
	return func(ctx context.Context, args []string) (fail.Code, error) {
		dir, err := oneFolder(args)
		if err != nil {
			return 0, err
		}
		switch {
		case *cold && *warm:
			return 0, usageError("a boot is either cold or warm")
		case flags.Changed("cut") && *cut < 1:
			return 0, usageError("writes count from 1")
		}
		o, err := virtual.Open(dir)
		if err != nil {
			return 0, err
		}
		opts := virtual.BootOptions{
			Cold: *cold, Fail: virtual.Failure(*failing),
			CutAt: *cut, CutPhase: *cutPhase, AfterCut: virtual.AfterCut(*afterCut),
		}
		if *userspace != "" {
			opts.Userspace = shell(ctx, e, o.Dir(), *userspace)
		}
		if !*asJSON {
			opts.Watch = func(sentence string) { fmt.Fprintln(e.Stdout, sentence) }
		}
		report, err := o.Boot(ctx, opts)
		if err != nil {
			return 0, err
		}
		if (*cut > 0 || *cutPhase != "") && report.Outcome != virtual.OutcomePowerCut {
			fmt.Fprintf(e.Stderr, "virtual-orin: the power was not cut: the firmware made %d writes\n", report.FirmwareWrites)
		}
		if err := printBoot(e.Stdout, report, *asJSON); err != nil {
			return 0, err
		}
		if report.Outcome != virtual.OutcomeRunning {
			return fail.No, nil
		}
		return fail.OK, nil
	}
}

// shell runs a command as the device's userspace. What it prints goes to standard error: standard output is the report's.
func shell(ctx context.Context, e env, root, command string) func(stage string) error {
	return func(stage string) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Env = append(append([]string{}, e.Environ...), "TEGRA_OTA_ROOT="+root, "VIRTUAL_ORIN_STAGE="+stage)
		cmd.Stdout, cmd.Stderr = e.Stderr, e.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("cannot run %q: %w", command, err)
		}
		return nil
	}
}

// printBoot ends the timeline, which was printed as it happened, or prints all of it as JSON.
func printBoot(w io.Writer, r virtual.BootReport, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	text := fmt.Sprintf("outcome: %s", r.Outcome)
	if r.KernelStarted() {
		text += fmt.Sprintf(", chain %s, root file system %s", r.Chain, r.Rootfs)
	}
	_, err := fmt.Fprintf(w, "%s, %d resets, %d firmware writes\n", text, r.Resets, r.FirmwareWrites)
	return err
}

// printJSON prints one object with one write, so that a reader of a pipe never sees half of it.
func printJSON(w io.Writer, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot print JSON: %w", err)
	}
	_, err = w.Write(append(raw, '\n'))
	return err
}
