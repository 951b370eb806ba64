package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
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
	f.String("spec", "", "match for the board with this TegraPlatform`SPEC`")
	f.String("compat", "", "and this TegraPlatformCompatSpec; derived from --spec when left out")
	f.String("chip", "T234", "whose required images to look for: T194, T234 or T264")
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
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, st.Size()), head); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return inspection{}, nil, fail.New(fail.IO, "cannot read %s: %w", name, err)
	}
	if !capsule.IsCapsule(head) {
		pkg, err := bup.ParseAt(f, st.Size())
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
		FirmwareVersion: c.FirmwareVersion, LowestSupported: c.LowestSupportedVersion, ImageType: c.ImageType, Signed: c.Signed,
		Size: c.Size, HeaderVersion: c.HeaderVersion, SignatureOffset: c.SignatureOffset, SignatureLength: c.SignatureLength, BUPOffset: c.BUPOffset,
	}, BUP: describeBUP(c.BUP)}, c.BUP, nil
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
		info.Entries = append(info.Entries, entryInfo{e.Name, e.Offset, e.Length, e.Version, uint32(e.OpMode), e.Spec, hex.EncodeToString(e.SHA256[:])})
	}
	for _, g := range p.Gaps {
		info.Gaps = append(info.Gaps, gapInfo{g.Offset, g.Length})
	}
	return info
}

func selectFor(in *cli.Invocation, pkg *bup.Package, spec string) (*selectionInfo, error) {
	compat, _ := in.Flags.GetString("compat")
	if compat == "" {
		var err error
		if compat, err = bup.CompatSpec(spec); err != nil {
			return nil, fail.New(fail.Usage, "%w", err).Then("give --compat")
		}
	}
	name, _ := in.Flags.GetString("chip")
	for _, c := range chip.All {
		if c.Name == name {
			s := pkg.Match(spec, compat, c.Required)
			info := &selectionInfo{Spec: s.Spec, Compat: s.Compat, Chosen: s.Chosen, Missing: []string{}, Reasons: map[string]string{}}
			for _, m := range s.Missing {
				info.Missing = append(info.Missing, m.Name)
				info.Reasons[m.Name] = m.Reason
			}
			return info, nil
		}
	}
	return nil, fail.New(fail.Usage, "cannot select for chip %q: the chips are T194, T234 and T264", name)
}

func (r inspection) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	if c := r.Capsule; c != nil {
		fmt.Fprintf(t, "capsule\tfirmware %s, lowest supported %s\n", c.FirmwareVersion, c.LowestSupported)
		fmt.Fprintf(t, "\timage type %s, image header version %d\n", c.ImageType, c.HeaderVersion)
		fmt.Fprintf(t, "\t%d bytes, signed: %t (PKCS#7 at %d, %d bytes), BUP at %d\n", c.Size, c.Signed, c.SignatureOffset, c.SignatureLength, c.BUPOffset)
	}
	fmt.Fprintf(t, "BUP\t%s, version %s, %d bytes, header %d bytes, type %d, %d entries\n", r.BUP.Format, r.BUP.Version, r.BUP.Size, r.BUP.HeaderSize, r.BUP.Type, len(r.BUP.Entries))
	for _, g := range r.BUP.Gaps {
		fmt.Fprintf(t, "\tgap of %d bytes at %d\n", g.Length, g.Offset)
	}
	fmt.Fprintf(t, "\nindex\tname\toffset\tlength\tversion\tmode\tspec\tSHA-256\n")
	for i, e := range r.BUP.Entries {
		spec := e.Spec
		if spec == "" {
			spec = "(every board)"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%#x\t%d\t%s\t%s\n", i, e.Name, e.Offset, e.Length, e.Version, e.OpMode, spec, e.SHA256)
	}
	if s := r.Selection; s != nil {
		fmt.Fprintf(t, "\nboard %s takes\tindex\n", s.Spec)
		names := make([]string, 0, len(s.Chosen))
		for n := range s.Chosen {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			fmt.Fprintf(t, "%s\t%d\n", n, s.Chosen[n])
		}
		for _, name := range s.Missing {
			fmt.Fprintf(t, "%s\tmissing: %s\n", name, s.Reasons[name])
		}
	}
	return t.Flush()
}
