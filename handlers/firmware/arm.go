package firmware

import (
	"context"
	"fmt"
	"path"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Pending looks at both folders and at the request.
func (s *Stager) Pending(_ context.Context, staged *backends.Staged) (backends.Pending, error) {
	var pending backends.Pending
	p, err := s.places()
	if err != nil {
		return pending, err
	}
	value, _, err := s.indications(efivarfs.OsIndications)
	if err != nil {
		return pending, err
	}
	pending.Requested = value&fileCapsule != 0
	supported, present, err := s.indications(efivarfs.OsIndicationsSupported)
	if err != nil {
		return pending, err
	}
	pending.Unsupported = present && supported&fileCapsule == 0
	names, err := s.list(p)
	if err != nil {
		return pending, err
	}
	for _, name := range names {
		own := false
		if staged != nil {
			if own, err = s.is(path.Join(p.folder, name), *staged); err != nil {
				return pending, err
			}
		}
		if own {
			pending.Armed = true
		} else {
			pending.Foreign = append(pending.Foreign, name)
		}
	}
	if staged != nil {
		pending.Staged, err = s.is(p.staged, *staged)
		if isAbsent(err) {
			err = nil
		}
	}
	return pending, err
}

// list returns the names of the files in the firmware's folder.
func (s *Stager) list(p places) ([]string, error) {
	entries, err := s.m.ReadDir(p.folder)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list %s: %w", p.folder, err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Arm moves the capsule into the firmware's folder and asks the firmware to process it. The request is the last write:
// cut before it, nothing happens at the next boot.
func (s *Stager) Arm(ctx context.Context, staged backends.Staged) error {
	p, err := s.places()
	if err != nil {
		return err
	}
	pending, err := s.Pending(ctx, &staged)
	if err != nil {
		return err
	}
	if err := pending.RefuseForeign("arm the capsule"); err != nil {
		return err
	}
	switch {
	case pending.Armed && pending.Staged: // FAT left both names after a cut
		if err := s.remove(p.staged, p); err != nil {
			return err
		}
	case pending.Armed:
	case pending.Staged:
		if err := s.m.MkdirAll(p.folder, 0o755); err != nil {
			return named(p.folder, err)
		}
		if err := s.move(p.staged, p.armed, p); err != nil {
			return err
		}
	default:
		return fail.New(fail.Unavailable, "cannot arm the capsule: it is gone from the ESP").Then("install the update again")
	}
	return s.request(true)
}

// Disarm takes the capsule back. The request goes first: cut after it, the firmware ignores the file.
func (s *Stager) Disarm(ctx context.Context, staged backends.Staged, clearRequest bool) error {
	if clearRequest {
		if err := s.request(false); err != nil {
			return err
		}
	}
	p, err := s.places()
	if err != nil {
		return err
	}
	pending, err := s.Pending(ctx, &staged)
	if err != nil || !pending.Armed {
		return err
	}
	armed, err := s.armedPath(p, staged)
	if err != nil {
		return err
	}
	if pending.Staged {
		return s.remove(armed, p)
	}
	if err := s.m.MkdirAll(p.staging, 0o755); err != nil {
		return named(p.staging, err)
	}
	return s.move(armed, p.staged, p)
}

// armedPath finds our capsule in the firmware's folder by its content.
func (s *Stager) armedPath(p places, staged backends.Staged) (string, error) {
	names, err := s.list(p)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		file := path.Join(p.folder, name)
		if own, err := s.is(file, staged); err != nil || own {
			return file, err
		}
	}
	return p.armed, nil
}

// Discard removes our capsule from both folders.
func (s *Stager) Discard(ctx context.Context, staged backends.Staged) error {
	p, err := s.places()
	if err != nil {
		return withoutESP(err)
	}
	if staged.SHA256 != "" {
		pending, err := s.Pending(ctx, &staged)
		if err != nil {
			return err
		}
		if pending.Armed {
			armed, err := s.armedPath(p, staged)
			if err != nil {
				return err
			}
			if err := s.remove(armed, p); err != nil {
				return err
			}
		}
	}
	return s.DiscardIncomplete(ctx)
}

// DiscardIncomplete removes whatever lies in our own folder under a capsule's name: nothing there is armed, and no
// journal entry means nobody needs it.
func (s *Stager) DiscardIncomplete(_ context.Context) error {
	p, err := s.places()
	if err != nil {
		return withoutESP(err)
	}
	for _, file := range []string{p.incoming, p.staged} {
		if err := s.remove(file, p); err != nil {
			return err
		}
	}
	return nil
}

// withoutESP: where there is no ESP there is nothing to remove from it, and an update of images alone needs none.
func withoutESP(err error) error {
	if fail.CodeOf(err) == fail.Unavailable {
		return nil
	}
	return err
}

func (s *Stager) remove(file string, p places) error {
	if !s.m.Exists(file) {
		return nil
	}
	if err := s.m.Remove(file); err != nil {
		return fmt.Errorf("cannot remove the capsule %s: %w", file, err)
	}
	if err := s.m.SyncDir(path.Dir(file)); err != nil {
		return fmt.Errorf("cannot remove the capsule %s: %w", file, err)
	}
	return s.m.SyncFS(p.mount)
}

// folders are the distinct folders of some files.
func folders(files ...string) []string {
	var list []string
	for _, f := range files {
		d := path.Dir(f)
		if len(list) == 0 || list[len(list)-1] != d {
			list = append(list, d)
		}
	}
	return list
}
