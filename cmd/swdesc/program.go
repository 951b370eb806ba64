package main

import (
	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// program is swdesc. It is bare: it works on the build host and knows no device.
func program() cli.Program {
	return cli.Program{
		Name:    "swdesc",
		Bare:    true,
		Summary: "describe, check, pack and sign updates on the build host",
		Help: `
pack makes an update from a release description and refuses one that a device would refuse. check reads a release, or what
somebody else wrote: a sw-description or a .swu. verify checks the signature of a .swu and what was signed. render prints the
sw-description of a release. import makes a release description from the JSON manifest of public Jetson guides.

What is found is printed as "error" or "warning", with the next step; an error ends in exit code 65.`,
		Verbs: []cli.Verb{packVerb(), checkVerb(), verifyVerb(), renderVerb(), importVerb()},
	}
}

func jsonFlag(f *pflag.FlagSet) { f.Bool("json", false, "print one JSON object") }

// oneFile takes the only argument of every verb.
func oneFile(in *cli.Invocation, what string) (string, error) {
	if n := in.Flags.NArg(); n != 1 {
		return "", usageError(in, "cannot %s: want one file, %s, and got %d arguments", in.Verb, what, n)
	}
	return in.Flags.Arg(0), nil
}

func usageError(in *cli.Invocation, format string, args ...any) error {
	return fail.New(fail.Usage, format, args...).Then("see swdesc %s --help", in.Verb)
}

// oneOf takes a flag that has a few values.
func oneOf(in *cli.Invocation, name string, values ...string) (string, error) {
	got := in.Text(name)
	for _, v := range values {
		if got == v {
			return v, nil
		}
	}
	return "", usageError(in, "cannot take %q for --%s: want one of %v", got, name, values)
}
