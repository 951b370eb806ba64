package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func programVerb() cli.Verb {
	return cli.Verb{
		Name: "program", Synopsis: "DIR nvbootctrl|nv_update_engine [ARGUMENT...]",
		Summary: "be one of NVIDIA's programs on the device; the scripts in DIR/usr/sbin call this",
		Help: `
Every argument behind the program's name is the program's own, so that the flags below stand before DIR. The exit code is the
program's; where a signal ends it, one ends this process. "virtual-orin programs" says which dialect it speaks and how it
fails.`,
		Flags: func(f *pflag.FlagSet) { f.SetInterspersed(false) },
		Run:   runProgram,
	}
}

func runProgram(ctx context.Context, in *cli.Invocation) error {
	args := in.Flags.Args()
	if len(args) < 2 {
		return usageError("cannot run a program: want a folder and a name, got %d arguments", len(args))
	}
	o, err := virtual.Open(args[0])
	if err != nil {
		return err
	}
	stdout, stderr, exit, err := o.RunProgram(ctx, args[1], args[2:]...)
	if err != nil {
		return err
	}
	fmt.Fprint(in.Stderr, stderr)
	if _, err := fmt.Fprint(in.Stdout, stdout); err != nil {
		return fmt.Errorf("cannot print: %w", err)
	}
	if exit < 0 {
		return endBySignal(ctx)
	}
	if exit > 0 {
		return &cli.Answer{Code: fail.Code(exit)}
	}
	return nil
}

// endBySignal ends this process as the program ended; one that was asked to end ends by that.
func endBySignal(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("cannot finish the program: %w", err)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGKILL); err != nil {
		return fmt.Errorf("cannot end by a signal: %w", err)
	}
	return nil
}

func programsVerb() cli.Verb {
	return cli.Verb{
		Name: "programs", Synopsis: "DIR [FLAGS]",
		Summary: "say which of NVIDIA's programs the device has, and how they fail; show it without flags",
		Flags: func(f *pflag.FlagSet) {
			f.String("nvbootctrl", "", "install nvbootctrl speaking `DIALECT`: "+words(virtual.Dialects))
			f.String("nvbootctrl-fail", "", "let nvbootctrl `FAIL`: "+words(virtual.NVBootctrlFailures)+", or \"\" for not at all")
			f.Bool("engine-payload", false, "nv_update_engine knows --payload, as it does from R32.6 on (default: as the release)")
			f.String("engine-fail", "", "let nv_update_engine `FAIL`: "+words(virtual.UpdateEngineFailures)+", or \"\" for not at all")
			jsonFlag(f)
		},
		Run: programs,
	}
}

func words[T ~string](all []T) string {
	text := ""
	for i, w := range all {
		if i > 0 {
			text += ", "
		}
		text += string(w)
	}
	return text
}

func programs(_ context.Context, in *cli.Invocation) error {
	dir, err := oneFolder(in)
	if err != nil {
		return err
	}
	o, err := virtual.Open(dir)
	if err != nil {
		return err
	}
	p, err := o.ProgramOptions()
	if err != nil {
		return err
	}
	changed := false
	for name, set := range map[string]func(string){
		"nvbootctrl":      func(v string) { p.Dialect = virtual.Dialect(v) },
		"nvbootctrl-fail": func(v string) { p.Failure = virtual.NVBootctrlFailure(v) },
		"engine-fail":     func(v string) { p.EngineFailure = virtual.UpdateEngineFailure(v) },
		"engine-payload":  func(v string) { yes, _ := strconv.ParseBool(v); p.Payload = &yes },
	} {
		if f := in.Flags.Lookup(name); f.Changed {
			set(f.Value.String())
			changed = true
		}
	}
	if changed {
		if err := o.SetPrograms(p); err != nil {
			return err
		}
	}
	if in.Flags.Changed("nvbootctrl") {
		if err := install(o); err != nil {
			return err
		}
	}
	if in.Set("json") {
		return printJSON(in.Stdout, p)
	}
	dialect, engine := p.Dialect, "as the release has it"
	if dialect == "" {
		dialect = o.Dialect()
	}
	if p.Payload != nil {
		engine = map[bool]string{true: "with --payload", false: "without --payload"}[*p.Payload]
	}
	_, err = fmt.Fprintf(in.Stdout, "nvbootctrl: dialect %s, failure %s\nnv_update_engine: %s, failure %s\n",
		dialect, orNone(string(p.Failure)), engine, orNone(string(p.EngineFailure)))
	return err
}

func orNone(word string) string {
	if word == "" {
		return "none"
	}
	return word
}

// install makes the scripts, which call this very executable.
func install(o *virtual.Orin) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot install NVIDIA's programs: %w", err)
	}
	return o.InstallPrograms(self)
}
