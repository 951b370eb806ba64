package rauc

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// Where the kernel lists block devices, and where udev's links to them lie.
const (
	sysBlock    = "/sys/class/block"
	byPartLabel = "/dev/disk/by-partlabel"
	byPartUUID  = "/dev/disk/by-partuuid"
)

// search is what is known of the device's partitions when its slots are looked for.
type search struct {
	m        *device.Machine
	all      []partition.Partition // with a node in /dev
	running  partition.Partition   // what / is mounted from; no Device where that cannot be told
	warnings []string
}

func newSearch(m *device.Machine) *search {
	s := &search{m: m}
	entries, _ := m.ReadDir(sysBlock) // without a sysfs the links of udev are all there is
	for _, e := range entries {
		// The kernel writes a ! for the / of a name.
		if p, err := partition.OfDevice(m, "/dev/"+strings.ReplaceAll(e.Name(), "!", "/")); err == nil {
			s.all = append(s.all, p)
		}
	}
	root, err := partition.Root(m)
	if err == nil {
		s.running, err = partition.OfDevice(m, root)
	}
	if err != nil {
		s.warnings = append(s.warnings, "not verified that the slots are on the disk the system runs from: "+fail.Reason(err))
	}
	return s
}

// slots finds the partitions of both root file systems, A's first. Two disks can carry the labels, as after cloning the system to
// another; the one that the system runs from is meant then.
func (s *search) slots() ([2]partition.Partition, error) {
	var found [2]partition.Partition
	for _, slot := range backends.Slots {
		p, err := s.slot(slot)
		if err != nil {
			return found, err
		}
		found[slot.Index()] = p
	}
	a, b := found[0], found[1]
	switch {
	case a.Disk != b.Disk:
		return found, fail.New(fail.Unavailable, "cannot tell the two root file systems: %s and %s are not on one disk", a.Device, b.Device)
	case s.running.Device != "" && s.running.Device != a.Device && s.running.Device != b.Device:
		s.warnings = append(s.warnings, "the system runs from "+s.running.Device+", which is the root file system of neither slot")
	}
	return found, nil
}

// slot finds one: by its label where that is on one partition only, and on the disk that runs; else on that disk.
func (s *search) slot(slot backends.Slot) (partition.Partition, error) {
	p, err := backends.FindPartition(s.m, slot, "APP")
	if s.running.Disk == "" || err == nil && p.Disk == s.running.Disk {
		return p, err
	}
	var candidates, usual []partition.Partition
	for _, p := range s.all {
		if p.Disk != s.running.Disk || slotOf(p.Label) != slot {
			continue
		}
		candidates = append(candidates, p)
		if p.Label == slot.RootPartition() {
			usual = append(usual, p)
		}
	}
	if len(usual) == 1 {
		candidates = usual
	}
	switch {
	case len(candidates) == 1 && err == nil:
		s.warnings = append(s.warnings, "slot "+string(slot)+" is taken for "+candidates[0].Device+", not for "+p.Device+
			" with the label "+p.Label+": the system does not run from that disk")
		return candidates[0], nil
	case len(candidates) == 1:
		s.warnings = append(s.warnings, "an update would fail: "+err.Error())
		return candidates[0], nil
	case len(candidates) > 1:
		return p, fail.New(fail.Unavailable, "cannot tell the root file system of slot %s: %s carry its label", slot, devices(candidates))
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return p, fail.New(fail.Unavailable, "cannot find the root file system of slot %s: no partition of %s, which the system "+
			"runs from, is labelled %s", slot, s.running.Disk, slot.RootPartition())
	}
	return p, err
}

// slotOf returns the slot whose root file system a label names; None for another label.
func slotOf(label string) backends.Slot {
	slot, err := backends.ParseSlot(label)
	if err != nil || !strings.Contains(label, "APP") {
		return backends.None
	}
	return slot
}

// name returns how system.conf names a partition, and why. RAUC writes to where the name leads, so it must lead to the same
// partition at every boot.
func (s *search) name(p partition.Partition) (name, why string) {
	labelled, err := partition.Find(s.m, p.Label)
	if err == nil && strings.HasPrefix(labelled.Node, byPartLabel+"/") {
		return labelled.Node, "By label: " + p.Device + " alone carries it."
	}
	why = "no link in " + byPartLabel + " leads to " + p.Device
	if err != nil {
		why = strings.TrimPrefix(fail.Reason(err), "cannot find partition "+p.Label+": ")
	}
	if link := path.Join(byPartUUID, p.UUID); p.UUID != "" && s.leadsTo(link, p) && !s.cloned(p) {
		return link, "By GUID: " + why + "."
	}
	why += ", and no link in " + byPartUUID + " leads to it alone"
	s.warnings = append(s.warnings, p.Device+" may be another partition after a reboot: "+why)
	return p.Device, "By the kernel's name, which may be another partition's after a reboot: " + why + "."
}

func (s *search) leadsTo(link string, p partition.Partition) bool {
	host, err := s.m.Resolve(link)
	return err == nil && device.SameDevice(host, p.Host)
}

// cloned says that another partition may have the same GUID: a disk that was copied byte by byte. Kernels before 6.10 do not tell
// GUIDs; udev has one link for both then, and the one that it does not lead to seems to have none.
func (s *search) cloned(p partition.Partition) bool {
	for _, q := range s.all {
		if q.Device != p.Device && (q.UUID == p.UUID || q.UUID == "" && q.Label == p.Label) {
			return true
		}
	}
	return false
}

func devices(list []partition.Partition) string {
	var names []string
	for _, p := range list {
		names = append(names, p.Device)
	}
	return strings.Join(names, " and ")
}
