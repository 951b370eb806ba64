// Package esp finds the EFI system partition that the firmware booted from, where a capsule has to lie.
//
// The firmware looks for capsules on that partition alone, and only while its GPT type says EFI system partition; a capsule
// anywhere else is silently never found. So this package rather refuses than guesses.
package esp

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// Points are where systems mount it, in the order they are looked at: stock L4T and OE4T; older OE4T and Mender; systemd.
var Points = []string{"/boot/efi", "/opt/nvidia/esp", "/efi", "/boot"}

// Capsules is the folder on it in which the firmware looks for capsules (UEFI 2.10, 8.5.5).
const Capsules = "EFI/UpdateCapsule"

// ESP is the EFI system partition, mounted.
type ESP struct {
	MountPoint string // "/boot/efi"
	Device     string // "/dev/nvme0n1p7"
	Disk       string // "/dev/nvme0n1"
	UUID       string // partition GUID in lower case
	Label      string // GPT name: "esp" since L4T R38, "UEFI-ESP" on R36
	// Note is empty, or says why it could not be verified that the firmware booted from this one.
	Note string
}

// Options adapt the search to a system.
type Options struct {
	MountPoint string // the only place to look at; "" looks at Points and at every other mounted ESP
}

// candidate is a mounted FAT and what is known of it.
type candidate struct {
	esp      ESP
	known    bool // mounted where an ESP belongs, or where the configuration says
	readOnly bool
	err      error // why it is no ESP, or why that cannot be told
	wrong    bool  // err says that the type is another one
}

// Find returns the ESP that the firmware booted from, mounted for writing. Every reason why there is none is the device's
// condition (69), but for missing privilege (77) and a disk that cannot be read (74).
func Find(m *device.Machine, vars *efivarfs.Store, opts Options) (ESP, error) {
	all, err := candidates(m, opts)
	if err != nil {
		return ESP{}, err
	}
	var proper []candidate
	var unclear error // a place where an ESP belongs holds something that could not be judged
	var refused error
	for _, c := range all {
		switch {
		case c.err == nil:
			proper = append(proper, c)
		case c.known && c.wrong:
			refused = first(refused, c.err)
		case c.known:
			unclear = first(unclear, c.err)
		}
	}

	booted, whyNot := bootedFrom(vars)
	if whyNot == "" {
		for _, c := range all {
			if c.esp.UUID != booted {
				continue
			}
			if c.err != nil {
				return ESP{}, c.err
			}
			return c.writable()
		}
		if len(proper) > 0 {
			return ESP{}, fail.New(fail.Unavailable, "cannot use the EFI system partition at %s: the firmware booted from partition %s, which is another", points(proper), booted).
				Then("mount the EFI system partition that the firmware booted from")
		}
	}
	switch {
	case len(proper) == 1 && unclear == nil:
		c := proper[0]
		c.esp.Note = "not verified that the firmware booted from it: " + whyNot
		return c.writable()
	case len(proper) > 1:
		return ESP{}, fail.New(fail.Unavailable, "cannot tell which EFI system partition the firmware booted from: %s are mounted, and %s", points(proper), whyNot).
			Then("unmount those that the firmware does not boot from")
	case unclear != nil:
		return ESP{}, unclear
	case refused != nil:
		return ESP{}, refused
	}
	where := strings.Join(Points, ", ")
	if opts.MountPoint != "" {
		where = opts.MountPoint
	}
	return ESP{}, fail.New(fail.Unavailable, "cannot find the EFI system partition: no FAT file system is mounted at %s", where).
		Then("mount it at %s (its label is esp or UEFI-ESP) and add it to /etc/fstab", strings.Split(where, ", ")[0])
}

// writable is the last condition, checked only of the right one: another that happens to be writable is no substitute.
func (c candidate) writable() (ESP, error) {
	if c.readOnly {
		return ESP{}, fail.New(fail.Unavailable, "cannot use the EFI system partition at %s: it is mounted read-only", c.esp.MountPoint).
			Then("run: mount -o remount,rw %s; if that fails, check it with fsck.vfat %s", c.esp.MountPoint, c.esp.Device)
	}
	return c.esp, nil
}

