package main

import (
	"context"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/rauc"
)

const (
	defaultLibexec = "/usr/libexec/tegra-ota" // where make install puts the executables
	defaultKeyring = "/etc/rauc/ca.cert.pem"  // where examples/rauc has it
	raucConfigArgs = "[--compatible NAME] [--keyring FILE] [--data-directory DIR] [--rootfs-type ext4|raw] [--libexec DIR]"
)

// raucConfigVerb prints a system.conf for the device it runs on. Redundancy, slots and updates in flight are no matter: it says how
// the device is made, not how it is.
func raucConfigVerb() cli.Verb {
	return cli.Verb{
		Name: "rauc-config", Synopsis: raucConfigArgs, Summary: "print a system.conf for RAUC on this device",
		Flags: func(f *pflag.FlagSet) {
			f.String("compatible", "", "`NAME` that a bundle must have; without it the board's")
			f.String("keyring", defaultKeyring, "`FILE` with the certificates that RAUC trusts")
			f.String("data-directory", "", "`DIR` for RAUC's data; without it /data/rauc, if /data is a file system of its own")
			f.String("rootfs-type", "", "`TYPE` of the root file systems' slots, ext4 or raw; without it what is mounted decides")
			f.String("libexec", "", "`DIR` of the boot handler; without it this executable's, or "+defaultLibexec+" with --root")
		},
		Run: raucConfig,
	}
}

func raucConfig(_ context.Context, in *cli.Invocation) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	flag := func(name string) string {
		v, _ := in.Flags.GetString(name)
		return v
	}
	given := rauc.SystemConf{
		Compatible: flag("compatible"), Keyring: flag("keyring"), DataDirectory: flag("data-directory"),
		RootfsType: flag("rootfs-type"), Libexec: flag("libexec"),
	}
	if given.Libexec == "" {
		given.Libexec = ownFolder(in.Machine)
	}
	conf, warnings, err := rauc.Describe(in.Machine, in.Config.RAUC, given)
	if err != nil {
		return err
	}
	text, err := conf.Render()
	if err != nil {
		return err
	}
	warnAll(in, warnings)
	_, err = io.WriteString(in.Stdout, text)
	return err
}

// ownFolder is where this executable lies, and the boot handler's link beside it. A folder that stands in for a device is looked at
// with an executable of another.
func ownFolder(m *device.Machine) string {
	if m.IsPrefixed() {
		return defaultLibexec
	}
	file, err := os.Executable()
	if err == nil {
		file, err = filepath.EvalSymlinks(file)
	}
	if err != nil {
		return defaultLibexec
	}
	return filepath.Dir(file)
}
