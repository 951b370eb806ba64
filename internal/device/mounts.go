package device

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Mount is one line of /proc/self/mountinfo (proc(5)).
type Mount struct {
	Point    string // where it is mounted
	Root     string // which part of the file system; "/" unless it is a bind mount
	Type     string // "ext4", "vfat", ...
	Source   string // "/dev/nvme0n1p1", or a word for file systems without a device
	ReadOnly bool   // the mount or its file system is read-only
	Major    uint32 // device number of the file system; major 0 for one without a block device, and for btrfs
	Minor    uint32
}

// Mounts lists what is mounted, in mount order: of two on one point the later one is seen.
func (m *Machine) Mounts() ([]Mount, error) {
	text, err := m.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	var mounts []Mount
	for _, line := range strings.Split(string(text), "\n") {
		// One blank divides the fields, and the kernel escapes those within; a source may be empty.
		fields := strings.Split(line, " ")
		sep := -1
		for i, f := range fields {
			if f == "-" && i >= 6 {
				sep = i
				break
			}
		}
		if sep < 0 || len(fields) < sep+4 {
			continue
		}
		ro := hasOption(fields[5], "ro") || hasOption(fields[sep+3], "ro")
		mt := Mount{Point: unescape(fields[4]), Root: unescape(fields[3]), Type: fields[sep+1], Source: unescape(fields[sep+2]), ReadOnly: ro}
		mt.Major, mt.Minor = deviceNumber(fields[2])
		mounts = append(mounts, mt)
	}
	return mounts, nil
}

// MountOf returns the mount that holds a path: the last one on the longest mount point above it.
func (m *Machine) MountOf(p string) (Mount, bool, error) {
	mounts, err := m.Mounts()
	if err != nil {
		return Mount{}, false, err
	}
	var best Mount
	found := false
	for _, mt := range mounts {
		if within(path.Clean(p), mt.Point) && (!found || len(mt.Point) >= len(best.Point)) {
			best, found = mt, true
		}
	}
	return best, found, nil
}

// deviceNumber reads MAJOR:MINOR; anything else is no device, 0:0.
func deviceNumber(s string) (major, minor uint32) {
	a, b, _ := strings.Cut(s, ":")
	x, errX := strconv.ParseUint(a, 10, 32)
	y, errY := strconv.ParseUint(b, 10, 32)
	if errX != nil || errY != nil {
		return 0, 0
	}
	return uint32(x), uint32(y)
}

func hasOption(list, option string) bool {
	for _, o := range strings.Split(list, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// unescape undoes the kernel's \040 for blanks in names.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			v := 0
			ok := true
			for _, c := range s[i+1 : i+4] {
				if c < '0' || c > '7' {
					ok = false
					break
				}
				v = v*8 + int(c-'0')
			}
			if ok && v < 256 {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
