package main

import (
	"fmt"
	"io"
	"os"

	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/pack"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// packReport is what pack says: JSON, or in words.
type packReport struct {
	File     *string      `json:"file"` // null if nothing was written
	Size     *int64       `json:"size"` // of a file; null for a folder
	Format   pack.Format  `json:"format"`
	Version  string       `json:"version"`
	Update   string       `json:"update"`
	Parts    []packedPart `json:"parts"`
	Firmware any          `json:"firmware"`
	Problems problem.List `json:"problems"`
	plan     *pack.Plan   `json:"-"`
}

type packedPart struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	Stored    int64  `json:"stored_size"`
	Zstd      bool   `json:"zstd"`
	Encrypted bool   `json:"encrypted"`
}

func packed(p *pack.Plan, output string) packReport {
	r := packReport{Format: p.Format, Version: p.Release.Version, Update: p.Update, Problems: orEmpty(p.Problems), plan: p}
	if p.Firmware != nil {
		r.Firmware = p.Firmware
	}
	if output != "" {
		r.File = &output
		if st, err := os.Stat(output); err == nil && st.Mode().IsRegular() {
			size := st.Size()
			r.Size = &size
		}
	}
	for _, part := range p.Parts {
		r.Parts = append(r.Parts, packedPart{part.Name, part.Component.Type, part.Plain.Size, part.Plain.Hex(), part.Stored.Size,
			part.Zstd, part.IV != nil})
	}
	return r
}

// printPack prints the report and returns the verdict.
func printPack(in *cli.Invocation, r packReport, verdict error) error {
	var err error
	if in.Set("json") {
		err = printJSON(in.Stdout, r)
	} else {
		err = r.print(in.Stdout)
	}
	if err != nil {
		return fail.New(fail.IO, "cannot print the report: %w", err)
	}
	return verdict
}

func (r packReport) print(w io.Writer) error {
	if err := printProblems(w, r.Problems); err != nil {
		return err
	}
	if err := printFirmware(w, r.plan.Firmware); err != nil {
		return err
	}
	if r.File == nil {
		return nil
	}
	for _, p := range r.Parts {
		if _, err := fmt.Fprintf(w, "%s: %s, %s as %s\n", p.Type, bytesText(p.Size), bytesText(p.Stored), p.Name); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "wrote release %s to %s\n", r.Version, *r.File)
	return err
}
