package virtual

import (
	"bytes"
	"os"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

// selected is one image that the board takes from a package, in package order.
type selected struct {
	name string
	data []byte
}

// selectImages is FmpTegraCheckImage. Of a package that has partition tables, but none for this board, the status is 6164;
// of one that lacks another image, 6151: threads report the first for the wrong module, and r35.5 to r36 look for the
// table before all else, while the current source does without one.
func (b *boot) selectImages(pkg *bup.Package, raw []byte) ([]selected, uint32, error) {
	spec, compat, err := b.specs()
	if err != nil {
		return nil, 0, err
	}
	want := b.o.board.required(b.running)
	choice := pkg.Match(spec, compat, want)
	if _, ok := choice.Chosen[gptImage]; !ok {
		for _, e := range pkg.Entries {
			if e.Name == gptImage {
				b.say("the package has no partition table for %s", spec)
				return nil, lasGPTMetadata, nil
			}
		}
	}
	if len(choice.Missing) > 0 {
		b.say("the package lacks %s for %s: %s", choice.Missing[0].Name, spec, choice.Missing[0].Reason)
		return nil, lasImageNotInPackage, nil
	}
	target := b.chain.Other()
	sizes := map[string]int64{backupImage: 128 * sectorSize}
	for _, p := range b.o.board.parts() {
		if _, err := os.Stat(b.o.partition(target, p.Name)); err == nil {
			sizes[p.Name] = p.Sectors * sectorSize
		}
	}
	for _, name := range want {
		if sizes[name] == 0 {
			b.say("the flash has no partition %s", b.o.board.flashName(target, name))
			return nil, lasNoProtocol, nil
		}
	}
	var images []selected
	for i, e := range pkg.Entries {
		size, ok := sizes[e.Name]
		if chosen, is := choice.Chosen[e.Name]; !ok || !is || chosen != i {
			continue // not for this board, or without a place of its own, like BCT
		}
		if int64(e.Length) > size {
			b.say("image %s has %d bytes, its partition %d", e.Name, e.Length, size)
			return nil, lasImageTooBig, nil
		}
		images = append(images, selected{e.Name, raw[e.Offset : e.Offset+e.Length]})
	}
	return images, lasSuccess, nil
}

func (b *boot) specs() (spec, compat string, err error) {
	for _, f := range []struct {
		name string
		text *string
	}{{"TegraPlatformSpec", &spec}, {"TegraPlatformCompatSpec", &compat}} {
		data, _, err := b.vars.get(f.name, publicGUID)
		if err != nil {
			return "", "", err
		}
		*f.text = strings.TrimRight(string(data), "\x00")
	}
	return spec, compat, nil
}

// flash is FmpTegraSetImage: always into the chain that does not run, mb1 invalid first and written last.
func (b *boot) flash(images []selected) (uint32, error) {
	target := b.chain.Other()
	place := func(name string) string { return b.o.partition(target, name) }
	named := map[string][]byte{}
	for _, im := range images {
		named[im.name] = im.data
	}
	b.say("UEFI writes %d images to chain %s", len(images), target)
	newGPT := false
	if gpt, ok := named[gptImage]; ok {
		old, err := b.o.readPartition(target, gptImage)
		if err != nil {
			return 0, err
		}
		newGPT = !bytes.Equal(old, gpt)
	}
	if newGPT {
		if err := b.power.eraseHead(phaseGPTInvalidate, place(gptImage)); err != nil {
			return 0, err
		}
	}
	if err := b.power.eraseHead(phaseMB1Invalidate, place(firstImage)); err != nil {
		return 0, err
	}
	for _, im := range images {
		if im.name == firstImage || im.name == gptImage || im.name == backupImage {
			continue
		}
		if err := b.power.flashImage(phaseImage+im.name, place(im.name), im.data); err != nil {
			return 0, err
		}
	}
	if err := b.power.flashImage(phaseMB1, place(firstImage), named[firstImage]); err != nil {
		return 0, err
	}
	if newGPT {
		if err := b.power.flashImage(phaseGPT, place(gptImage), named[gptImage]); err != nil {
			return 0, err
		}
	}
	if same, err := b.verify(images, target); err != nil || !same {
		return lasVerifyImages, err
	}
	if backup, ok := named[backupImage]; ok {
		if err := b.power.flashImage(phaseBackup, b.o.path(bctBackupFile), backup); err != nil {
			return 0, err
		}
	}
	if err := b.updateFwChain(target); err != nil {
		return 0, err
	}
	b.say("UEFI makes chain %s the active one", target)
	return lasSuccess, nil
}

// verify reads all images back.
func (b *boot) verify(images []selected, target Slot) (same bool, err error) {
	same = true
	err = b.power.step(phaseVerify, func() error {
		for _, im := range images {
			if im.name == backupImage {
				continue
			}
			raw, err := b.o.readPartition(target, im.name)
			if err != nil {
				return err
			}
			if !bytes.Equal(raw, im.data) {
				b.say("image %s reads back differently", im.name)
				same = false
				return nil
			}
		}
		return nil
	}, nil)
	return same, err
}
