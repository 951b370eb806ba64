package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/swdesc/cpio"
	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
	"github.com/tegra-ota/tegra-ota/swdesc/syntax"
)

func packVerb() cli.Verb {
	return cli.Verb{
		Name: "pack",
		Synopsis: "RELEASE.toml -o FILE [--format FORMAT] [--key FILE | --sign-command COMMAND] [--cert FILE] [--signature KIND] " +
			"[--signing-time] [--encryption-key FILE] [--container KIND] [--syntax SYNTAX] [--bundle-format FORMAT] [--allow CHECK]... " +
			"[--work FOLDER] [--json]",
		Summary: "check a release, and make the update for one updater",
		Help: `
Reads the release and every file of it, refuses what a device would refuse, and writes FILE, which is there whole or not at all.

  swu       a signed .swu for SWUpdate. Sign with --key and --cert, or let an HSM sign: --sign-command gets the bytes to sign on
            its standard input (for cms the DER of the signed attributes) and prints the raw signature; no private key is read
            then. For example: --sign-command 'pkcs11-tool -s -m SHA256-RSA-PKCS --id 01'. Each signature is checked with --cert
            before it is written. The same release gives the same bytes, but for pss and ECDSA signatures and encrypted images.
  rauc-dir  a folder for "rauc bundle", which signs: rauc bundle --cert CERT --key KEY FOLDER update.raucb
  mender    an artifact for the update module tegra-bup, by mender-artifact, which must be installed and signs with --key; version
            3.9 takes RSA keys in PKCS#1 (openssl rsa -traditional) and EC keys in SEC 1. Conditions are asked before the update
            is activated: until then it lies in the slot that does not run.

Components with "encrypt" are encrypted with AES-256-CBC and the key in --encryption-key, a file as SWUpdate's -K takes it.
` + allowHelp,
		Flags: func(f *pflag.FlagSet) {
			f.StringP("output", "o", "", "`FILE` to write, or folder (required)")
			f.String("format", string(pack.SWU), "`FORMAT` of the update: swu, rauc-dir or mender")
			signingFlags(f)
			f.String("encryption-key", "", "`FILE` with the AES key, as SWUpdate's -K takes it: 64 hexadecimal digits, and perhaps an IV")
			f.String("container", "crc", "`KIND` of cpio archive: crc, whose sums SWUpdate checks, or newc")
			syntaxFlag(f)
			f.String("bundle-format", "verity", "`FORMAT` of RAUC's bundle: verity (RAUC 1.5) or plain")
			preparing(f)
			jsonFlag(f)
		},
		Run: runPack,
	}
}

func syntaxFlag(f *pflag.FlagSet) {
	f.String("syntax", string(syntax.Libconfig), "`SYNTAX` of sw-description: libconfig or json")
}

// allowHelp is for the help of every verb with --allow.
var allowHelp = "The checks that --allow takes: " + strings.Join(release.Allowable, ", ") + "."

// preparing are the flags of every verb that looks into a release's files.
func preparing(f *pflag.FlagSet) {
	f.StringArray("allow", nil, "turn the errors of this `CHECK` into warnings, as \"allow\" in the release does; may be repeated")
	f.String("work", "", "`FOLDER` for temporary copies, at times as large as the images (default: TMPDIR)")
}

func runPack(ctx context.Context, in *cli.Invocation) error {
	file, err := oneFile(in, "RELEASE.toml")
	if err != nil {
		return err
	}
	format, err := oneOf(in, "format", string(pack.SWU), string(pack.RAUC), string(pack.Mender))
	if err != nil {
		return err
	}
	output := in.Text("output")
	if output == "" {
		return usageError(in, "cannot pack without an output: want -o FILE")
	}
	write, signed, err := writer(in, pack.Format(format))
	if err != nil {
		return err
	}
	r, err := load(in, file)
	if err != nil {
		return err
	}
	inputs := append(files(r), file, in.Text("key"), in.Text("cert"), in.Text("encryption-key"))
	if err := pack.CanOutput(output, pack.Format(format) == pack.RAUC, inputs...); err != nil {
		return err
	}
	plan, end, err := prepare(ctx, in, r, pack.Format(format))
	if err != nil {
		return err
	}
	defer plan.Close()
	plan.Problems = append(plan.Problems, signed...)
	if err = judge("pack", file, plan.Problems); err != nil {
		end.progress()
		return printPack(in, packed(plan, ""), err)
	}
	err = write(ctx, plan, output, end.report)
	end.progress()
	if err != nil {
		return err
	}
	return printPack(in, packed(plan, output), nil)
}