// candidates lists the mounted FATs, each device once, the customary places first.
func candidates(m *device.Machine, opts Options) ([]candidate, error) {
	wanted := Points
	if opts.MountPoint != "" {
		wanted = []string{opts.MountPoint}
	}
	mounts, err := mountsSeen(m, wanted)
	if err != nil {
		return nil, err
	}
	rank := func(mt device.Mount) int {
		if i := slices.Index(wanted, mt.Point); i >= 0 {
			return i
		}
		return len(wanted)
	}
	slices.SortStableFunc(mounts, func(a, b device.Mount) int { return rank(a) - rank(b) })

	var all []candidate
	for _, mt := range mounts {
		known := rank(mt) < len(wanted)
		if !known && opts.MountPoint != "" {
			continue
		}
		if mt.Type != "vfat" {
			if opts.MountPoint != "" {
				return nil, fail.New(fail.Unavailable, "cannot use %s as EFI system partition: a file system of type %s is mounted there, not vfat", mt.Point, mt.Type).
					Then("correct the configured mount point")
			}
			continue
		}
		if mt.Root != "/" {
			// A folder of an ESP, bound elsewhere: paths from its top would not be those that the firmware sees.
			continue
		}
		all = append(all, judge(m, mt, known))
	}
	return unique(all), nil
}

// mountsSeen lists the mounts that are not covered by a later one at the same point. An automount of systemd's that nobody has
// touched yet is touched first.
func mountsSeen(m *device.Machine, wanted []string) ([]device.Mount, error) {
	list := func() (seen []device.Mount, asleep []string, err error) {
		mounts, err := m.Mounts()
		if err != nil {
			return nil, nil, fail.New(fail.IO, "cannot find the EFI system partition: %w", err)
		}
		for i, mt := range mounts {
			if slices.ContainsFunc(mounts[i+1:], func(later device.Mount) bool { return later.Point == mt.Point }) {
				continue
			}
			seen = append(seen, mt)
			if mt.Type == "autofs" && slices.Contains(wanted, mt.Point) {
				asleep = append(asleep, mt.Point)
			}
		}
		return seen, asleep, nil
	}
	seen, asleep, err := list()
	if err != nil || len(asleep) == 0 {
		return seen, err
	}
	for _, point := range asleep {
		// Opening the folder mounts it. Where that fails the next list shows it still unmounted.
		_, _ = m.ReadDir(point)
	}
	seen, _, err = list()
	return slices.DeleteFunc(seen, func(mt device.Mount) bool { return mt.Type == "autofs" }), err
}

// unique keeps one candidate per partition: the first that is writable, else the first.
func unique(all []candidate) []candidate {
	var kept []candidate
	for _, c := range all {
		i := slices.IndexFunc(kept, func(k candidate) bool { return k.esp.Device == c.esp.Device })
		switch {
		case i < 0:
			kept = append(kept, c)
		case kept[i].readOnly && !c.readOnly:
			c.known = c.known || kept[i].known
			kept[i] = c
		}
	}
	return kept
}

// judge finds out whether a mounted FAT is an ESP.
func judge(m *device.Machine, mt device.Mount, known bool) candidate {
	c := candidate{esp: ESP{MountPoint: mt.Point, Device: mt.Source}, known: known, readOnly: mt.ReadOnly}
	p, err := partition.OfDevice(m, mt.Source)
	if err != nil {
		c.err = fmt.Errorf("cannot judge the FAT at %s: %w", mt.Point, err)
		// A FAT on a whole disk or a loop device has no GPT type, and the firmware takes it for no ESP.
		c.wrong = errors.Is(err, fs.ErrNotExist)
		return c
	}
	c.esp.Device, c.esp.Disk, c.esp.UUID, c.esp.Label = p.Device, p.Disk, p.UUID, p.Label
	e, err := entryOf(m, p)
	if err != nil {
		c.err = fmt.Errorf("cannot judge the FAT at %s: %w", mt.Point, err)
		return c
	}
	c.esp.UUID = e.Unique.String()
	if !isESP(e) {
		c.wrong = true
		c.err = fail.New(fail.Unavailable, "cannot use the FAT at %s: partition %s has the type %s, and the firmware looks for capsules only on an EFI system partition", mt.Point, p.Device, typeName(e.Type)).
			Then("set the type without changing its content: sgdisk --typecode=%d:ef00 %s", e.Number, p.Disk)
	}
	return c
}

func points(list []candidate) string {
	var s []string
	for _, c := range list {
		s = append(s, c.esp.MountPoint)
	}
	return strings.Join(s, " and ")
}

func first(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
