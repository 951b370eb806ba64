package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The fixed path that the program reads before R32.6 (meta-tegra 367), and our names beside it. The marker holds the SHA-256 of what
// we put there: a file without a marker that fits is somebody else's, is never removed, and is in the way.
const (
	placeFolder = "/opt/ota_package"
	placeFile   = placeFolder + "/bl_update_payload"
	placeTmp    = placeFolder + "/bl_update_payload.tegra-ota.tmp"
	placeMarker = placeFolder + "/bl_update_payload.tegra-ota"
)

// reserve stays free beside the copy, in bytes.
const reserve = 256 << 10

// preparePlace refuses a fixed path that is taken or has no room, and leaves the marker: that proves that the folder can be
// written before anything of the chain is.
func (s *Stager) preparePlace(p *payload.Payload) error {
	if err := s.unplace(); err != nil {
		return err
	}
	taken, err := s.digestAt(placeFile)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return placing(err)
	case err == nil && taken != p.SHA256:
		return fail.New(fail.Unavailable, "cannot use %s: it holds a payload that is not tegra-ota's, and this release of %s reads no other path",
			placeFile, program).
			Then("move that file away")
	case err == nil:
		return nil // somebody else's, and the same: it is used, and stays
	}
	if err := s.m.MkdirAll(placeFolder, 0o755); err != nil {
		return placing(err)
	}
	free, err := s.m.FreeBytes(placeFolder)
	if err != nil {
		return placing(err)
	}
	if need := p.Size + reserve; free < need {
		return fail.New(fail.Unavailable, "cannot place the payload: %s has %d KiB free and %d KiB are needed", placeFolder, free>>10, need>>10).
			Then("free space there")
	}
	return placing(s.m.ReplaceFile(placeMarker, []byte(p.SHA256+"\n"), 0o644))
}

// place copies the payload to the fixed path: under a temporary name, synced, renamed, the folder synced.
func (s *Stager) place(p *payload.Payload) error {
	if taken, err := s.digestAt(placeFile); err == nil && taken == p.SHA256 {
		return nil
	}
	if s.m.Exists(placeFile) {
		return fail.New(fail.Unavailable, "cannot place the payload: somebody put another one at %s meanwhile",
			placeFile).Then("move that file away")
	}
	in, err := s.m.Open(p.File)
	if err != nil {
		return placing(err)
	}
	defer in.Close()
	f, err := s.m.Create(placeTmp, 0o600)
	if err != nil {
		return placing(err)
	}
	digest := sha256.New()
	_, err = io.CopyBuffer(io.MultiWriter(f, digest), io.LimitReader(in, p.Size), make([]byte, 1<<20))
	if err == nil && hex.EncodeToString(digest.Sum(nil)) != p.SHA256 {
		err = fail.New(fail.IO, "the kept firmware %s changed", p.File).Then("install the update again")
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = s.m.Rename(placeTmp, placeFile)
	}
	if err == nil {
		err = s.m.SyncDir(placeFolder)
	}
	return placing(err)
}

func placing(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EROFS):
		return fail.New(fail.Unavailable, "cannot place the payload at %s: %w",
			placeFile, err).Then("make %s writable, with room for the payload", placeFolder)
	}
	return fmt.Errorf("cannot place the payload at %s: %w", placeFile, err)
}

// unplace removes our copy from the fixed path, and then its marker: a cut between the two leaves a marker that fits nothing.
func (s *Stager) unplace() error {
	changed := false
	remove := func(file string) error {
		if !s.m.Exists(file) {
			return nil
		}
		changed = true
		return s.m.Remove(file)
	}
	err := remove(placeTmp)
	if ours, readErr := s.m.ReadText(placeMarker); err == nil && readErr == nil {
		if there, digestErr := s.digestAt(placeFile); digestErr == nil && there == ours {
			if err = remove(placeFile); err == nil {
				// The marker must not go first.
				err = s.m.SyncDir(placeFolder)
			}
		}
	}
	for _, file := range []string{placeMarker, placeMarker + ".tmp"} {
		if err == nil {
			err = remove(file)
		}
	}
	if err == nil && changed {
		err = s.m.SyncDir(placeFolder)
	}
	if err != nil {
		return fmt.Errorf("cannot remove the payload placed at %s: %w", placeFile, err)
	}
	return nil
}

// digestAt is the SHA-256 of a regular file; of anything else "", which nothing equals.
func (s *Stager) digestAt(file string) (string, error) {
	if _, err := s.m.Readlink(file); err == nil {
		return "", nil
	}
	st, err := s.m.Stat(path.Clean(file))
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", nil
	}
	f, err := s.m.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
