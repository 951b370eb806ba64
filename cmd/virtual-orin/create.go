package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/cli"
)

func createVerb() cli.Verb {
	return cli.Verb{
		Name: "create", Synopsis: "DIR [FLAGS]",
		Summary: "make a flashed device, running from slot A, in a new or empty folder",
		Flags: func(f *pflag.FlagSet) {
			f.String("module", virtual.DefaultModule, "`MODULE`: "+strings.Join(virtual.Modules(), ", "))
			f.String("l4t", "36.4.0", "`VERSION` of the firmware in both chains")
			f.String("redundancy", string(virtual.RootfsAB), "RootfsRedundancyLevel `LEVEL`: 0, 1, or absent (no redundancy variables at all); "+
				"with L4T 32 also rootfs (root file systems that switch on their own)")
			f.String("nvbootctrl", "", "install NVIDIA's nvbootctrl speaking `DIALECT` (default: with L4T 32 that of the release, else none): "+
				words(virtual.Dialects))
			f.Bool("rotate", false, "with L4T 32: without nv_update_verifier.service, so that cboot changes slots until a client speaks up")
			f.String("app-size", "64M", "`SIZE` of APP and APP_b: bytes, or with K, M, G")
			f.String("lowest", "", "lowest firmware `VERSION` that ESRT admits (default: that of --l4t)")
			f.String("size-per-image", "4K", "`SIZE` of each firmware image in the flash")
		},
		Run: create,
	}
}

func create(_ context.Context, in *cli.Invocation) error {
	dir, err := oneFolder(in)
	if err != nil {
		return err
	}
	opts := virtual.CreateOptions{
		Module: in.Text("module"), L4T: in.Text("l4t"), Redundancy: virtual.Redundancy(in.Text("redundancy")), Lowest: in.Text("lowest"),
	}
	if opts.AppSize, err = parseSize(in.Text("app-size")); err != nil {
		return err
	}
	size, err := parseSize(in.Text("size-per-image"))
	if err != nil {
		return err
	}
	opts.ImageSize = int(size)
	opts.Rotate = in.Set("rotate")
	programs := virtual.ProgramOptions{Dialect: virtual.Dialect(in.Text("nvbootctrl"))}
	if err := programs.Check(); err != nil {
		return err
	}
	o, err := virtual.Create(dir, opts)
	if err != nil {
		return err
	}
	if programs.Dialect != "" || o.JetPack4() {
		if err := o.SetPrograms(programs); err != nil {
			return err
		}
		if err := install(o); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(in.Stdout, "made a %s with L4T %s in %s, running from slot A\n", opts.Module, opts.L4T, o.Dir())
	return err
}

// parseSize reads a number of bytes with an optional unit of 1024.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGkmg")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, ok := map[string]int{"": 0, "K": 10, "M": 20, "G": 30}[strings.ToUpper(s[len(digits):])]
	if err != nil || !ok || n <= 0 || n > 1<<62>>shift {
		return 0, usageError("cannot read size %q: want bytes, or a number with K, M or G", s)
	}
	return n << shift, nil
}
