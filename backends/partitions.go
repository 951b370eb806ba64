package backends

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// labels are the names a slot's partition may carry, the usual one first: L4TLauncher takes A_APP and APP_a, too
// (edk2-nvidia L4TLauncher.c).
func labels(s Slot, name string) []string {
	if name != "APP" {
		suffixed := name // R32, and every T186 and T194: kernel and kernel_b
		if s == B {
			suffixed += "_b"
		}
		return []string{Partition(s, name), suffixed}
	}
	if s == A {
		return []string{"APP", "APP_a", "A_APP"}
	}
	return []string{"APP_b", "B_APP"}
}

// FindPartition finds a slot's partition on the disk. The error is Unavailable where there is none, or where two disks
// carry the label.
func FindPartition(m *device.Machine, s Slot, name string) (partition.Partition, error) {
	var first error
	for _, label := range labels(s, name) {
		p, err := partition.Find(m, label)
		if err == nil {
			return p, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
		if first == nil {
			first = err
		}
	}
	return partition.Partition{}, fail.New(fail.Unavailable, "cannot find the partition %s of slot %s: %w", name, s, first)
}

// mountedSlot says whose root file system is mounted at /.
func mountedSlot(m *device.Machine) (Slot, error) {
	root, err := partition.Root(m)
	if err != nil {
		return None, err
	}
	for _, s := range Slots {
		p, err := FindPartition(m, s, "APP")
		if err != nil {
			continue
		}
		if p.Device == root {
			return s, nil
		}
		if host, err := m.Resolve(root); err == nil && device.SameDevice(p.Host, host) {
			return s, nil
		}
	}
	return None, fmt.Errorf("cannot tell whose root file system is mounted: %s is no slot's APP partition", root)
}

// disagreement says how the running chain, the launcher's word and the mounted root file system contradict each other;
// nil if they agree.
func (o observation) disagreement() error {
	want := o.state.expectedRoot(o.state.Current)
	switch {
	case o.rootErr == nil && o.root != want:
		return fail.New(fail.Unavailable, "chain %s runs with the root file system of slot %s", o.state.Current, o.root).
			Then("look for a root= in /boot/extlinux/extlinux.conf of slot %s that names slot %s, and for a missing APP partition", want, o.root)
	case o.state.RootCurrent != None && o.state.RootCurrent != want:
		return fail.New(fail.Unavailable, "chain %s runs, and the launcher chose the root file system of slot %s", o.state.Current, o.state.RootCurrent).
			Then("check the slots' partitions and RootfsRedundancyLevel")
	case o.rootErr != nil && o.state.RootCurrent == None:
		return fail.New(fail.Unavailable, "neither the launcher nor the mounts say which root file system runs: %w", o.rootErr)
	}
	return nil
}
