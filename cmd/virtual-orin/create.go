package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

func prepareCreate(e env, flags *pflag.FlagSet) func(context.Context, []string) (fail.Code, error) {
	module := flags.String("module", virtual.DefaultModule, "module: "+strings.Join(virtual.Modules(), ", "))
	l4t := flags.String("l4t", "36.4.0", "version of the firmware in both chains")
	redundancy := flags.String("redundancy", string(virtual.RootfsAB), "RootfsRedundancyLevel: 0, 1, or absent (no redundancy variables at all)")
	appSize := flags.String("app-size", "64M", "size of APP and APP_b: bytes, or with K, M, G")
	lowest := flags.String("lowest", "", "lowest firmware version that ESRT admits (default: that of --l4t)")
	imageSize := flags.String("size-per-image", "4K", "size of each firmware image in the flash")
	return func(_ context.Context, args []string) (fail.Code, error) {
		dir, err := oneFolder(args)
		if err != nil {
			return 0, err
		}
		opts := virtual.CreateOptions{Module: *module, L4T: *l4t, Redundancy: virtual.Redundancy(*redundancy), Lowest: *lowest}
		if opts.AppSize, err = parseSize(*appSize); err != nil {
			return 0, err
		}
		size, err := parseSize(*imageSize)
		if err != nil {
			return 0, err
		}
		opts.ImageSize = int(size)
		o, err := virtual.Create(dir, opts)
		if err != nil {
			return 0, err
		}
		_, err = fmt.Fprintf(e.Stdout, "made a %s with L4T %s in %s, running from slot A\n", *module, *l4t, o.Dir())
		return fail.OK, err
	}
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
