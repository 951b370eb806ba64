package virtual

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// ChainReport is what one boot chain in the QSPI flash really holds.
type ChainReport struct {
	// Whole says that every image is intact and all are of one version.
	Whole bool `json:"whole"`
	// Startable says that BootROM and MB1 bring it up; a chain of mixed versions may be.
	Startable bool `json:"startable"`
	// Version is that of the VER partition, as SystemFwVersions tells it; 0xffffffff where it can not be read.
	Version capsule.Version `json:"-"`
	// VersionText is the same in words, "unknown" where it can not be read.
	VersionText string `json:"version"`
	// Problems names each image that is not as it should be.
	Problems []string `json:"problems"`
}

func (o *Orin) partition(s Slot, name string) string { return o.path(qspiDir, s.String(), name) }

func (o *Orin) readPartition(s Slot, name string) ([]byte, error) {
	raw, err := os.ReadFile(o.partition(s, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot read flash partition %s: %w", o.board.flashName(s, name), err)
	}
	return raw, nil
}

// Chain judges a boot chain. A chain that an interrupted capsule left behind is not startable, because mb1 is invalidated
// first and written last (TegraFmp.c). On JetPack 4 nothing is invalidated first: such a chain shows in the image that is torn.
func (o *Orin) Chain(s Slot) (ChainReport, error) {
	r := ChainReport{Whole: true, Startable: true, Version: unknownVersion, VersionText: "unknown", Problems: []string{}}
	ver, err := o.version(s)
	if err != nil {
		return r, err
	}
	if r.Version = ver; ver != unknownVersion {
		r.VersionText = ver.String()
	}
	for _, p := range o.board.parts() {
		raw, err := o.readPartition(s, p.Name)
		if err != nil {
			return r, err
		}
		found, bad := judge(p.Name, raw)
		if bad != nil {
			r.Whole = false
			if p.Name != versionImage && p.Name != splashImage { // nothing is started from it
				r.Startable = false
			}
			r.Problems = append(r.Problems, fmt.Sprintf("%s: %v", o.board.flashName(s, p.Name), bad))
			continue
		}
		if p.Name != gptImage && found != unknownVersion && ver != unknownVersion && found != ver {
			r.Whole = false
			r.Problems = append(r.Problems, fmt.Sprintf("%s: it is of version %s", o.board.flashName(s, p.Name), found))
		}
	}
	return r, nil
}

// version reads a chain's VER partition.
func (o *Orin) version(s Slot) (capsule.Version, error) {
	raw, err := o.readPartition(s, versionImage)
	if err != nil {
		return unknownVersion, err
	}
	v, err := readVersionText(raw)
	if err != nil {
		return unknownVersion, nil //nolint:nilerr // an unreadable VER is what the firmware calls unknown
	}
	return v, nil
}

// The boot configuration table lies four times in the flash, slot 0 first in BootROM's eyes; UpdateFwChain rewrites the
// copies from the last to the first, so that BootROM's answer changes in one step (BrBctUpdateDxe.c). A copy is one line.
const (
	bctCopies  = 4
	bctCopyLen = 32
)

func bctCopy(index int, active Slot) []byte {
	return []byte(fmt.Sprintf("%-*s\n", bctCopyLen-1, fmt.Sprintf("BR-BCT copy %d chain %s", index, active)))
}

func bctTable(active Slot) []byte {
	var table []byte
	for i := 0; i < bctCopies; i++ {
		table = append(table, bctCopy(i, active)...)
	}
	return table
}

// activeChain reads BR-BCT as BootROM does: the first copy that is whole decides. With none left BootROM starts chain A.
func (o *Orin) activeChain() (Slot, error) {
	if o.board.Cboot {
		return o.nextBySMD()
	}
	raw, err := os.ReadFile(o.path(brBCTFile))
	if err != nil {
		return A, fmt.Errorf("cannot read BR-BCT: %w", err)
	}
	for i := 0; i < bctCopies && len(raw) >= (i+1)*bctCopyLen; i++ {
		line := string(raw[i*bctCopyLen : (i+1)*bctCopyLen])
		for _, s := range []Slot{A, B} {
			if strings.EqualFold(line, string(bctCopy(i, s))) {
				return s, nil
			}
		}
	}
	return A, nil
}
