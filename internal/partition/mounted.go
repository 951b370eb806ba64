package partition

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"golang.org/x/sys/unix"
)

// maxStack bounds how many device mappers may lie upon each other, so that a damaged sysfs leads into no circle.
const maxStack = 8

// MountedAt returns where a partition is mounted, directly or below a device mapper (dm-verity, dm-crypt), in mount order; none
// if it is not.
func MountedAt(m *device.Machine, p Partition) ([]string, error) {
	mounts, err := m.Mounts()
	if err != nil {
		return nil, fail.New(fail.IO, "cannot say whether %s is mounted: %w", p.Device, err)
	}
	var points []string
	for _, mt := range mounts {
		source := mt.Source
		if source == "/dev/root" {
			// The kernel's word for what it mounted itself, before there was a /dev. An answer that cannot be had is no
			// "not mounted".
			if source, err = fromCommandLine(m); err != nil {
				return nil, err
			}
		}
		if holds(m, source, p) || sameNumber(m, mt, p) {
			points = append(points, mt.Point)
		}
	}
	return points, nil
}

// Root returns the block device that `/` is mounted from, by the kernel's name. Below a device mapper with one device it is that
// device. Where `/` itself has none (an overlay), the root= of the kernel's command line decides.
func Root(m *device.Machine) (string, error) {
	mounts, err := m.Mounts()
	if err != nil {
		return "", fail.New(fail.IO, "cannot find the root device: %w", err)
	}
	source := ""
	for _, mt := range mounts {
		if mt.Point == "/" {
			source = mt.Source
		}
	}
	if source == "" {
		return "", fail.New(fail.Unavailable, "cannot find the root device: nothing is mounted at /")
	}
	if source == "/dev/root" || !strings.HasPrefix(source, "/dev/") {
		if source, err = fromCommandLine(m); err != nil {
			return "", err
		}
	}
	dev := canonical(m, source)
	for range maxStack {
		below := slaves(m, dev)
		if len(below) != 1 {
			break
		}
		dev = below[0]
	}
	return dev, nil
}

// holds says whether a mounted device is the partition or lies on it.
func holds(m *device.Machine, source string, p Partition) bool {
	return holdsDepth(m, source, p, maxStack)
}

func holdsDepth(m *device.Machine, source string, p Partition, depth int) bool {
	if !strings.HasPrefix(source, "/") || depth == 0 {
		return false
	}
	// The name is compared as well: a folder may have sent the label to a loop device of the host.
	dev := canonical(m, source)
	if dev == p.Device || sameNode(m, p.Host, dev) {
		return true
	}
	for _, s := range slaves(m, dev) {
		if holdsDepth(m, s, p, depth-1) {
			return true
		}
	}
	return false
}

// sameNumber compares by device number, which holds even where the source is a name that no longer exists. A folder's mountinfo
// carries numbers of another machine.
func sameNumber(m *device.Machine, mt device.Mount, p Partition) bool {
	if m.IsPrefixed() || mt.Major == 0 {
		return false
	}
	var st unix.Stat_t
	return unix.Stat(p.Host, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK &&
		unix.Major(st.Rdev) == mt.Major && unix.Minor(st.Rdev) == mt.Minor
}

// canonical follows the links of a device path within the machine; a path that leads outside, or nowhere, stays as it is.
func canonical(m *device.Machine, dev string) string {
	host, err := m.Resolve(dev)
	if err != nil {
		return dev
	}
	root, err := filepath.EvalSymlinks(m.Root())
	if err != nil {
		return dev
	}
	if rel, err := filepath.Rel(root, host); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return "/" + rel
	}
	return dev
}

// slaves returns what a device mapper's device lies on.
func slaves(m *device.Machine, dev string) []string {
	entries, err := m.ReadDir(path.Join(sysBlock, path.Base(dev), "slaves"))
	if err != nil {
		return nil
	}
	var devices []string
	for _, e := range entries {
		devices = append(devices, "/dev/"+e.Name())
	}
	return devices
}

// fromCommandLine returns the device that the kernel was told to mount as root (kernel-parameters.txt, root=; the last one counts).
func fromCommandLine(m *device.Machine) (string, error) {
	text, err := m.ReadText("/proc/cmdline")
	if err != nil {
		return "", fail.New(fail.CodeOf(err), "cannot find the root device: %w", err)
	}
	root := ""
	for _, word := range strings.Fields(text) {
		if v, ok := strings.CutPrefix(word, "root="); ok {
			root = strings.Trim(v, `"`)
		}
	}
	kind, value, tagged := strings.Cut(root, "=")
	switch {
	case strings.HasPrefix(root, "/dev/"):
		return canonical(m, root), nil
	case tagged && kind == "PARTLABEL":
		p, err := Find(m, value)
		if err != nil {
			return "", fmt.Errorf("cannot find the root device of root=%s: %w", root, err)
		}
		return p.Device, nil
	case tagged && kind == "PARTUUID":
		return byUUID(m, value)
	case tagged && (kind == "UUID" || kind == "LABEL"):
		link := path.Join("/dev/disk/by-"+strings.ToLower(kind), encode(value))
		if !m.Exists(link) {
			return "", fail.New(fail.Unavailable, "cannot find the root device of root=%s: %s is not there", root, link)
		}
		return canonical(m, link), nil
	}
	return "", fail.New(fail.Unavailable, "cannot find the root device: root=%s on the kernel's command line names no partition", root)
}

// byUUID returns the device of a PARTUUID.
func byUUID(m *device.Machine, uuid string) (string, error) {
	uuid = strings.ToLower(uuid)
	blocks, err := list(m)
	if err != nil {
		return "", err
	}
	for _, b := range blocks {
		if b.uuid == uuid {
			return b.device, nil
		}
	}
	link := path.Join(byPartUUID, uuid)
	if _, err := m.Resolve(link); err != nil {
		return "", fail.New(fail.Unavailable, "cannot find the root device of root=PARTUUID=%s: %w", uuid, err)
	}
	return canonical(m, link), nil
}

var (
	numberedDisk = regexp.MustCompile(`^(.*\d)p\d+$`)            // nvme0n1p2, mmcblk0p1, loop0p1
	letteredDisk = regexp.MustCompile(`^((?:s|v|h|xv)d\D+)\d+$`) // sda1, vda1
)

// parent returns the disk that a partition is on. In sysfs a partition's folder lies in its disk's folder; a stand-in's
// flat folder only leaves the name.
func parent(m *device.Machine, name string) string {
	if target, err := os.Readlink(m.Path(path.Join(sysBlock, name))); err == nil {
		if dir := filepath.Base(filepath.Dir(target)); dir != "." && dir != "block" {
			return "/dev/" + strings.ReplaceAll(dir, "!", "/")
		}
	}
	for _, re := range []*regexp.Regexp{numberedDisk, letteredDisk} {
		if f := re.FindStringSubmatch(name); f != nil {
			return "/dev/" + f[1]
		}
	}
	return ""
}
