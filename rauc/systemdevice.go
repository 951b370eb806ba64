package rauc

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// dataDirectory is where RAUC's data goes if /data is a file system of its own, as tegra-ota's journal does.
const dataDirectory = "/data/rauc"

// Describe completes a system.conf with what the device says of itself; what is given in c stays. Warnings are what somebody has to
// know who takes it as it is. The error is Unavailable where the device does not say what the file needs.
func Describe(m *device.Machine, names config.RAUC, c SystemConf) (SystemConf, []string, error) {
	if _, err := NewNames(names); err != nil { // the boot handler would refuse them
		return c, nil, err
	}
	s := newSearch(m)
	found, err := s.slots()
	if err != nil {
		return c, s.warnings, err
	}
	for i, p := range found {
		c.Slots[i] = SystemSlot{Name: names.Slots[i], Bootname: names.Bootnames[i]}
		c.Slots[i].Device, c.Slots[i].Why = s.name(p)
	}
	warnings := s.warnings
	warn := func(text string) {
		if text != "" {
			warnings = append(warnings, text)
		}
	}
	if c.Compatible == "" {
		var w string
		if c.Compatible, w, err = boardName(m); err != nil {
			return c, warnings, err
		}
		warn(w)
	}
	if c.RootfsType == "" {
		var w string
		c.RootfsType, w = rootfsType(m, s.running)
		warn(w)
	}
	switch why := unshared(m, firstNonEmpty(c.DataDirectory, dataDirectory)); {
	case why == "":
		c.DataDirectory = firstNonEmpty(c.DataDirectory, dataDirectory)
	case c.DataDirectory == "":
		warn("there is no data-directory, and RAUC keeps what it knows of a slot in the slot: " + why)
	default:
		warn("the data-directory may get lost: " + why)
	}
	warn(absentHandlers(m, c.Libexec))
	return c, warnings, nil
}

// boardName is the machine in the board's compatibility specification, "jetson-orin-nano-devkit": what the firmware compares too,
// when it looks for its images in a capsule (edk2-nvidia FwPackageLib.c).
func boardName(m *device.Machine) (name, warning string, err error) {
	vars, conf := efivarfs.New(m), chip.BootControl(m)
	var unread error
	variable := func(n efivarfs.Name) string {
		v, err := vars.Read(n)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unread = err
		}
		return v.Text()
	}
	from := ""
	for _, s := range []struct{ where, spec string }{
		{efivarfs.TegraPlatformCompatSpec.Name, variable(efivarfs.TegraPlatformCompatSpec)},
		{"COMPATIBLE_SPEC", conf["COMPATIBLE_SPEC"]},
		{efivarfs.TegraPlatformSpec.Name, variable(efivarfs.TegraPlatformSpec)},
		{"TNSPEC", conf["TNSPEC"]},
	} {
		switch machine := machineOf(s.spec); {
		case machine == "":
		case name == "":
			name, from = machine, s.where
		case machine != name && warning == "":
			warning = fmt.Sprintf("compatible is %s, from %s, although %s says %s", name, from, s.where, machine)
		}
	}
	if name != "" && unread != nil && warning == "" {
		warning = fmt.Sprintf("compatible is %s, from %s: %s", name, from, fail.Reason(unread))
	}
	if name != "" {
		return name, warning, nil
	}
	if unread == nil {
		unread = errors.New("neither the UEFI variable TegraPlatformCompatSpec nor /etc/nv_boot_control.conf names a board")
	}
	return "", "", fail.New(fail.Unavailable, "cannot tell what the device is compatible with: %w", unread).Then("say it by --compatible NAME")
}

// machineOf takes the machine out of a specification: BOARDID-FAB-SKU-REVISION-FUSES-CHIPREVISION-MACHINE-BOOTDEVICE, where only the
// machine has hyphens of its own (meta-tegra uefi_common.func.in; 3767--0005--1--jetson-orin-nano-devkit-).
func machineOf(spec string) string {
	fields := strings.SplitN(spec, "-", 7)
	if len(fields) < 7 {
		return ""
	}
	i := strings.LastIndex(fields[6], "-")
	if i < 0 {
		return ""
	}
	return fields[6][:i]
}

// rootfsType is the type of the running root file system, which the other slot's will be too.
func rootfsType(m *device.Machine, running partition.Partition) (slotType, warning string) {
	mount, err := mountOf(m, running)
	switch {
	case err != nil:
		return TypeExt4, "the slots' type is a guess, ext4: " + fail.Reason(err)
	case strings.HasPrefix(mount.Source, "/dev/mapper/") || strings.HasPrefix(mount.Source, "/dev/dm-"):
		return TypeRaw, fmt.Sprintf("the slots' type is raw, because the root file system lies on %s: RAUC writes the partition below it, "+
			"and mounts none for a slot's hooks", mount.Source)
	case mount.Type != TypeExt4:
		return TypeRaw, fmt.Sprintf("the slots' type is raw, because the root file system is %s: RAUC writes images as they are, "+
			"and mounts none for a slot's hooks", mount.Type)
	}
	return TypeExt4, ""
}

// mountOf returns a mount of the partition: the one at /, or the one below an overlay at /.
func mountOf(m *device.Machine, p partition.Partition) (device.Mount, error) {
	if p.Device == "" {
		return device.Mount{}, errors.New("nothing tells what / is mounted from")
	}
	points, err := partition.MountedAt(m, p)
	if err != nil {
		return device.Mount{}, err
	}
	mounts, err := m.Mounts()
	if err != nil {
		return device.Mount{}, err
	}
	for _, mt := range mounts {
		if slices.Contains(points, mt.Point) && strings.HasPrefix(mt.Source, "/dev/") {
			return mt, nil
		}
	}
	return device.Mount{}, fmt.Errorf("%s is mounted nowhere", p.Device)
}

// unshared says why a folder does not lie on storage that both slots share; "" if it does. RAUC 1.8 makes the folder when it
// starts, and does not start where it cannot.
func unshared(m *device.Machine, folder string) string {
	mount, found, err := m.MountOf(folder)
	root, rootFound, rootErr := m.MountOf("/")
	switch {
	case err != nil || rootErr != nil || !found || !rootFound:
		return "nothing tells which file system " + folder + " is on"
	case mount.Point == "/",
		mount.Major != 0 && mount.Major == root.Major && mount.Minor == root.Minor,
		mount.Major == 0 && mount.Source == root.Source && mount.Type == root.Type: // btrfs shows no device number
		return folder + " is on the root file system, which the other slot does not see"
	case mount.Type == "tmpfs" || mount.Type == "ramfs" || mount.Type == "overlay":
		return folder + " is on " + mount.Type + ", which does not survive a reboot"
	case mount.ReadOnly:
		return mount.Point + ", where " + folder + " is, is mounted read-only"
	}
	return ""
}

// absentHandlers says which of the programs are not there. RAUC notices the boot handler's absence at its first call only.
func absentHandlers(m *device.Machine, libexec string) string {
	var absent []string
	for _, name := range []string{bootHandler, preInstallHandler, postInstallHandler, systemInfoHandler} {
		if !m.Exists(path.Join(libexec, name)) {
			absent = append(absent, name)
		}
	}
	if len(absent) == 0 {
		return ""
	}
	return "not in " + libexec + " yet: " + strings.Join(absent, ", ")
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
