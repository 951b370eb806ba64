package payload

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Names in the folder of Keep.
const (
	keptName     = "firmware.bup"
	incomingName = "firmware.bup.tmp"
)

// reserve stays free beside a kept payload, in bytes: the journal of the same file system grows a little meanwhile.
const reserve = 256 << 10

// Payload is a BUP in a file: complete, checked, on storage and read back.
type Payload struct {
	File    string // path of the device
	Size    int64  // of the BUP, in bytes
	SHA256  string // of the BUP, hexadecimal
	Package *bup.Package

	m       *device.Machine
	f       *os.File
	capsule capsule.Version // the capsule header's; 0 for a bare BUP
}

// Keep reads the rest and keeps the BUP in folder, which it makes: under a temporary name, synced, checked, renamed, and read
// back from storage. Without an error it is complete. A payload that is malformed, truncated, longer than its header says, or of
// a signer that Trust does not name is fail.Data; too little room is fail.Unavailable; nothing is left behind by either.
func (h *Head) Keep(m *device.Machine, folder string) (*Payload, error) {
	if err := m.MkdirAll(folder, 0o700); err != nil {
		return nil, keeping(folder, err)
	}
	if err := h.checkRoom(m, folder); err != nil {
		return nil, err
	}
	incoming := path.Join(folder, incomingName)
	p := &Payload{File: path.Join(folder, keptName), Package: h.pkg, Size: h.Size(), m: m}
	if h.capsule != nil {
		p.capsule = h.capsule.FirmwareVersion
	}
	var err error
	if p.SHA256, err = h.write(m, incoming); err != nil {
		_ = m.Remove(incoming)
		if errors.Is(err, unix.ENOSPC) {
			return nil, fail.New(fail.Unavailable, "cannot keep the firmware: %s is full: %w", folder, err).Then("free space there")
		}
		return nil, err
	}
	if err := m.Rename(incoming, p.File); err != nil {
		return nil, keeping(p.File, err)
	}
	if err := m.SyncDir(folder); err != nil {
		return nil, keeping(folder, err)
	}
	if err := p.readBack(); err != nil {
		p.Close()
		_ = m.Remove(p.File)
		return nil, err
	}
	return p, nil
}

func keeping(file string, err error) error {
	return fmt.Errorf("cannot keep the firmware in %s: %w", file, err)
}

// checkRoom wants room for the BUP. What an earlier Keep left is counted as free, because this one replaces it.
func (h *Head) checkRoom(m *device.Machine, folder string) error {
	free, err := m.FreeBytes(folder)
	if err != nil {
		return keeping(folder, err)
	}
	for _, name := range []string{keptName, incomingName} {
		if st, err := m.Stat(path.Join(folder, name)); err == nil {
			free += st.Size()
		}
	}
	if need := h.Size() + reserve; free < need {
		return fail.New(fail.Unavailable, "cannot keep the firmware: %s has %d KiB free and %d KiB are needed", folder, free>>10, need>>10).
			Then("free space there")
	}
	// The old one goes first: two of them need not fit.
	return Clean(m, folder)
}

// write puts the BUP into a new file, checked and synced, and returns its digest.
func (h *Head) write(m *device.Machine, file string) (string, error) {
	f, err := m.Create(file, 0o600)
	if err != nil {
		return "", keeping(file, err)
	}
	digest := sha256.New()
	err = h.copyBUP(io.MultiWriter(f, digest))
	if err == nil {
		err = h.finish()
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return hex.EncodeToString(digest.Sum(nil)), err
}

// readBack opens the file and compares what is on storage with what came in.
func (p *Payload) readBack() error {
	f, err := p.m.Open(p.File)
	if err != nil {
		return keeping(p.File, err)
	}
	p.f = f
	// The pages are clean after the sync, so the kernel can forget them; that is advice, and best effort on a file.
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	digest := sha256.New()
	n, err := io.Copy(digest, f)
	if err != nil {
		return fail.New(fail.IO, "cannot read back the firmware: %w", err).Then("install the update again")
	}
	if n != p.Size || hex.EncodeToString(digest.Sum(nil)) != p.SHA256 {
		return fail.New(fail.IO, "cannot trust the kept firmware %s: read back, it differs from what was written", p.File).
			Then("check the file system and install the update again")
	}
	return nil
}

// Image returns the bytes of Package.Entries[i].
func (p *Payload) Image(i int) *io.SectionReader {
	e := p.Package.Entries[i]
	return io.NewSectionReader(p.f, int64(e.Offset), int64(e.Length))
}

// Close ends the use of Image; the file stays.
func (p *Payload) Close() error { return p.f.Close() }

// Remove closes and removes the file; one that is gone already is no error.
func (p *Payload) Remove() error {
	_ = p.f.Close()
	return Clean(p.m, path.Dir(p.File))
}

// Clean removes what Keep left in folder, complete or not; a folder without any is no error.
func Clean(m *device.Machine, folder string) error {
	changed := false
	for _, name := range []string{incomingName, keptName} {
		file := path.Join(folder, name)
		if !m.Exists(file) {
			continue
		}
		changed = true
		if err := m.Remove(file); err != nil {
			return fmt.Errorf("cannot remove the kept firmware %s: %w", file, err)
		}
	}
	if !changed {
		return nil
	}
	return m.SyncDir(folder)
}
