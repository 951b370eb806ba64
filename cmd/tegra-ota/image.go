package main

import (
	"context"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/handlers/image"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
)

// imageProgram is tegra-image.
func imageProgram() cli.Program {
	return cli.Program{
		Name:    "tegra-image",
		Summary: "writes a root file system, kernel or device tree image into the slot that does not run",
		Help: `
The image comes from FILE, or from stdin with - or without FILE; it may be compressed with zstd. It is written to the
inactive slot's partition, hashed on the way, synced, and read back past the page cache. A stream needs --size and --sha256
of the plain image, because its end is no proof that it is complete.

Before the first byte is written the target slot is made unbootable, so a power cut never boots a torn slot. Nothing is
activated: that is the update's last step, "tegra-bootctl activate".`,
		Verbs: []cli.Verb{
			{
				Name: "install", Synopsis: "--partition APP|kernel|kernel-dtb [--size N] [--sha256 HEX] [--update ID] [--unconfirmed] [FILE|-]",
				Summary: "write an image into the inactive slot",
				Flags: func(f *pflag.FlagSet) {
					partitionFlag(f)
					updateFlags(f)
					f.Int64("size", -1, "the plain image has `N` bytes")
					f.Lookup("size").DefValue = "0" // help names no default: -1 means unknown
					f.String("sha256", "", "SHA-256 of the plain image, 64 hexadecimal digits (`HEX`)")
				},
				Stdin: readsStdin, Run: installImage,
			},
			{
				Name: "confirm", Synopsis: "--partition APP|kernel|kernel-dtb [--update ID]",
				Summary: "say that the updater found its input good, after install --unconfirmed",
				Flags:   func(f *pflag.FlagSet) { partitionFlag(f); idFlag(f) },
				Run: func(ctx context.Context, in *cli.Invocation) error {
					partition, err := partitionOf(in)
					if err != nil {
						return err
					}
					return confirm(ctx, in, partition)
				},
			},
		},
	}
}

func partitionFlag(f *pflag.FlagSet) {
	f.String("partition", "", "the slot's partition with this `NAME`: APP, kernel or kernel-dtb (required)")
}

// partitionOf insists on --partition: no partition is the usual one.
func partitionOf(in *cli.Invocation) (string, error) {
	name, _ := in.Flags.GetString("partition")
	if name == "" {
		return "", fail.New(fail.Usage, "cannot %s an image: --partition is required", in.Verb).Then("it is APP, kernel or kernel-dtb")
	}
	return name, nil
}

func idFlag(f *pflag.FlagSet) {
	f.String("update", "", "name of the update this belongs to; parts with another `ID` start over")
}

// updateFlags are those of every install.
func updateFlags(f *pflag.FlagSet) {
	idFlag(f)
	f.Bool("unconfirmed", false, "the updater will say later, with confirm, whether its input was good")
}

// readsStdin says whether the file arguments mean stdin.
func readsStdin(files []string) bool {
	return len(files) == 0 || len(files) == 1 && files[0] == "-"
}

func installImage(ctx context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	o := image.Options{}
	if o.Partition, err = partitionOf(in); err != nil {
		return err
	}
	o.Size, _ = in.Flags.GetInt64("size")
	if in.Flags.Changed("size") && o.Size < 0 {
		return fail.New(fail.Usage, "cannot use --size %d: a size is not negative", o.Size)
	}
	o.SHA256, _ = in.Flags.GetString("sha256")
	o.ID, _ = in.Flags.GetString("update")
	o.Unconfirmed, _ = in.Flags.GetBool("unconfirmed")
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	src, err := source.Open(first(args), in.Stdin)
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := image.Install(ctx, in.Machine, control, src, o)
	if err != nil {
		return err
	}
	in.Log.WithField("sha256", r.SHA256).Infof("wrote %d bytes to %s (%s) of slot %s and read them back", r.Size, r.Label, r.Device, r.Slot)
	return nil
}

func confirm(ctx context.Context, in *cli.Invocation, part string) error {
	if _, err := arguments(in, 0); err != nil {
		return err
	}
	control, err := newControl(ctx, in)
	if err != nil {
		return err
	}
	id, _ := in.Flags.GetString("update")
	return control.Confirm(ctx, id, part)
}
