// Package partition finds the device's partitions by their GPT label, and what is mounted from them.
//
// The kernel's word (sysfs) decides; udev's links under /dev/disk are what programs open. Both are followed below the
// machine's root, so that a folder can hold partitions as files, or as links to the host's loop devices.
package partition

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Where the kernel and udev tell of partitions.
const (
	sysBlock    = "/sys/class/block"
	byPartLabel = "/dev/disk/by-partlabel"
	byPartUUID  = "/dev/disk/by-partuuid"
)

// Partition is one partition of one disk.
type Partition struct {
	Label  string // GPT name, "APP_b"
	Device string // the kernel's name for it, "/dev/nvme0n1p2"; the by-partlabel path where sysfs has none
	Node   string // the path to open, "/dev/disk/by-partlabel/APP_b" or the same as Device
	Host   string // where Node leads to on this host, links followed
	UUID   string // partition GUID in lower case, or "" where nothing tells it
	Disk   string // the disk it is on, "/dev/nvme0n1", or "" where nothing tells it
	Number int    // its number on the disk, or 0 where nothing tells it
}

// Find returns the partition with a label. The error matches fs.ErrNotExist where there is none; two of them, on two disks say,
// are an error too, because nothing tells which one the firmware means. Both are the device's condition (69).
func Find(m *device.Machine, label string) (Partition, error) {
	if label == "" {
		return Partition{}, fail.New(fail.Internal, "cannot find partition without a label")
	}
	blocks, err := list(m)
	if err != nil {
		return Partition{}, err
	}
	var found []block
	for _, b := range blocks {
		if b.label == label {
			found = append(found, b)
		}
	}
	link := path.Join(byPartLabel, encode(label))
	switch {
	case len(found) > 1:
		var devices []string
		for _, b := range found {
			devices = append(devices, b.device)
		}
		return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: %s all carry that label", label, strings.Join(devices, " and ")).
			Then("detach the disk that is not booted from, or relabel its partition")
	case len(found) == 1:
		return fromBlock(m, found[0], link)
	case m.Exists(link):
		host, err := m.Resolve(link)
		if err != nil {
			return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: %w", label, err)
		}
		p := Partition{Label: label, Device: link, Node: link, Host: host}
		p.UUID = uuidOf(m, p)
		return p, nil
	}
	return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: no partition carries that label: %w", label, fs.ErrNotExist)
}

// OfDevice returns the partition behind a device path, as mountinfo names it: a kernel name or any link to it. The error matches
// fs.ErrNotExist where the device is no partition.
func OfDevice(m *device.Machine, dev string) (Partition, error) {
	blocks, err := list(m)
	if err != nil {
		return Partition{}, err
	}
	for _, b := range blocks {
		if b.device == dev {
			return fromBlock(m, b, "")
		}
	}
	host, err := m.Resolve(dev)
	if err != nil {
		return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: %w", dev, err)
	}
	for _, b := range blocks {
		if node, err := m.Resolve(b.device); err == nil && device.SameDevice(node, host) {
			return fromBlock(m, b, "")
		}
	}
	return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: sysfs knows no such partition: %w", dev, fs.ErrNotExist)
}

func fromBlock(m *device.Machine, b block, link string) (Partition, error) {
	p := Partition{Label: b.label, Device: b.device, Node: b.device, UUID: b.uuid, Disk: b.disk, Number: b.number}
	if link == "" {
		link = path.Join(byPartLabel, encode(b.label))
		if host, err := m.Resolve(link); b.label == "" || err != nil || !sameNode(m, host, b.device) {
			link = ""
		}
	}
	if link != "" && m.Exists(link) {
		p.Node = link
	}
	host, err := m.Resolve(p.Node)
	if err != nil {
		return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: %w", b.label, err).Then("is udev running? /dev lacks what the kernel has")
	}
	p.Host = host
	// On the running system link and kernel must agree: a stale link leads to another disk's partition. A folder may send a label
	// to a loop device and still name the kernel's device in sysfs.
	if p.Node != p.Device && !m.IsPrefixed() && !sameNode(m, host, p.Device) {
		return Partition{}, fail.New(fail.Unavailable, "cannot find partition %s: %s leads to %s, but the kernel has it at %s", b.label, p.Node, host, p.Device).
			Then("run: udevadm trigger --subsystem-match=block && udevadm settle")
	}
	if p.UUID == "" {
		p.UUID = uuidOf(m, p)
	}
	return p, nil
}

func sameNode(m *device.Machine, host, dev string) bool {
	other, err := m.Resolve(dev)
	return err == nil && device.SameDevice(host, other)
}

// uuidOf looks the partition GUID up in udev's links: kernels before 6.10 do not tell it in sysfs.
func uuidOf(m *device.Machine, p Partition) string {
	entries, err := m.ReadDir(byPartUUID)
	if err != nil {
		return ""
	}
	for _, e := range entries {
		host, err := m.Resolve(path.Join(byPartUUID, e.Name()))
		if err == nil && (device.SameDevice(host, p.Host) || sameNode(m, host, p.Device)) {
			return strings.ToLower(e.Name())
		}
	}
	return ""
}

// encode writes a label as udev names its link: what is neither plain ASCII nor UTF-8 becomes \xNN (systemd, encode_devnode_name).
func encode(label string) string {
	var b strings.Builder
	for _, r := range label {
		switch {
		case r >= 0x80, r >= '0' && r <= '9', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', strings.ContainsRune("#+-.:=@_", r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\x%02x`, r)
		}
	}
	return b.String()
}

// block is what sysfs says of a partition.
type block struct {
	name, device, label, uuid, disk string
	number                          int
}

// list reads the partitions that sysfs knows. A machine without sysfs has none.
func list(m *device.Machine) ([]block, error) {
	entries, err := m.ReadDir(sysBlock)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail.New(fail.CodeOf(err), "cannot list partitions: %w", err)
	}
	var blocks []block
	for _, e := range entries {
		text, err := m.ReadFile(path.Join(sysBlock, e.Name(), "uevent"))
		if err != nil {
			// A disk that was pulled out in between.
			continue
		}
		ev := parseUevent(string(text))
		if ev["DEVTYPE"] != "partition" {
			continue
		}
		b := block{name: e.Name(), device: "/dev/" + e.Name(), label: ev["PARTNAME"], uuid: strings.ToLower(ev["PARTUUID"]), disk: parent(m, e.Name())}
		if ev["DEVNAME"] != "" {
			b.device = path.Join("/dev", ev["DEVNAME"])
		}
		b.number, _ = strconv.Atoi(ev["PARTN"])
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// parseUevent reads KEY=VALUE lines. A value goes to the end of its line: a label may hold blanks and equals signs.
func parseUevent(text string) map[string]string {
	values := map[string]string{}
	for _, line := range strings.Split(text, "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			values[k] = v
		}
	}
	return values
}
