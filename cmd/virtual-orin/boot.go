package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func bootVerb() cli.Verb {
	return cli.Verb{
		Name: "boot", Synopsis: "DIR [--cold|--warm] [--userspace COMMAND] [FLAGS]",
		Summary: "make one attempt to boot: from reset or power-on until Linux userspace runs, or does not",
		Flags: func(f *pflag.FlagSet) {
			f.Bool("cold", false, "power off and on: the scratch registers are lost")
			f.Bool("warm", false, "reset: the scratch registers are kept (default)")
			f.String("fail", "", "let `WHAT` fail on the slot that is about to boot: firmware, kernel or userspace")
			f.String("userspace", "", "run shell `COMMAND` once Linux is up, with TEGRA_OTA_ROOT and VIRTUAL_ORIN_STAGE set")
			f.Int("cut", 0, "cut the power instead of the firmware's `N`-th write")
			f.String("cut-phase", "", "cut the power at the first write of a `PHASE`, for example capsule-mb1 or bct-switch")
			f.String("after-cut", string(virtual.AfterCutRetry),
				"`STATE` in which a cut inside capsule processing leaves the request: retry, flag-cleared or both-cleared")
			jsonFlag(f)
		},
		Run: boot,
	}
}

func boot(ctx context.Context, in *cli.Invocation) error {
	dir, err := oneFolder(in)
	if err != nil {
		return err
	}
	cut, _ := in.Flags.GetInt("cut")
	opts := virtual.BootOptions{
		Cold: in.Set("cold"), Fail: virtual.Failure(in.Text("fail")),
		CutAt: cut, CutPhase: in.Text("cut-phase"), AfterCut: virtual.AfterCut(in.Text("after-cut")),
	}
	switch {
	case opts.Cold && in.Set("warm"):
		return usageError("cannot boot both cold and warm")
	case in.Flags.Changed("cut") && cut < 1:
		return usageError("cannot cut at write %d: writes count from 1", cut)
	}
	o, err := virtual.Open(dir)
	if err != nil {
		return err
	}
	if command := in.Text("userspace"); command != "" {
		opts.Userspace = shell(ctx, in.Stderr, o.Dir(), command)
	}
	asJSON := in.Set("json")
	if !asJSON {
		opts.Watch = func(sentence string) { fmt.Fprintln(in.Stdout, sentence) }
	}
	report, err := o.Boot(ctx, opts)
	if err != nil {
		return err
	}
	if (cut > 0 || opts.CutPhase != "") && report.Outcome != virtual.OutcomePowerCut {
		fmt.Fprintf(in.Stderr, "virtual-orin: the power was not cut: the firmware made %d writes\n", report.FirmwareWrites)
	}
	if err := printBoot(in.Stdout, report, asJSON); err != nil {
		return err
	}
	if report.Outcome != virtual.OutcomeRunning {
		return &cli.Answer{Code: fail.No}
	}
	return nil
}

// shell runs a command as the device's userspace. What it prints goes to standard error: standard output is the report's.
func shell(ctx context.Context, log io.Writer, root, command string) func(stage string) error {
	return func(stage string) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", command)
		cmd.Env = append(os.Environ(), "TEGRA_OTA_ROOT="+root, "VIRTUAL_ORIN_STAGE="+stage)
		cmd.Stdout, cmd.Stderr = log, log
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
	end := fmt.Sprintf("outcome: %s", r.Outcome)
	if r.KernelStarted() {
		end += fmt.Sprintf(", chain %s, root file system %s", r.Chain, r.Rootfs)
	}
	_, err := fmt.Fprintf(w, "%s, %s, %s\n", end, counted(uint64(r.Resets), "reset"), counted(uint64(r.FirmwareWrites), "firmware write"))
	return err
}
