package rauc

import (
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// bundlePath remembers, for this boot, where RAUC mounts a bundle while it installs it.
const bundlePath = "/run/tegra-ota/rauc-bundle"

// RememberBundle records where the bundle of an install is mounted. The pre-install handler is told, the backend is not.
func (in Install) RememberBundle(m *device.Machine) error {
	return m.ReplaceVolatile(bundlePath, []byte(in.Bundle+"\n"), 0o644)
}

// installing says whether RAUC may be at the end of an install. It calls set-primary in the same words there and when
// somebody marks a slot active, after an install that failed for example; but only there a bundle is mounted. Without the
// pre-install handler nothing tells, and RAUC's word is taken.
func installing(m *device.Machine) bool {
	text, err := m.ReadText(bundlePath)
	if err != nil || strings.TrimSpace(text) == "" {
		return true
	}
	folder, err := filepath.EvalSymlinks(text)
	if err != nil {
		return false
	}
	mounted, err := isMountPoint(folder)
	return err == nil && mounted
}
