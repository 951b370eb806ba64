package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// program is virtual-orin. It is bare: it makes the device that --root of the others names, and has none itself.
func program() cli.Program {
	return cli.Program{
		Name:    "virtual-orin",
		Bare:    true,
		Summary: "a Jetson in a folder, for development and tests",
		Help: `
create makes a flashed device in a folder. The executables of tegra-ota work on it with --root DIR, or TEGRA_OTA_ROOT=DIR;
boot then does what the firmware would do between two boots, as a timeline in plain sentences. capsule builds firmware for
it, signed with a throw-away key.

A T186 or T194 with --l4t 32.7.5 is a JetPack 4 device: slot metadata in place of UEFI variables, and NVIDIA's nvbootctrl and
nv_update_engine as scripts in DIR/usr/sbin, which call this executable back. bup builds firmware for nv_update_engine.

boot answers 0 when Linux userspace runs in the end, and 1 when it does not.`,
		Verbs: []cli.Verb{createVerb(), bootVerb(), statusVerb(), capsuleVerb(), bupVerb(), programsVerb(), programVerb()},
	}
}

func jsonFlag(f *pflag.FlagSet) { f.Bool("json", false, "print one JSON object") }

// oneFolder takes the only argument of most verbs.
func oneFolder(in *cli.Invocation) (string, error) {
	if n := in.Flags.NArg(); n != 1 {
		return "", usageError("cannot %s: want one folder, got %d arguments", in.Verb, n)
	}
	return in.Flags.Arg(0), nil
}

func usageError(format string, args ...any) error {
	return fail.New(fail.Usage, format, args...).Then("see virtual-orin --help")
}

func counted(n uint64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
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
