package virtual

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Damage is what BuildBUP breaks.
type Damage string

// The damages. Only those of the container show before the images are written.
const (
	DamageMagic    Damage = "magic"    // the container is none
	DamageCut      Damage = "cut"      // the last image is cut off
	DamageImage    Damage = "image"    // one image's content does not fit its header: the chain does not start
	DamageVersions Damage = "versions" // mb2 is of another version than the rest: the chain starts
)

// BUPOptions says what payload of R32 to build. Module and L4T have no default.
type BUPOptions struct {
	Module    string   // T186 or T194
	L4T       string   // version of the firmware in it
	Specs     []string // tnspecs of the board-specific images; a sister board's and the module's if empty
	Omit      []string // names of images to leave out
	Kernel    bool     // kernel and kernel-dtb, too, as in bl_update_payload of T194
	ImageSize int      // bytes of each image; 4 KiB if 0
	Damage    Damage   // none if empty
}

// BUPSpec returns the tnspec that payloads of R32 carry for a module.
func BUPSpec(module string) (string, error) {
	m, err := lookupModule(module)
	if err != nil {
		return "", err
	}
	if m.chip == chipT234 {
		return "", fail.New(fail.Usage, "cannot build a payload of R32 for %s: T234 came later", module)
	}
	return m.capsule + "mmcblk0p1", nil
}

// boardImageR32 says which images differ from board to board.
func boardImageR32(name string) bool { return name == bctImage || boardImage(name) }

// BuildBUP makes a payload as nv_update_engine takes it: V2 with a header of 48 bytes, images that the model can judge.
func BuildBUP(opts BUPOptions) ([]byte, error) {
	own, err := BUPSpec(opts.Module)
	if err != nil {
		return nil, err
	}
	version, err := capsule.ParseVersion(opts.L4T)
	if err != nil {
		return nil, fail.New(fail.Usage, "%w", err)
	}
	if len(opts.Specs) == 0 {
		fields := strings.SplitN(own, "-", 3)
		opts.Specs = []string{fields[0] + "-301-" + fields[2], own} // who takes the first of a name takes the wrong one
	}
	if opts.ImageSize == 0 {
		opts.ImageSize = defaultImage
	}
	if opts.Damage != "" && !contains([]Damage{DamageMagic, DamageCut, DamageImage, DamageVersions}, opts.Damage) {
		return nil, fail.New(fail.Usage, "cannot build a payload with damage %q: known are magic, cut, image, versions", opts.Damage)
	}
	images, err := opts.images(version)
	if err != nil {
		return nil, err
	}
	raw, err := bup.BuildBytes(bup.BuildOptions{Format: bup.V2, HeaderSize: bup.HeaderSizeAccessory, Images: images})
	if err != nil {
		return nil, fmt.Errorf("cannot build payload: %w", err)
	}
	switch opts.Damage {
	case DamageMagic:
		raw[15] = '9'
	case DamageCut:
		raw = raw[:len(raw)-opts.ImageSize/2]
	}
	return raw, nil
}

func (opts BUPOptions) images(version capsule.Version) ([]bup.Image, error) {
	m, err := lookupModule(opts.Module)
	if err != nil {
		return nil, err
	}
	omit := map[string]bool{}
	for _, name := range opts.Omit {
		omit[name] = true
	}
	names := []string{}
	for _, p := range partsR32(m.chip) {
		names = append(names, p.Name)
	}
	if opts.Kernel {
		names = append(names, kernelImages...)
	}
	var images []bup.Image
	for _, name := range names {
		if omit[name] {
			delete(omit, name)
			continue
		}
		specs := []string{""}
		if boardImageR32(name) {
			specs = opts.Specs
		}
		for _, spec := range specs {
			v := version
			if opts.Damage == DamageVersions && name == "mb2" {
				v++
			}
			data := synthetic(name, v, spec, opts.ImageSize)
			if opts.Damage == DamageImage && name == "mb2" {
				data[len(data)-1] ^= 1
			}
			images = append(images, bup.Image{Name: name, Spec: spec, Version: bupVersion(version), Data: data})
		}
	}
	for name := range omit {
		return nil, fail.New(fail.Usage, "cannot omit %q: no such image", name)
	}
	return images, nil
}

// specFields splits a tnspec into its eight fields; the machine, the seventh, has hyphens of its own. Nil if there are fewer.
func specFields(spec string) []string {
	fields := strings.SplitN(spec, "-", 7)
	if len(fields) < 7 {
		return nil
	}
	machine := fields[6]
	cut := strings.LastIndexByte(machine, '-')
	if cut < 0 {
		return nil
	}
	return append(fields[:6:6], machine[:cut], machine[cut+1:])
}

// specFitsR32 is specs_match of tegra-boot-tools (bup.c), the open restatement of what R32 does: field by field, an empty one on
// either side fits.
func specFitsR32(entry, own string) bool {
	if entry == "" {
		return true
	}
	e, s := specFields(entry), specFields(own)
	if e == nil || s == nil {
		return false
	}
	for i := range e {
		if e[i] != "" && s[i] != "" && e[i] != s[i] {
			return false
		}
	}
	return true
}
