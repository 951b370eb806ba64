package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/sign"
)

func verifyVerb() cli.Verb {
	return cli.Verb{
		Name: "verify", Synopsis: "FILE.swu --cert FILE [--cert-purpose PURPOSE] [--json]",
		Summary: "check the signature of a .swu, and that its members are those that were signed",
		Help: `
Judges as SWUpdate does with -k: the signer is --cert, or has a certificate that leads to it, valid today and made for the
purpose. For updates that are signed without cms, --cert is the public key. Then every member that sw-description names must be
there and have its SHA-256.`,
		Flags: func(f *pflag.FlagSet) {
			f.String("cert", "", "`FILE` with the certificate of the signer or of its CA, or a public key (PEM, required)")
			f.String("cert-purpose", "emailProtection", "`PURPOSE` of the certificate: emailProtection (OpenSSL's default), codeSigning or any")
			jsonFlag(f)
		},
		Run: runVerify,
	}
}

// verifyReport is verify's JSON.
type verifyReport struct {
	Signer    string          `json:"signer"`
	Signature sign.Format     `json:"signature"`
	Contents  *check.Contents `json:"contents"`
	Problems  problem.List    `json:"problems"`
}

func runVerify(ctx context.Context, in *cli.Invocation) error {
	file, err := oneFile(in, "a .swu")
	if err != nil {
		return err
	}
	if in.Text("cert") == "" {
		return usageError(in, "cannot verify without --cert FILE")
	}
	purpose, err := oneOf(in, "cert-purpose", "emailProtection", "codeSigning", "any")
	if err != nil {
		return err
	}
	trust, err := sign.LoadTrust(in.Text("cert"))
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fail.New(fail.InputCode(err, fail.IO), "cannot verify: %w", err)
	}
	defer f.Close()
	contents, problems, err := check.Integrity(ctx, file, f)
	if err != nil {
		return err
	}
	if len(contents.Signature) == 0 {
		return fail.New(fail.Data, "cannot verify %s: it has no signature", file)
	}
	signed, err := sign.Verify(contents.Description, contents.Signature, sign.VerifyOptions{Trust: trust, Purpose: purpose, Now: time.Now()})
	if err != nil {
		return fmt.Errorf("cannot verify %s: %w", file, err)
	}
	report := verifyReport{Signer: signed.Signer, Signature: signed.Format, Contents: contents, Problems: orEmpty(problems)}
	return report.end(in, file)
}

func (r verifyReport) end(in *cli.Invocation, file string) error {
	var err error
	if in.Set("json") {
		err = printJSON(in.Stdout, r)
	} else if err = printProblems(in.Stdout, r.Problems); err == nil && r.Problems.Errors() == 0 {
		_, err = io.WriteString(in.Stdout, fmt.Sprintf("signed by %s (%s), and its %s what was signed\n", r.Signer, r.Signature,
			counted(len(r.Contents.Members)-2, "member is", "members are")))
	}
	if err != nil {
		return fail.New(fail.IO, "cannot print the report: %w", err)
	}
	return judge("verify", file, r.Problems)
}
