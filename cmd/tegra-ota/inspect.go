package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/cli"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// inspection is the JSON of inspect; its names are frozen.
type inspection struct {
	Kind      string         `json:"kind"`
	Capsule   *capsuleInfo   `json:"capsule"`
	BUP       bupInfo        `json:"bup"`
	Selection *selectionInfo `json:"selection"`
}

type capsuleInfo struct {
	FirmwareVersion capsule.Version `json:"firmware_version"`
	LowestSupported capsule.Version `json:"lowest_supported_version"`
	ImageType       guid.GUID       `json:"image_type"`
	Chip            *string         `json:"chip"` // whose image type it is; null for one that no chip has, an OEM's for example
	Signed          bool            `json:"signed"`
	Size            int64           `json:"size"`
	HeaderVersion   int             `json:"header_version"`
	SignatureOffset int64           `json:"signature_offset"`
	SignatureLength int64           `json:"signature_length"`
	BUPOffset       int64           `json:"bup_offset"`
}

type bupInfo struct {
	Format     string      `json:"format"`
	Size       uint32      `json:"size"`
	HeaderSize uint32      `json:"header_size"`
	Version    string      `json:"version"`
	Type       uint32      `json:"type"`
	Accessory  any         `json:"accessory,omitempty"`
	Entries    []entryInfo `json:"entries"`
	Gaps       []gapInfo   `json:"gaps,omitempty"`
}

type entryInfo struct {
	Name    string `json:"name"`
	Offset  uint32 `json:"offset"`
	Length  uint32 `json:"length"`
	Version uint32 `json:"version"`
	OpMode  uint32 `json:"op_mode"`
	Spec    string `json:"spec"`
	SHA256  string `json:"sha256"`
}

type gapInfo struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

type selectionInfo struct {
	Spec    string         `json:"spec"`
	Compat  string         `json:"compat"`
	Chosen  map[string]int `json:"chosen"`
	Missing []string       `json:"missing"`
	// Reasons says for each missing name what there is instead.
	Reasons map[string]string `json:"reasons"`
}

func inspectFlags(f *pflag.FlagSet) {
	f.String("spec", "", "match for the board whose TegraPlatformSpec is `SPEC`")
	f.String("compat", "", "and whose TegraPlatformCompatSpec is `COMPAT`; derived from --spec when left out")
	f.String("chip", "T234", "look for the images that `CHIP` requires: T194, T234 or T264")
	f.Bool("json", false, "print JSON")
}

func inspect(_ context.Context, in *cli.Invocation) error {
	args, err := arguments(in, 1)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return fail.New(fail.Usage, "cannot inspect: no file is named")
	}
	result, pkg, err := inspectFile(args[0])
	if err != nil {
		return err
	}
	if spec, _ := in.Flags.GetString("spec"); spec != "" {
		if result.Selection, err = selectFor(in, pkg, spec); err != nil {
			return err
		}
	}
	if asJSON, _ := in.Flags.GetBool("json"); asJSON {
		return printJSON(in, result)
	}
	return result.print(in.Stdout)
}

func inspectFile(name string) (inspection, *bup.Package, error) {
	f, err := os.Open(name)
	if err != nil {
		return inspection{}, nil, fail.New(fail.InputCode(err, fail.IO), "cannot open the file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return inspection{}, nil, fail.New(fail.IO, "cannot open the file: %w", err)
	}
	head := make([]byte, 16)
	_, err = io.ReadFull(io.NewSectionReader(f, 0, st.Size()), head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return inspection{}, nil, fail.New(fail.IO, "cannot read %s: %w", name, err)
	}
	if !capsule.IsCapsule(head) {
		pkg, err := bup.ParseAt(f, st.Size())
		if err != nil && !bup.IsBUP(head) {
			return inspection{}, nil, fail.New(fail.CodeOf(err), "%w", err).Then("this is neither a UEFI capsule (.Cap) nor a BUP")
		}
		if err != nil {
			return inspection{}, nil, err
		}
		return inspection{Kind: "bup", BUP: describeBUP(pkg)}, pkg, nil
	}
	c, err := capsule.ParseAt(f, st.Size())
	if err != nil {
		return inspection{}, nil, err
	}
	return inspection{Kind: "capsule", Capsule: &capsuleInfo{
		FirmwareVersion: c.FirmwareVersion, LowestSupported: c.LowestSupportedVersion,
		ImageType: c.ImageType, Chip: chipOf(c.ImageType), Signed: c.Signed, Size: c.Size, HeaderVersion: c.HeaderVersion,
		SignatureOffset: c.SignatureOffset, SignatureLength: c.SignatureLength, BUPOffset: c.BUPOffset,
	}, BUP: describeBUP(c.BUP)}, c.BUP, nil
}

// chipOf names the chip that a capsule's image type is known for.
func chipOf(imageType guid.GUID) *string {
	for _, c := range chip.All {
		for _, known := range c.ImageTypes {
			if known == imageType {
				return &c.Name
			}
		}
	}
	return nil
}

func describeBUP(p *bup.Package) bupInfo {
	info := bupInfo{
		Format: p.Header.Format.String(), Size: p.Header.Size, HeaderSize: p.Header.HeaderSize,
		Version: fmt.Sprintf("0x%08x", p.Header.Version), Type: p.Header.Type, Entries: []entryInfo{},
	}
	if p.Header.Accessory != nil {
		info.Accessory = p.Header.Accessory
	}
	for _, e := range p.Entries {
		info.Entries = append(info.Entries, entryInfo{
			Name: e.Name, Offset: e.Offset, Length: e.Length, Version: e.Version, OpMode: uint32(e.OpMode), Spec: e.Spec,
			SHA256: hex.EncodeToString(e.SHA256[:]),
		})
	}
	for _, g := range p.Gaps {
		info.Gaps = append(info.Gaps, gapInfo{g.Offset, g.Length})
	}
	return info
}

// selectFor chooses as the board would: by UEFI's rule, a V2 package on T186 and T194 by that of L4T R32.
func selectFor(in *cli.Invocation, pkg *bup.Package, spec string) (*selectionInfo, error) {
	c, err := namedChip(in.Text("chip"))
	if err != nil {
		return nil, err
	}
	compat := in.Text("compat")
	old := pkg.Header.Format == bup.V2 && c.Naming == chip.SuffixB
	if compat == "" && !old {
		if compat, err = bup.CompatSpec(spec); err != nil {
			return nil, fail.New(fail.Usage, "%w", err).Then("give --compat")
		}
	}
	var s bup.Selection
	if old {
		if s, err = payload.Select(pkg, c, spec, compat); err != nil {
			return nil, err
		}
	} else {
		s = pkg.Match(spec, compat, c.Required)
	}
	info := &selectionInfo{Spec: s.Spec, Compat: s.Compat, Chosen: s.Chosen, Missing: []string{}, Reasons: map[string]string{}}
	for _, m := range s.Missing {
		info.Missing = append(info.Missing, m.Name)
		info.Reasons[m.Name] = m.Reason
	}
	return info, nil
}

func namedChip(name string) (chip.Chip, error) {
	for _, c := range chip.All {
		if c.Name == name {
			return c, nil
		}
	}
	return chip.Chip{}, fail.New(fail.Usage, "cannot select for chip %q: the chips are T186, T194, T234 and T264", name)
}
