package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func prepareCapsule(e env, flags *pflag.FlagSet) func(context.Context, []string) (fail.Code, error) {
	output := flags.StringP("output", "o", "", "file to write (required)")
	l4t := flags.String("l4t", "", "version of the firmware in it (required)")
	specs := flags.StringArray("spec", nil, "tnspec of the board-specific images; may be repeated (default: every Orin NX and Nano)")
	module := flags.String("module", "", "take the spec of this module")
	lowest := flags.String("lowest", "", "lowest supported version (default: that of --l4t)")
	omit := flags.StringArray("omit", nil, "leave out the image of this name; may be repeated")
	imageType := flags.String("image-type", "", "GUID of the firmware it is for (default: that of T234)")
	imageSize := flags.String("size-per-image", "4K", "size of each image")
	unsigned := flags.Bool("unsigned", false, "leave out the signature")
	return func(_ context.Context, args []string) (fail.Code, error) {
		switch {
		case len(args) > 0:
			return 0, usageError("unexpected argument %q", args[0])
		case *output == "":
			return 0, usageError("no output file: want -o FILE")
		case *l4t == "":
			return 0, usageError("no version: want --l4t VERSION")
		}
		if *module != "" {
			spec, err := virtual.CapsuleSpec(*module)
			if err != nil {
				return 0, err
			}
			*specs = append(*specs, spec)
		}
		size, err := parseSize(*imageSize)
		if err != nil {
			return 0, err
		}
		raw, err := virtual.BuildCapsule(virtual.CapsuleOptions{
			L4T: *l4t, Lowest: *lowest, Specs: *specs, Omit: *omit, ImageType: *imageType, ImageSize: int(size), Unsigned: *unsigned,
		})
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(*output, raw, 0o644); err != nil {
			return 0, fmt.Errorf("cannot write capsule: %w", err)
		}
		_, err = fmt.Fprintf(e.Stdout, "wrote capsule with L4T %s to %s, %d bytes\n", *l4t, *output, len(raw))
		return fail.OK, err
	}
}
