package rootfs

import (
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// tegraRelease is the first line of /etc/nv_tegra_release, from R28 to R38 "# R36 (release), REVISION: 4.3, GCID: ...". The branch
// stands behind R, the other two numbers behind REVISION; "4" is 4.0. "(release)" is "(beta)" or the like in previews, and missing in
// the same line of a BUP's VER image.
//
// meta-tegra (nv-tegra-release_*.bb) installs the file of package nvidia-l4t-core, cut to this line.
var tegraRelease = regexp.MustCompile(`^#?\s*R([0-9]{1,5})\s*(?:\([a-zA-Z_ ]*\))?\s*,` +
	`\s*REVISION:\s*([0-9]{1,3})(?:\.([0-9]{1,3}))?\s*(?:,|$)`)

// parseRelease returns the first line that is not blank, and the version that it names.
func parseRelease(text []byte) (line string, version *capsule.Version) {
	for _, l := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(l); line != "" {
			break
		}
	}
	m := tegraRelease.FindStringSubmatch(line)
	if m == nil {
		return line, nil
	}
	last := m[3]
	if last == "" {
		last = "0"
	}
	v, err := capsule.ParseVersion(m[1] + "." + m[2] + "." + last)
	if err != nil {
		return line, nil
	}
	return line, &v
}
