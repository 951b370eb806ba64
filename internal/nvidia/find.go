// Package nvidia finds NVIDIA's closed programs on the device.
package nvidia

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Find returns the path of one of NVIDIA's programs on the device: the configured one and no other, else the one in
// /usr/sbin, where NVIDIA's packages put them, else the first in device.SearchPath; "" where there is none. Below a root
// prefix all of these lie inside it. A link of that name to ourselves is not NVIDIA's, and would call itself for ever.
func Find(m *device.Machine, name, configured string) string {
	candidates := []string{"/usr/sbin/" + name}
	for _, folder := range strings.Split(device.SearchPath, ":") {
		candidates = append(candidates, folder+"/"+name)
	}
	if configured != "" {
		candidates = []string{configured}
	}
	for _, c := range candidates {
		st, err := m.Stat(c)
		if err != nil || !st.Mode().IsRegular() || st.Mode()&0o111 == 0 {
			continue
		}
		if inside(m, c) && !ourselves(m.Path(c)) {
			return c
		}
	}
	return ""
}

// inside says that a path does not lead out of a root prefix: an absolute link there names a program of the device, and
// would run one of the host.
func inside(m *device.Machine, p string) bool {
	if !m.IsPrefixed() {
		return true
	}
	root, err := filepath.EvalSymlinks(m.Root())
	if err != nil {
		return false
	}
	resolved, err := filepath.EvalSymlinks(m.Path(p))
	return err == nil && strings.HasPrefix(resolved, root+"/")
}

func ourselves(program string) bool {
	self, err := os.Executable()
	if err != nil {
		return true // better no program than a loop
	}
	resolved, err := filepath.EvalSymlinks(program)
	return err == nil && device.SameDevice(resolved, self)
}
