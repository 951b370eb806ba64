package virtual

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// CapsuleOptions says what capsule to build; only L4T has no default.
type CapsuleOptions struct {
	L4T       string   // version of the firmware in it
	Lowest    string   // lowest supported version; that of L4T if empty, as meta-tegra sets it
	Specs     []string // tnspecs of the board-specific images; those of all Orin NX and Nano modules (of T194 by ImageType) if empty
	Omit      []string // names of images to leave out
	ImageType string   // GUID; that of T234 if empty
	ImageSize int      // bytes of each image; 4 KiB if 0
	Unsigned  bool     // leave the signature out; firmware refuses it with 4114
}

// BuildCapsule makes a capsule whose images the model can judge. A throw-away key signs it, so that two builds differ in
// the signature.
func BuildCapsule(opts CapsuleOptions) ([]byte, error) {
	version, err := capsule.ParseVersion(opts.L4T)
	if err != nil {
		return nil, fail.New(fail.Usage, "%w", err)
	}
	lowest := version
	if opts.Lowest != "" {
		if lowest, err = capsule.ParseVersion(opts.Lowest); err != nil {
			return nil, fail.New(fail.Usage, "%w", err)
		}
	}
	if opts.ImageType == "" {
		opts.ImageType = fwClassT234
	}
	imageType, err := guid.Parse(opts.ImageType)
	if err != nil {
		return nil, fail.New(fail.Usage, "%w", err)
	}
	images, err := capsuleImages(opts, version)
	if err != nil {
		return nil, err
	}
	pkg, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V3, Images: images})
	if err != nil {
		return nil, fmt.Errorf("cannot build capsule: %w", err)
	}
	var out bytes.Buffer
	err = capsule.Build(&out, capsule.BuildOptions{
		ImageType: imageType, FirmwareVersion: version, LowestSupported: lowest, BUP: pkg, Unsigned: opts.Unsigned,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot build capsule: %w", err)
	}
	return out.Bytes(), nil
}

// defaultSpecs are those of all Orin NX and Nano modules, or of all T194 ones for that chip's image type.
func defaultSpecs(imageType string) []string {
	var specs []string
	for name, m := range moduleTable() {
		if imageType == fwClassT194 && m.chip == chipT194 || imageType != fwClassT194 && name[:5] == DefaultModule[:5] {
			specs = append(specs, m.capsule)
		}
	}
	sort.Strings(specs)
	return specs
}

// capsuleImages lists the images in the order of the flash; what differs from board to board comes once per spec.
func capsuleImages(opts CapsuleOptions, version capsule.Version) ([]bup.Image, error) {
	if len(opts.Specs) == 0 {
		opts.Specs = defaultSpecs(opts.ImageType)
	}
	if opts.ImageSize == 0 {
		opts.ImageSize = defaultImage
	}
	if opts.ImageSize < 0 {
		return nil, fail.New(fail.Usage, "cannot make images of %d bytes", opts.ImageSize)
	}
	omit := map[string]bool{}
	for _, name := range opts.Omit {
		omit[name] = true
	}
	var images []bup.Image
	names := []string{bctImage} // in every package; firmware rewrites the boot chain in it and not the rest
	target := board{Chip: chipT234}
	if opts.ImageType == fwClassT194 {
		target.Chip = chipT194
	}
	for _, p := range target.parts() {
		names = append(names, p.Name)
	}
	if target.Chip == chipT234 {
		names = append(names, backupImage)
	}
	for _, name := range names {
		if omit[name] {
			delete(omit, name)
			continue
		}
		specs := []string{""}
		if boardImage(name) {
			specs = opts.Specs
		}
		for _, spec := range specs {
			data := synthetic(name, version, spec, opts.ImageSize)
			images = append(images, bup.Image{Name: name, Spec: spec, Version: bupVersion(version), Data: data})
		}
	}
	for name := range omit {
		return nil, fail.New(fail.Usage, "cannot omit %q: no such image", name)
	}
	return images, nil
}

// bupVersion is the generator's entry version: the digits of the version read as hexadecimal.
func bupVersion(v capsule.Version) uint32 {
	var word uint32
	if _, err := fmt.Sscanf(fmt.Sprintf("%d%d%d", v>>16, v>>8&0xff, v&0xff), "%x", &word); err != nil {
		return 0
	}
	return word
}
