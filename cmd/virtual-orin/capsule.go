package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func capsuleVerb() cli.Verb {
	return cli.Verb{
		Name: "capsule", Synopsis: "-o FILE --l4t VERSION [FLAGS]",
		Summary: "build a firmware capsule of synthetic images",
		Flags: func(f *pflag.FlagSet) {
			f.StringP("output", "o", "", "`FILE` to write (required)")
			f.String("l4t", "", "`VERSION` of the firmware in it (required)")
			f.StringArray("spec", nil, "`SPEC` (tnspec) of the board-specific images; may be repeated (default: every Orin NX and Nano)")
			f.String("module", "", "take the spec of this `MODULE`")
			f.String("lowest", "", "lowest supported `VERSION` (default: that of --l4t)")
			f.StringArray("omit", nil, "leave out the image of this `NAME`; may be repeated")
			f.String("image-type", "", "`GUID` of the firmware it is for (default: that of T234)")
			f.String("size-per-image", "4K", "`SIZE` of each image")
			f.Bool("unsigned", false, "leave out the signature")
		},
		Run: buildCapsule,
	}
}

func buildCapsule(_ context.Context, in *cli.Invocation) error {
	output, l4t := in.Text("output"), in.Text("l4t")
	switch {
	case in.Flags.NArg() > 0:
		return usageError("cannot use argument %q", in.Flags.Arg(0))
	case output == "":
		return usageError("cannot build a capsule without an output file: want -o FILE")
	case l4t == "":
		return usageError("cannot build a capsule without a version: want --l4t VERSION")
	}
	specs := in.List("spec")
	if module := in.Text("module"); module != "" {
		spec, err := virtual.CapsuleSpec(module)
		if err != nil {
			return err
		}
		specs = append(specs, spec)
	}
	size, err := parseSize(in.Text("size-per-image"))
	if err != nil {
		return err
	}
	raw, err := virtual.BuildCapsule(virtual.CapsuleOptions{
		L4T: l4t, Lowest: in.Text("lowest"), Specs: specs, Omit: in.List("omit"), ImageType: in.Text("image-type"),
		ImageSize: int(size), Unsigned: in.Set("unsigned"),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(output, raw, 0o644); err != nil {
		return fmt.Errorf("cannot write capsule: %w", err)
	}
	_, err = fmt.Fprintf(in.Stdout, "wrote capsule with L4T %s to %s, %d bytes\n", l4t, output, len(raw))
	return err
}
