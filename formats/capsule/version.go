package capsule

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is a version of L4T as firmware stores it: branch<<16 | major<<8 | minor, so that versions compare as numbers.
type Version uint32

// String returns "36.4.3" for 0x00240403.
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff) }

// ParseVersion reads "36.4.3", "36.4" (which is 36.4.0) or "R36.4.3". Branches go up to 65535, the other two to 255.
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(strings.TrimPrefix(s, "R"), ".")
	if len(parts) == 2 {
		parts = append(parts, "0")
	}
	if len(parts) != 3 {
		return 0, fmt.Errorf("cannot parse version %q: want BRANCH.MAJOR or BRANCH.MAJOR.MINOR", s)
	}
	var v uint64
	for i, bits := range []int{16, 8, 8} {
		n, err := strconv.ParseUint(parts[i], 10, bits)
		if err != nil {
			return 0, fmt.Errorf("cannot parse version %q: %w", s, err)
		}
		v = v<<bits | n
	}
	return Version(v), nil
}
