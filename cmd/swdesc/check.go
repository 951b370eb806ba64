package main

import (
	"context"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/check"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

func checkVerb() cli.Verb {
	return cli.Verb{
		Name: "check",
		Synopsis: "FILE [--handler TYPE]... [--unsigned] [--format FORMAT] [--encryption-key FILE] [--allow CHECK]... [--work FOLDER] " +
			"[--json]",
		Summary: "say what a device would refuse, ignore or do wrongly",
		Help: `
FILE is a release description (its name ends in .toml), a .swu, or a sw-description in libconfig or JSON, written by anyone.

Of a release everything is checked that pack checks, and nothing is written; --format says for which updater. Of a .swu the
container, sw-description and every member are; of a sw-description what can be said without the members. Types of images and
scripts are compared with the handlers of SWUpdate and of tegra-ota; --handler names one that only your SWUpdate has.
` + allowHelp,
		Flags: func(f *pflag.FlagSet) {
			f.StringArray("handler", nil, "`TYPE` of a handler that your SWUpdate has; may be repeated")
			f.Bool("unsigned", false, "the devices' SWUpdate is built without signatures")
			f.String("format", string(pack.SWU), "`FORMAT` of the update that a release is to become: swu, rauc-dir or mender")
			f.String("encryption-key", "", "`FILE` with the AES key of a release with encrypted components")
			preparing(f)
			jsonFlag(f)
		},
		Run: runCheck,
	}
}

// checkReport is check's JSON.
type checkReport struct {
	Kind     string           `json:"kind"` // release, swu or sw-description
	Firmware *firmware.Report `json:"firmware"`
	Contents *check.Contents  `json:"contents"` // of a .swu
	Problems problem.List     `json:"problems"`
}

func runCheck(ctx context.Context, in *cli.Invocation) error {
	file, err := oneFile(in, "a release, a .swu or a sw-description")
	if err != nil {
		return err
	}
	report, err := look(ctx, in, file)
	if err != nil {
		return err
	}
	report.Problems = orEmpty(report.Problems)
	if in.Set("json") {
		err = printJSON(in.Stdout, report)
	} else {
		err = report.print(in.Stdout)
	}
	if err != nil {
		return fail.New(fail.IO, "cannot print the report: %w", err)
	}
	return judge("accept", file, report.Problems)
}

func (r checkReport) print(w io.Writer) error {
	if err := printProblems(w, r.Problems); err != nil {
		return err
	}
	if err := printFirmware(w, r.Firmware); err != nil {
		return err
	}
	if len(r.Problems) == 0 {
		_, err := io.WriteString(w, "nothing found\n")
		return err
	}
	return nil
}

// look finds out what the file is, by its name for a release and by its first bytes otherwise.
func look(ctx context.Context, in *cli.Invocation, file string) (checkReport, error) {
	if strings.HasSuffix(file, ".toml") {
		format, err := oneOf(in, "format", string(pack.SWU), string(pack.RAUC), string(pack.Mender))
		if err != nil {
			return checkReport{}, err
		}
		r, err := load(in, file)
		if err != nil {
			return checkReport{}, err
		}
		plan, end, err := prepare(ctx, in, r, pack.Format(format))
		if err != nil {
			return checkReport{}, err
		}
		end.progress()
		defer plan.Close()
		return checkReport{Kind: "release", Firmware: plan.Firmware, Problems: plan.Problems}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return checkReport{}, fail.New(fail.InputCode(err, fail.IO), "cannot check: %w", err)
	}
	defer f.Close()
	o := check.Options{Handlers: in.List("handler"), Signed: !in.Set("unsigned")}
	head := make([]byte, 6)
	n, err := io.ReadFull(f, head)
	if err != nil && n == 0 {
		return checkReport{}, fail.New(fail.Data, "cannot check %s: it is empty", file)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return checkReport{}, fail.New(fail.IO, "cannot check %s: %w", file, err)
	}
	// Every cpio magic number in text form starts so; those that SWUpdate does not take get an error that names them.
	if strings.HasPrefix(string(head[:n]), "0707") {
		contents, problems, err := check.Archive(ctx, file, f, o)
		if err != nil {
			return checkReport{}, err
		}
		return checkReport{Kind: "swu", Contents: contents, Problems: problems}, nil
	}
	src, err := io.ReadAll(io.LimitReader(f, check.MaxDescription+1))
	if err != nil {
		return checkReport{}, fail.New(fail.IO, "cannot check %s: %w", file, err)
	}
	problems, err := check.Description(file, src, o)
	return checkReport{Kind: "sw-description", Problems: problems}, err
}
