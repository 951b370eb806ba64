package backends

import (
	"context"
	"path"

	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esp"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// Survey is Status, and the places that it was read from: what changes there can change the answer. The places are known
// even where Status is not, so that one can wait for a device that cannot be read to come back.
func (c *Control) Survey(ctx context.Context) (Status, []watch.Place, error) {
	s, err := c.read(ctx)
	if err != nil {
		return Status{}, c.places("", c.opts.ESPMountPoint), err
	}
	mountPoint := c.opts.ESPMountPoint
	if s.obs.espErr == nil {
		mountPoint = s.obs.esp.MountPoint
	}
	return s.status(ctx), c.places(s.journal.where, mountPoint), nil
}

// UsualPlaces are where a device that cannot even be opened may come back.
func UsualPlaces() []watch.Place {
	return []watch.Place{
		{Folder: efivarfs.Dir},
		{Folder: "/proc/device-tree", Names: []string{"compatible"}},
		{Folder: "/etc", Names: []string{"nv_boot_control.conf"}},
	}
}

// places are the folders of the variables, the journal, what the verbs leave in /run, the capsules and the retry counts. Of mounts
// the watcher learns by itself, and the update table changes at boot alone.
func (c *Control) places(journal, mountPoint string) []watch.Place {
	records := []string{journalName, marksName}
	places := []watch.Place{
		{Folder: efivarfs.Dir},
		{Folder: path.Dir(publishedPath), Names: []string{path.Base(publishedPath), path.Base(committedPath)}},
	}
	folders := map[string]bool{}
	for _, folder := range []string{journal, c.opts.JournalFolder, dataFolder} {
		if folder != "" && !folders[folder] {
			folders[folder] = true
			places = append(places, watch.Place{Folder: folder, Names: records})
		}
	}
	if mountPoint != "" {
		if folder := path.Join(mountPoint, espFolder); !folders[folder] {
			places = append(places, watch.Place{Folder: folder, Names: records})
		}
		places = append(places, watch.Place{Folder: path.Join(mountPoint, esp.Capsules)})
	}
	if found, err := chip.Detect(c.m); err == nil {
		for _, folder := range found.PMC {
			if c.m.Exists(folder) {
				places = append(places, watch.Place{Folder: folder})
			}
		}
	}
	return places
}
