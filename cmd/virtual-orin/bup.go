package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func bupVerb() cli.Verb {
	return cli.Verb{
		Name: "bup", Synopsis: "-o FILE --module MODULE --l4t VERSION [FLAGS]",
		Summary: "build a payload of synthetic images for nv_update_engine of JetPack 4",
		Flags: func(f *pflag.FlagSet) {
			f.StringP("output", "o", "", "`FILE` to write (required)")
			f.String("l4t", "", "`VERSION` of the firmware in it (required)")
			f.String("module", "", "`MODULE` it is for, a T186 or T194 (required)")
			f.StringArray("spec", nil, "`SPEC` (tnspec) of the board-specific images; may be repeated (default: the module's and a sister's)")
			f.StringArray("omit", nil, "leave out the image of this `NAME`; may be repeated")
			f.Bool("kernel", false, "add kernel and kernel-dtb")
			f.String("size-per-image", "4K", "`SIZE` of each image")
			f.String("damage", "", "damage it: magic, cut, image or versions (`HOW`)")
		},
		Run: buildBUP,
	}
}

func buildBUP(_ context.Context, in *cli.Invocation) error {
	output, l4t, module := in.Text("output"), in.Text("l4t"), in.Text("module")
	switch {
	case in.Flags.NArg() > 0:
		return usageError("cannot use argument %q", in.Flags.Arg(0))
	case output == "":
		return usageError("cannot build a payload without an output file: want -o FILE")
	case l4t == "" || module == "":
		return usageError("cannot build a payload without a version and a module: want --l4t VERSION --module MODULE")
	}
	size, err := parseSize(in.Text("size-per-image"))
	if err != nil {
		return err
	}
	raw, err := virtual.BuildBUP(virtual.BUPOptions{
		Module: module, L4T: l4t, Specs: in.List("spec"), Omit: in.List("omit"), Kernel: in.Set("kernel"), ImageSize: int(size),
		Damage: virtual.Damage(in.Text("damage")),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(output, raw, 0o644); err != nil {
		return fmt.Errorf("cannot write payload: %w", err)
	}
	_, err = fmt.Fprintf(in.Stdout, "wrote payload with L4T %s to %s, %d bytes\n", l4t, output, len(raw))
	return err
}
