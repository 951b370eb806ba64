package check

import (
	"path"
	"regexp"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// One sw-description goes to devices that run slot A and to devices that run slot B. An entry that names a partition of one slot
// therefore has to stand in a selection (software.SET.MODE), of which every device gets the one for the slot that it does not run,
// or to have a hook that chooses. Everywhere else half the fleet would overwrite the system it runs.
//
// What a partition is can only be told by a label, and by NVIDIA's naming: APP and APP_b; A_kernel and B_kernel (L4T R35 and later);
// kernel and kernel_b (R32). A label that looks like no slot (esp, UDA, data) is taken for one that both slots share. A number,
// a PARTUUID and a UUID tell nothing, so they are taken for a slot's: a device tree of partitions differs between JetPack releases,
// and what is p1 today is not what was.

// slotTarget is a place that an entry names.
type slotTarget struct {
	what string // for a sentence: device "/dev/nvme0n1p1"
	stem string // the label without its slot; the whole name where nobody can tell
	slot string // "a", "b", or "" where nobody can tell
}

var (
	// numbered are partitions, and MTD devices, by number.
	numbered = regexp.MustCompile(`^/dev/(nvme\d+n\d+p\d+|mmcblk\d+(p\d+|gp\d+(p\d+)?)|(sd|hd|vd|xvd)[a-z]+\d+|(nbd|loop)\d+p\d+|` +
		`mtd(block)?\d+|ubi\d+_\d+|dm-\d+|block/\d+:\d+)$`)
	// disks hold both slots.
	disks = regexp.MustCompile(`^/dev/(nvme\d+n\d+|mmcblk\d+|(sd|hd|vd|xvd)[a-z]+)$`)
	// linked are the folders of names that stand for one partition and do not say which.
	linked = regexp.MustCompile(`^(/dev/disk/by-(partuuid|uuid)/|(PART)?UUID=|/dev/disk/by-(id|path|diskseq)/.*-part\d)`)
	// labelled are those of labels.
	labelled = regexp.MustCompile(`^(/dev/disk/by-(partlabel|label)/|(PART)?LABEL=)`)
	// slotBefore and slotBehind are how labels name slots.
	slotBefore = regexp.MustCompile(`^([AB])_(.+)$`)
	slotBehind = regexp.MustCompile(`^(.+)[_-]([aAbB])$`)
)

// writesAll are the handlers that write what they get onto the device they are told; others, for partition tables, get a whole disk.
var writesAll = map[string]bool{"raw": true, "rawcopy": true, "copy": true, "rdiff_image": true, "delta": true}

// slotProperties are properties that handlers may take a partition from.
var slotProperties = []string{"device", "partition", "partlabel", "label", "mtdname", "volume"}

// byDevice says which slot's partition a device is. False says that it is none, or one that both slots share.
func byDevice(device string) (slotTarget, bool) {
	if strings.HasPrefix(device, "/") {
		device = path.Clean(strings.TrimSpace(device))
	}
	if numbered.MatchString(device) || linked.MatchString(device) {
		return slotTarget{stem: device}, true
	}
	if prefix := labelled.FindString(device); prefix != "" {
		return byLabel(device[len(prefix):], true)
	}
	if !strings.HasPrefix(device, "/dev/") {
		return slotTarget{}, false
	}
	// A volume (/dev/mapper/vg-root_a, /dev/ubi0:rootfs_a) or a name that somebody's udev rule makes.
	return byLabel(device[strings.LastIndexAny(device, "/:")+1:], false)
}

// byLabel says which slot's partition has a label. Where a bare label counts, those of NVIDIA's slot A have no slot in them.
func byLabel(label string, bare bool) (slotTarget, bool) {
	if m := slotBefore.FindStringSubmatch(label); m != nil {
		return slotTarget{stem: m[2], slot: strings.ToLower(m[1])}, true
	}
	if m := slotBehind.FindStringSubmatch(label); m != nil {
		return slotTarget{stem: m[1], slot: strings.ToLower(m[2])}, true
	}
	switch label {
	case "APP", "kernel", "kernel-dtb":
		return slotTarget{stem: label, slot: "a"}, bare
	}
	return slotTarget{}, false
}

// slotTargets returns the partitions of one slot that an entry names.
func (it *item) slotTargets() []slotTarget {
	kind := it.kind()
	if tegraType(kind) {
		return nil // the device chooses; see checkTegraEntry
	}
	var list []slotTarget
	take := func(name, value string, t slotTarget, ok bool) {
		if ok && !placeholders.MatchString(value) {
			t.what = name + ` "` + value + `"`
			list = append(list, t)
		}
	}
	if !mounts(kind) || it.Filesystem != "" {
		t, ok := byDevice(it.Device)
		if disk := path.Clean(it.Device); !ok && it.section != partitions && writesAll[kind] && disks.MatchString(disk) {
			t, ok = slotTarget{stem: disk}, true
		}
		take("device", it.Device, t, ok)
	}
	if strings.HasPrefix(it.Path, "/dev/") {
		t, ok := byDevice(it.Path)
		take("path", it.Path, t, ok)
	}
	// NVIDIA makes no MTD partitions and no UBI volumes: "kernel" is nobody's slot A there. gptpart's volume is a partition's label.
	t, ok := byLabel(it.MTDName, false)
	take("mtdname", it.MTDName, t, ok)
	t, ok = byLabel(it.Volume, kind == "gptpart")
	take("volume", it.Volume, t, ok)
	for _, name := range slotProperties {
		value, there := it.Property(name)
		if !there {
			continue
		}
		if strings.Contains(value, "/") || strings.Contains(value, "=") {
			t, ok = byDevice(value)
		} else {
			t, ok = byLabel(value, true)
		}
		take("property "+name, value, t, ok)
	}
	return list
}

// checkSlots looks for places of one slot in a view.
func (c *checker) checkSlots(v *view) {
	for _, it := range v.items {
		if it.Hook != "" {
			continue
		}
		for _, t := range it.slotTargets() {
			if !v.selected {
				c.fixed[it] = true
			}
			switch {
			case v.selected && c.fixed[it]: // an error already, where no selection reads it
			case !v.selected && t.slot == "":
				c.add(it.Position, problem.Errorf("fixed-slot", "%s is the same place on every device: if a slot lies there, "+
					"half the fleet would overwrite its running slot", t.what).Then(chooseSlot))
			case !v.selected:
				c.add(it.Position, problem.Errorf("fixed-slot", "%s belongs to slot %s: half the fleet would overwrite its running slot",
					t.what, strings.ToUpper(t.slot)).Then(chooseSlot))
			case t.slot != "" && !c.counterpart(v, t) && c.places[place{v.parent(), t.stem, t.slot}] > 1:
				c.add(it.Position, problem.Errorf("fixed-slot", "%s belongs to slot %s, and every selection writes it: half the fleet would "+
					"overwrite its running slot", t.what, strings.ToUpper(t.slot)).Then("name the other slot's partition in the other selection"))
			case !c.counterpart(v, t):
				c.add(it.Position, problem.Warnf("fixed-slot", "%s belongs to one slot, and no selection beside %s has its counterpart",
					t.what, v.name()).Then("write a selection for each slot"))
			}
		}
	}
}

const chooseSlot = `use type "tegra-image", which finds the slot that does not run; or a selection per slot (software.SET.MODE), or a hook`
