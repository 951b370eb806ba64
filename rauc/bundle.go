package rauc

import (
	"path"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// installing says whether RAUC is installing. It says set-state bad and set-primary in the same words at the beginning and the end
// of an install and when somebody marks a slot by hand; but a bundle is mounted in the one case only: before the pre-install
// handler until after the post-install handler, as a squashfs at "bundle" below mountprefix (RAUC 1.8 to 1.16-dev, bundle.c,
// mount_bundle). Where mounts cannot be read it may be. A mount that outlived a killed service, one that runs without a mount
// namespace of its own (its unit has MountFlags=slave), cannot be told from an install.
func installing(m *device.Machine) bool {
	mounts, err := device.New("/").Mounts() // RAUC mounts on the system that it runs on, a folder for a device or not
	if err != nil {
		return true
	}
	root, err := filepath.EvalSymlinks(m.Root())
	if err != nil {
		return true
	}
	for _, mount := range mounts {
		if mount.Type == "squashfs" && path.Base(mount.Point) == "bundle" && concerns(root, mount.Point) {
			return true
		}
	}
	return false
}

// concerns says whether a mount may be of the RAUC that installs on the device below root: of a folder that stands in for a whole
// device those within, and where it stands in for the firmware alone, those in RAUC's own places.
func concerns(root, point string) bool {
	for _, prefix := range []string{strings.TrimSuffix(root, "/"), "/run/rauc", "/mnt/rauc"} {
		if strings.HasPrefix(point, prefix+"/") {
			return true
		}
	}
	return false
}
