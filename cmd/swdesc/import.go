package main

import (
	"bytes"
	"context"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

func importVerb() cli.Verb {
	return cli.Verb{
		Name: "import", Synopsis: "MANIFEST.json {--signature FILE --public-key FILE... | --unsigned} [-o FILE]",
		Summary: "make a release description from a JSON manifest",
		Help: `
Reads the manifest of public Jetson guides: version, hardware_compatibility, minimum_version, pre_checks, and components with
name, filename, sha256, size, type (tegra-bup, raw-image), target_partition and compressed. Its signature, RSA (PKCS#1 v1.5) or
ECDSA P-256 with SHA-256 over the file, must be by one of the public keys, two of which may be in use while keys are rotated.
Sizes and digests are compared with the files beside the manifest.`,
		Flags: func(f *pflag.FlagSet) {
			f.String("signature", "", "`FILE` with the detached signature, binary or base64")
			f.StringArray("public-key", nil, "`FILE` with a public key or certificate (PEM); twice while keys are rotated")
			f.Bool("unsigned", false, "take a manifest without a signature")
			f.StringP("output", "o", "", "write to `FILE` instead of standard output")
		},
		Run: runImport,
	}
}

func runImport(_ context.Context, in *cli.Invocation) error {
	file, err := oneFile(in, "MANIFEST.json")
	if err != nil {
		return err
	}
	o := release.ImportOptions{
		Manifest: file, Signature: in.Text("signature"), Keys: in.List("public-key"), Unsigned: in.Set("unsigned"), Dir: filepath.Dir(file),
	}
	switch n := len(o.Keys); {
	case o.Unsigned && (o.Signature != "" || n > 0):
		return usageError(in, "cannot take the manifest as unsigned and check its signature")
	case !o.Unsigned && (o.Signature == "" || n == 0):
		return usageError(in, "cannot trust the manifest: want --signature and --public-key, or --unsigned")
	case n > 2:
		return usageError(in, "cannot take %d public keys: want one or two", n)
	}
	if output := in.Text("output"); output != "" {
		if err := pack.CanOutput(output, false, append([]string{file, o.Signature}, o.Keys...)...); err != nil {
			return err
		}
	}
	r, problems, err := release.Import(o)
	if err != nil {
		return err
	}
	if output := in.Text("output"); output != "" {
		if err := pack.CanOutput(output, false, files(r)...); err != nil {
			return err
		}
	}
	if len(r.Hardware.Revisions) == 0 {
		problems = append(problems, problem.Warnf("import", "a manifest has no hardware revisions, which SWUpdate compares").
			Then("set revisions in [hardware] for --format swu").At(file))
	}
	if err := printProblems(in.Stderr, problems); err != nil {
		return fail.New(fail.IO, "cannot print what was found: %w", err)
	}
	if err := judge("import", file, problems); err != nil {
		return err
	}
	if err := relocate(r, in.Text("output")); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		return err
	}
	return deliver(in, b.Bytes())
}

// relocate names the files from the folder that the release is written to.
func relocate(r *release.Release, output string) error {
	if output == "" {
		return nil
	}
	from, err := filepath.Abs(filepath.Dir(output))
	if err != nil {
		return fail.New(fail.IO, "cannot find the folder of %s: %w", output, err)
	}
	for i := range r.Components {
		c := &r.Components[i]
		path, err := filepath.Abs(c.Path(r.Base))
		if err != nil {
			return fail.New(fail.IO, "cannot find %s: %w", c.File, err)
		}
		if c.File, err = filepath.Rel(from, path); err != nil {
			return fail.New(fail.IO, "cannot name %s from %s: %w", path, from, err)
		}
	}
	r.Base = from
	return nil
}
