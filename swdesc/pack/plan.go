// Package pack makes an update from a release: it looks at every file, checks what a device would refuse, describes the update
// to SWUpdate, and writes a .swu, the folder from which RAUC makes a bundle, or a Mender artifact.
//
// Everything is read twice: once to learn sizes and digests, which stand at the front of an update, and once to copy. The second
// pass compares with the first, so that a file that changes in between fails the pack and never a device.
package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"

	"github.com/tegra-ota/tegra-ota/swdesc/crypt"
	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// Format is what kind of update to make.
type Format string

// The formats, in the words of the command line.
const (
	SWU    Format = "swu"      // SWUpdate's archive
	RAUC   Format = "rauc-dir" // the input folder of rauc bundle
	Mender Format = "mender"   // Mender's artifact
)

// Digest is the length of some bytes and what identifies them.
type Digest struct {
	Size   int64
	SHA256 [sha256.Size]byte
}

// Hex returns the SHA-256 as SWUpdate writes it.
func (d Digest) Hex() string { return hex.EncodeToString(d.SHA256[:]) }

// Part is one component as it lies in the update.
type Part struct {
	Component release.Component
	Name      string // of the member or file in the update
	Plain     Digest // what ends up on the device
	Stored    Digest // what lies in the update: perhaps compressed, perhaps encrypted
	Sum       uint32 // of the stored bytes, for cpio's crc format
	Zstd      bool   // the stored bytes are compressed, and whoever installs them decompresses
	IV        *[16]byte

	plain  string // file with the plain bytes: the component's own, or a temporary one
	stored string // file with the stored bytes before encryption
	key    *crypt.Key
}

// Plan is a release whose files are known: what WriteSWU, WriteRAUC and WriteMender turn into an update.
type Plan struct {
	Release *release.Release
	Format  Format
	// Update is the ID that all parts carry, so that parts of two updates never mix on a device: the version, and a digest of
	// what is in it, because two builds may have one version.
	Update string
	Parts  []Part // in the order of the update
	// Firmware is what the release's firmware does to each board; nil without firmware.
	Firmware *firmware.Report
	Problems problem.List

	work string
}

// Close removes the temporary files.
func (p *Plan) Close() error { return os.RemoveAll(p.work) }

// order is the order of an update: root file system first, because RAUC installs in this order and stages no firmware if it
// fails; scripts last.
var order = []string{release.Rootfs, release.Kernel, release.KernelDTB, release.Firmware, release.File, release.Script}

// partsOf returns the release's components in the order of an update.
func partsOf(r *release.Release) []Part {
	var parts []Part
	for _, kind := range order {
		for _, c := range r.Components {
			if c.Type == kind {
				parts = append(parts, Part{Component: c})
			}
		}
	}
	return parts
}

// slotBound says whether a component is written to one of the two slots.
func (p Part) slotBound() bool {
	return p.Component.Type != release.File && p.Component.Type != release.Script
}

// id names the update by its version and its content: the same release packed twice is the same update, also where encryption and
// its random start make the stored bytes differ.
func (p *Plan) id() string {
	h := sha256.New()
	for _, part := range p.Parts {
		fmt.Fprintf(h, "%s %s %d %s\n", part.Component.Type, part.Name, part.Plain.Size, part.Plain.Hex())
	}
	return p.Release.Version + "-" + hex.EncodeToString(h.Sum(nil)[:4])
}
