// Package firmware says offline which of a fleet's boards a capsule or BUP is for, and what it does to them.
//
// It judges as firmware does, and as a device does before it stages a capsule (package handlers/firmware). What only a
// device knows, its floor and the firmware it runs, becomes a warning that says what will happen where.
package firmware

import (
	"bufio"
	"fmt"
	"io"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/source"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// Report is what is known of a package. The names of its JSON are those of tegra-ota inspect where both have them.
type Report struct {
	File   string `json:"file"`
	Kind   string `json:"kind"`   // "capsule" or "bup"
	Format string `json:"format"` // of the BUP: "V2" or "V3"
	Size   int64  `json:"size"`   // in bytes, decompressed
	Signed bool   `json:"signed"` // whether there is a signature, not whose; never for a bare BUP

	// FirmwareVersion, LowestSupported and ImageType stand in a capsule's headers; nil for a bare BUP.
	FirmwareVersion *capsule.Version `json:"firmware_version"`
	LowestSupported *capsule.Version `json:"lowest_supported_version"`
	ImageType       *guid.GUID       `json:"image_type"`
	// PackageVersion stands in the image VER, from which installed firmware will tell its version; nil if unreadable.
	PackageVersion *capsule.Version `json:"package_version"`
	// Chip is the one whose image type it is; nil for a bare BUP and for a type that no chip has, an OEM's for example.
	Chip *string `json:"chip"`

	Boards []BoardReport `json:"boards"`
	// Floor says what no longer installs after this update; "" if nothing is shut out, as far as the package tells.
	Floor string `json:"floor"`
}

// BoardReport is what one board would take from the package.
type BoardReport struct {
	Name     string    `json:"name"`
	Spec     string    `json:"spec"`   // empty fields are unknown
	Compat   *string   `json:"compat"` // nil where no rule is known
	Chip     string    `json:"chip"`
	Resolves bool      `json:"resolves"` // every name that the firmware requires has an image for this board
	Missing  []Missing `json:"missing"`
	Chosen   int       `json:"chosen"` // names with an image for this board, required or not
}

// Missing is a required name without an image for a board, and why.
type Missing struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Version returns the version of the firmware in the package: what a capsule's header says, else what VER says, else nil.
func (r *Report) Version() *capsule.Version {
	if r.FirmwareVersion != nil {
		return r.FirmwareVersion
	}
	return r.PackageVersion
}

// Inspect reads a capsule or BUP, plain or compressed with zstd, compares it with the boards, and says what a device would
// refuse (errors) and what somebody should know (warnings). An error is returned only if the file cannot be read
// (fail.IO), or is malformed (fail.Data).
func Inspect(path string, boards []Board) (*Report, problem.List, error) {
	in, err := read(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot inspect firmware %s: %w", path, err)
	}
	in.report.File = path
	return in.report, in.judge(boards), nil
}

// inspection is a package that was read to its end.
type inspection struct {
	report *Report
	pkg    *bup.Package
	// verError is why the first VER that cannot be read cannot; verVersions are the versions of the others.
	verError    error
	verVersions []capsule.Version
}

// scanner is what capsule.Scanner and bup.Scanner have in common.
type scanner interface {
	io.Reader
	Finish() error
}

func read(path string) (*inspection, error) {
	switch path {
	case "":
		return nil, fail.New(fail.IO, "no file is named")
	case "-":
		path = "./-" // a file of that name, and not stdin
	}
	src, err := source.Open(path, nil)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	buffered := bufio.NewReaderSize(src, 64<<10)
	head, err := buffered.Peek(16)
	if err != nil && err != io.EOF {
		return nil, fail.New(fail.CodeOf(err), "cannot read the first bytes: %w", err)
	}
	if capsule.IsCapsule(head) {
		s, err := capsule.NewScanner(buffered)
		if err != nil {
			return nil, err
		}
		c := s.Capsule()
		in := &inspection{report: &Report{
			Kind: "capsule", Format: c.BUP.Header.Format.String(), Size: c.Size, Signed: c.Signed,
			FirmwareVersion: &c.FirmwareVersion, LowestSupported: &c.LowestSupportedVersion, ImageType: &c.ImageType,
		}, pkg: c.BUP}
		if of := chipOf(c.ImageType); of != nil {
			name := of.Name
			in.report.Chip = &name
		}
		if c.LowestSupportedVersion > 0 {
			in.report.Floor = fmt.Sprintf("after this update no firmware older than %s installs", c.LowestSupportedVersion)
		}
		return in, in.drain(s, c.BUPOffset)
	}
	s, err := bup.NewScanner(buffered, -1)
	if err != nil && !bup.IsBUP(head) {
		return nil, fail.New(fail.CodeOf(err), "%w", err).Then("this is neither a UEFI capsule (.Cap) nor a BUP")
	}
	if err != nil {
		return nil, err
	}
	pkg := s.Package()
	in := &inspection{report: &Report{Kind: "bup", Format: pkg.Header.Format.String(), Size: int64(pkg.Header.Size)}, pkg: pkg}
	return in, in.drain(s, 0)
}

// drain reads all bytes, so that the package is known to be whole, and keeps those of VER on the way. The BUP starts at
// byte base of what s replays.
func (in *inspection) drain(s scanner, base int64) error {
	texts := versionTexts(in.pkg, base)
	buffer := make([]byte, 256<<10)
	for pos := int64(0); ; {
		n, err := s.Read(buffer)
		for i := range texts {
			texts[i].collect(buffer[:n], pos)
		}
		pos += int64(n)
		if err != nil {
			break // Finish knows whether it was the end
		}
	}
	if err := s.Finish(); err != nil {
		return err
	}
	for _, t := range texts {
		v, err := parseVersionText(t.bytes)
		switch {
		case err == nil:
			in.verVersions = append(in.verVersions, v)
		case in.verError == nil:
			in.verError = err
		}
	}
	if len(in.verVersions) > 0 {
		in.report.PackageVersion = &in.verVersions[0]
	}
	return nil
}

// chipOf returns the chip that an image type is known for, nil for none.
func chipOf(imageType guid.GUID) *chip.Chip {
	for i := range chip.All {
		for _, known := range chip.All[i].ImageTypes {
			if known == imageType {
				return &chip.All[i]
			}
		}
	}
	return nil
}
