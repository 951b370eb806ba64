package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// env is what the process was given.
type env struct {
	Args    []string
	Environ []string
	Stdout  io.Writer
	Stderr  io.Writer
}

// command is one verb: it declares its flags and returns what runs once they are parsed.
type command struct {
	name, usage, about string
	prepare            func(env, *pflag.FlagSet) func(ctx context.Context, args []string) (fail.Code, error)
}

func commands() []command {
	return []command{
		{"create", "create DIR [flags]", "Makes a flashed device, running from slot A, in a new or empty folder.", prepareCreate},
		{"boot", "boot DIR [flags]", "Makes one attempt to boot: from reset or power-on until Linux userspace runs, or does not.", prepareBoot},
		{"status", "status DIR [flags]", "Shows what the hardware holds: chains, scratch register, variables, ESRT.", prepareStatus},
		{"capsule", "capsule -o FILE --l4t VERSION [flags]", "Builds a firmware capsule of synthetic images.", prepareCapsule},
	}
}

// run does one command and returns its exit code.
func run(ctx context.Context, e env) int {
	code, err := dispatch(ctx, e)
	if err != nil {
		fmt.Fprintf(e.Stderr, "virtual-orin: %v\n", err)
	}
	return int(code)
}

func dispatch(ctx context.Context, e env) (fail.Code, error) {
	if len(e.Args) == 0 {
		return fail.Usage, usageError("no command")
	}
	switch e.Args[0] {
	case "--help", "-h", "help":
		_, err := io.WriteString(e.Stdout, overview())
		return fail.CodeOf(err), err
	case "--version":
		_, err := fmt.Fprintf(e.Stdout, "virtual-orin %s\n", version())
		return fail.CodeOf(err), err
	}
	for _, c := range commands() {
		if c.name == e.Args[0] {
			return c.run(ctx, e, e.Args[1:])
		}
	}
	return fail.Usage, usageError("unknown command %q", e.Args[0])
}

func (c command) run(ctx context.Context, e env, args []string) (fail.Code, error) {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	do := c.prepare(e, flags)
	help := flags.BoolP("help", "h", false, "print this help")
	showVersion := flags.Bool("version", false, "print the version")
	err := flags.Parse(args)
	switch {
	case *help || errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Fprintf(e.Stdout, "Usage: virtual-orin %s\n\n%s\n\nFlags:\n%s", c.usage, c.about, flags.FlagUsages())
		return fail.CodeOf(err), err
	case err != nil:
		return fail.Usage, usageError("%v", err)
	case *showVersion:
		_, err := fmt.Fprintf(e.Stdout, "virtual-orin %s\n", version())
		return fail.CodeOf(err), err
	}
	code, err := do(ctx, flags.Args())
	if err != nil {
		code = fail.CodeOf(err)
	}
	return code, err
}

// oneFolder takes the only argument of most commands.
func oneFolder(args []string) (string, error) {
	if len(args) != 1 {
		return "", usageError("want one folder, got %d arguments", len(args))
	}
	return args[0], nil
}

func usageError(format string, args ...any) error {
	return fail.New(fail.Usage, format, args...).Then("see virtual-orin --help")
}

func overview() string {
	text := "Usage: virtual-orin COMMAND [flags]\n\nA Jetson Orin in a folder.\n\nCommands:\n"
	for _, c := range commands() {
		text += fmt.Sprintf("  %-9s %s\n", c.name, c.about)
	}
	return text + `
Flags:
  -h, --help      print this help; behind a command, that command's
      --version   print the version

Exit status: 0 done, or Linux userspace runs; 1 userspace does not run; 64 usage; 65 bad file; 69 no such device or
folder not empty; 70 a bug; 74 reading or writing failed; 77 permission.
`
}

// version is what the Go tool recorded when the program was built.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
