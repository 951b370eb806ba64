package main

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

func renderVerb() cli.Verb {
	return cli.Verb{
		Name: "render", Synopsis: "RELEASE.toml [-o FILE] [--members FOLDER] [--syntax SYNTAX] [--encryption-key FILE] [--allow CHECK]... [--work FOLDER]",
		Summary: "print the sw-description of a release",
		Help: `
For a build that packs and signs with tools of its own. Sizes and digests are those of the files, which are read, checked and
compressed as pack does it; what was found goes to standard error. --members writes the files that belong to the description:
those that were compressed or encrypted exist nowhere else, and encryption makes them anew each time.
` + allowHelp,
		Flags: func(f *pflag.FlagSet) {
			f.StringP("output", "o", "", "write to `FILE` instead of standard output")
			f.String("members", "", "write the members into a new `FOLDER`")
			syntaxFlag(f)
			f.String("encryption-key", "", "`FILE` with the AES key of a release with encrypted components")
			preparing(f)
		},
		Run: runRender,
	}
}

func runRender(ctx context.Context, in *cli.Invocation) error {
	file, err := oneFile(in, "RELEASE.toml")
	if err != nil {
		return err
	}
	written, err := oneOf(in, "syntax", string(syntax.Libconfig), string(syntax.JSON))
	if err != nil {
		return err
	}
	r, err := load(in, file)
	if err != nil {
		return err
	}
	members := in.Text("members")
	if err := outputs(in, members, file, r); err != nil {
		return err
	}
	plan, end, err := prepare(ctx, in, r, pack.SWU)
	if err != nil {
		return err
	}
	defer plan.Close()
	end.progress()
	if changed := plan.Changed(); members == "" && len(changed) > 0 {
		plan.Problems = append(plan.Problems, problem.Warnf("members", "%s: what is described was made for this description alone",
			strings.Join(changed, ", ")).Then("write the members with --members FOLDER"))
	}
	if err := printProblems(in.Stderr, plan.Problems); err != nil {
		return fail.New(fail.IO, "cannot print what was found: %w", err)
	}
	if err := judge("render", file, plan.Problems); err != nil {
		return err
	}
	if members != "" {
		err := pack.OutputFolder(members, func(dir string) error { return plan.WriteMembers(ctx, dir, end.report) })
		end.progress()
		if err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := plan.WriteDescription(&b, syntax.Format(written)); err != nil {
		return err
	}
	return deliver(in, b.Bytes())
}

// outputs says before the files are read whether what is asked for can be written.
func outputs(in *cli.Invocation, members, file string, r *release.Release) error {
	if members != "" {
		if err := pack.CanOutput(members, true); err != nil {
			return err
		}
	}
	if output := in.Text("output"); output != "" {
		return pack.CanOutput(output, false, append(files(r), file, in.Text("encryption-key"))...)
	}
	return nil
}

// deliver writes a text to --output or standard output.
func deliver(in *cli.Invocation, b []byte) error {
	if output := in.Text("output"); output != "" {
		return pack.Output(output, func(w io.Writer) error {
			if _, err := w.Write(b); err != nil {
				return fail.New(fail.IO, "cannot write %s: %w", output, err)
			}
			return nil
		})
	}
	if _, err := in.Stdout.Write(b); err != nil {
		return fail.New(fail.IO, "cannot print: %w", err)
	}
	return nil
}
