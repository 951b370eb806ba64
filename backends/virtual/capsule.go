package virtual

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/bup"
)

// Phases of capsule processing, as BootReport.Phases names them; an image's is phaseImage with its name behind.
const (
	phaseMB1Invalidate = "capsule-mb1-invalidate"
	phaseGPTInvalidate = "capsule-gpt-invalidate"
	phaseImage         = "capsule-image:"
	phaseMB1           = "capsule-mb1"
	phaseGPT           = "capsule-gpt"
	phaseVerify        = "capsule-verify" // reads only; counted so that the power can be cut there
	phaseBackup        = "capsule-bct-backup"
	phaseESRT          = "esrt"
	phaseRemove        = "capsule-remove"
)

// capsules lists the files that capsule-on-disk would find, in name order. The ESP is FAT: names differ by case only on
// the host, and the device does not see it.
func (o *Orin) capsules() (dir string, files []string, err error) {
	dir = o.path(espDir)
	for _, want := range strings.Split(strings.TrimPrefix(capsuleDir, espDir+"/"), "/") {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return dir, nil, nil
		}
		if err != nil {
			return dir, nil, fmt.Errorf("cannot look for capsules: %w", err)
		}
		found := ""
		for _, e := range entries {
			if strings.EqualFold(e.Name(), want) {
				found = e.Name()
			}
		}
		if found == "" {
			return dir, nil, nil
		}
		dir = filepath.Join(dir, found)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return dir, nil, fmt.Errorf("cannot look for capsules: %w", err)
	}
	for _, e := range entries {
		if e.Type().IsRegular() {
			files = append(files, e.Name())
		}
	}
	return dir, files, nil
}

// processCapsules is capsule delivery through the ESP (UEFI specification 2.10, 8.5.5): asked for by OsIndications bit 2,
// which is cleared first; each file is removed once it was tried, whatever came of it.
func (b *boot) processCapsules() (reset bool, err error) {
	indications, ok, err := b.osIndications()
	if err != nil || !ok || indications&fileCapsule == 0 {
		return false, err
	}
	dir, files, err := b.o.capsules()
	if err != nil {
		return false, err
	}
	b.inCapsule = true
	b.say("UEFI looks for capsules, as OsIndications asks: %d found", len(files))
	if err := b.setVariable("OsIndications", globalGUID, u64(indications&^fileCapsule)); err != nil {
		return false, err
	}
	for _, name := range files {
		full := filepath.Join(dir, name)
		raw, err := os.ReadFile(full)
		if err != nil {
			return false, fmt.Errorf("cannot read capsule: %w", err)
		}
		applied, err := b.processCapsule(name, raw)
		if err != nil {
			return false, err
		}
		reset = reset || applied
		if err := b.power.step(phaseRemove, func() error { return os.Remove(full) }, nil); err != nil {
			return false, err
		}
	}
	b.inCapsule = false
	if reset {
		b.say("UEFI resets")
	}
	return reset, nil
}

// processCapsule hands one capsule to FmpDxe and records the attempt in ESRT. A file that no driver claims is no attempt:
// ESRT keeps the pair it has.
func (b *boot) processCapsule(name string, raw []byte) (applied bool, err error) {
	o, ok := parseOuter(raw)
	if !ok {
		b.say("UEFI passes over %s, which is no whole capsule", name)
		return false, nil
	}
	if o.imageType.String() != b.o.board.FwClass {
		b.say("UEFI passes over %s, which is for firmware %s", name, o.imageType)
		return false, nil
	}
	next := b.st
	header, ok := o.header()
	status := uint32(lasInvalidFormat)
	next.Attempt = 0
	if ok {
		next.Attempt = header.version
		if status, err = b.apply(raw, header); err != nil {
			return false, err
		}
	}
	next.Status = status
	if status == lasSuccess {
		next.Lowest = max(next.Lowest, header.lowest)
	}
	b.report.Capsule = CapsuleResult{Processed: true, Status: status}
	b.say("capsule %s, version %s: status %d", name, next.Attempt, status)
	err = b.power.step(phaseESRT, func() error {
		// Previous and ResetCount may have changed meanwhile; they belong to another driver.
		b.st.Attempt, b.st.Status, b.st.Lowest = next.Attempt, next.Status, next.Lowest
		return b.o.writeState(b.st)
	}, nil)
	return status == lasSuccess, err
}

// apply is FmpDxe's SetTheImage with TegraFmp.c below it: signature and version are FmpDxe's checks and come first, then
// the device library's FmpTegraCheckImage, then FmpTegraSetImage.
func (b *boot) apply(raw []byte, h payloadHeader) (uint32, error) {
	if !authentic(raw) {
		return lasImageAuth, nil
	}
	if h.version < b.st.Lowest {
		return lasVersionTooLow, nil
	}
	if b.running == unknownVersion {
		return lasUninitialized, nil // FmpDeviceVersionCallback got no version
	}
	if canceled, err := b.checkAndCancel(); err != nil || canceled {
		return lasCanceled, err
	}
	if !bytes.HasPrefix(h.bup, []byte("NVIDIA__BLOB__V3")) {
		return lasPackageHeader, nil
	}
	pkg, err := bup.ParseAt(bytes.NewReader(h.bup), int64(len(h.bup)))
	switch {
	case err != nil:
		return packageStatus(h.bup, err), nil
	case pkg.Header.Type != bup.TypeUpdate:
		return lasPackageType, nil
	case len(pkg.Entries) == 1:
		return lasSingleImage, nil
	}
	images, status, err := b.selectImages(pkg, h.bup)
	if err != nil || status != lasSuccess {
		return status, err
	}
	return b.flash(images)
}

// checkAndCancel is BootChainCheckAndCancelUpdate: a switch of the boot chain and a capsule exclude each other, and both
// are lost. As the status is set by this, the next capsule fails too until somebody deletes it.
func (b *boot) checkAndCancel() (bool, error) {
	_, next, _, err := b.vars.word(nextName)
	if err != nil {
		return false, err
	}
	_, status, _, err := b.vars.word(statusName)
	if err != nil || (!next && !status) {
		return false, err
	}
	b.say("UEFI cancels the capsule, because a request to switch the boot chain or its status exists")
	if err := b.deleteVariable(nextName, publicGUID); err != nil {
		return true, err
	}
	return true, b.setVariable(statusName, publicGUID, u32(statusCapsuleConflict))
}

// leaveCapsule leaves of an interrupted capsule what AfterCut says.
func (b *boot) leaveCapsule() error {
	data, ok, err := b.vars.get("OsIndications", globalGUID)
	if err != nil || !ok || len(data) != 8 {
		return err
	}
	value := binary.LittleEndian.Uint64(data) | fileCapsule
	if b.opts.AfterCut == AfterCutFlagCleared || b.opts.AfterCut == AfterCutBothCleared {
		value &^= fileCapsule
	}
	if err := b.vars.set("OsIndications", globalGUID, attrStored, u64(value)); err != nil {
		return err
	}
	if b.opts.AfterCut != AfterCutBothCleared {
		return nil
	}
	dir, files, err := b.o.capsules()
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("cannot remove capsule: %w", err)
		}
	}
	return nil
}