// watch is the progress line of one call.
type watch struct {
	report   pack.Progress
	progress func() // ends it
}

// load reads a release, with what the command line allows.
func load(in *cli.Invocation, file string) (*release.Release, error) {
	allow := in.List("allow")
	for _, check := range allow {
		if !slices.Contains(release.Allowable, check) {
			return nil, usageError(in, "cannot allow %q: want one of %s", check, strings.Join(release.Allowable, ", "))
		}
	}
	r, err := release.Load(file)
	if err != nil {
		return nil, err
	}
	r.Allow = append(r.Allow, allow...)
	return r, nil
}

// files are those of a release's components.
func files(r *release.Release) []string {
	var names []string
	for _, c := range r.Components {
		names = append(names, c.Path(r.Base))
	}
	return names
}

// prepare reads the files of a release.
func prepare(ctx context.Context, in *cli.Invocation, r *release.Release, format pack.Format) (*pack.Plan, watch, error) {
	var w watch
	o := pack.PrepareOptions{Format: format, WorkFolder: in.Text("work")}
	if name := in.Text("encryption-key"); name != "" {
		key, err := crypt.LoadKey(name)
		if err != nil {
			return nil, w, err
		}
		o.EncryptionKey = &key
	}
	w.report, w.progress = progressOn(in.Stderr)
	o.Progress = w.report
	plan, err := pack.Prepare(ctx, r, o)
	if err != nil {
		w.progress()
		return nil, w, err
	}
	return plan, w, nil
}

// swu are the formats that have what only SWUpdate has.
var swu = []pack.Format{pack.SWU}

type writeFunc func(ctx context.Context, p *pack.Plan, output string, report pack.Progress) error

// writer checks the flags of a format before the files are read, which may take minutes, and says what is wrong with the signer.
func writer(in *cli.Invocation, format pack.Format) (writeFunc, problem.List, error) {
	for _, f := range []struct {
		name string
		of   []pack.Format
	}{
		{"key", []pack.Format{pack.SWU, pack.Mender}}, {"bundle-format", []pack.Format{pack.RAUC}},
		{"cert", swu}, {"sign-command", swu}, {"signature", swu}, {"signing-time", swu}, {"encryption-key", swu}, {"container", swu}, {"syntax", swu},
	} {
		if in.Flags.Changed(f.name) && !slices.Contains(f.of, format) {
			return nil, nil, usageError(in, "cannot use --%s with --format %s", f.name, format)
		}
	}
	switch format {
	case pack.RAUC:
		write, err := raucWriter(in)
		return write, nil, err
	case pack.Mender:
		if key := in.Text("key"); key != "" {
			if err := pack.CheckMenderKey(key); err != nil {
				return nil, nil, err
			}
		}
		return func(ctx context.Context, p *pack.Plan, output string, report pack.Progress) error {
			return p.WriteMender(ctx, output, pack.MenderOptions{Key: in.Text("key"), Progress: report})
		}, nil, nil
	}
	return swuWriter(in)
}

func raucWriter(in *cli.Invocation) (writeFunc, error) {
	bundle, err := oneOf(in, "bundle-format", "verity", "plain")
	return func(ctx context.Context, p *pack.Plan, output string, report pack.Progress) error {
		return pack.OutputFolder(output, func(dir string) error {
			return p.WriteRAUC(ctx, dir, pack.RAUCOptions{Bundle: bundle, Progress: report})
		})
	}, err
}

func swuWriter(in *cli.Invocation) (writeFunc, problem.List, error) {
	container, err := oneOf(in, "container", "crc", "newc")
	if err != nil {
		return nil, nil, err
	}
	written, err := oneOf(in, "syntax", string(syntax.Libconfig), string(syntax.JSON))
	if err != nil {
		return nil, nil, err
	}
	o := pack.SWUOptions{Container: cpio.CRC, Syntax: syntax.Format(written)}
	if container == "newc" {
		o.Container = cpio.NewC
	}
	if o.Sign, err = signing(in); err != nil {
		return nil, nil, err
	}
	var found problem.List
	if o.Sign == nil {
		found = append(found, problem.Warnf("signature", "the update is not signed, and most builds of SWUpdate take none such").
			Then("sign it with --key and --cert, or with --sign-command"))
	} else {
		found = sign.Fitness(o.Sign.Certificates, time.Now())
	}
	return func(ctx context.Context, p *pack.Plan, output string, report pack.Progress) error {
		o.Progress = report
		return pack.Output(output, func(w io.Writer) error { return p.WriteSWU(ctx, w, o) })
	}, found, nil
}
