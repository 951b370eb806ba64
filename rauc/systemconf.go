package rauc

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// The programs that a system.conf names, in the folder Libexec.
const (
	bootHandler        = "tegra-boot-handler"
	preInstallHandler  = "tegra-rauc-pre-install"
	postInstallHandler = "tegra-rauc-post-install"
	systemInfoHandler  = "tegra-rauc-system-info"
)

// The types a root file system's slot can have; RAUC's others are for flash and for boot partitions (RAUC 1.8, r_slot_is_valid_type).
const (
	TypeExt4 = "ext4"
	TypeRaw  = "raw"
)

// firmwareClass is the class of the slots that stand for the boot firmware; a bundle's manifest has [image.bootloader] for it.
const firmwareClass = "bootloader"

// firmwareDevices are folders that init/tmpfiles.d/tegra-ota.conf makes: RAUC wants device= to exist and is not to write it.
var firmwareDevices = [2]string{"/run/tegra-ota/chain-a", "/run/tegra-ota/chain-b"}

// SystemConf is what a system.conf says of one device.
type SystemConf struct {
	Compatible    string
	DataDirectory string // "" leaves the key out: RAUC then keeps what it knows of a slot in the slot
	Keyring       string
	Libexec       string // folder of the boot handler and of RAUC's handlers
	RootfsType    string // TypeExt4 or TypeRaw
	Slots         [2]SystemSlot
}

// SystemSlot is the root file system of a slot, A's first.
type SystemSlot struct {
	Name     string // of its section, "rootfs.0"
	Bootname string
	Device   string
	Why      string // why the device has that name of several, for a comment
}

// slotName is the class, which a manifest names in [image.CLASS], and the index. RAUC wants two parts; GKeyFile has no brackets in
// the name of a group.
var slotName = regexp.MustCompile(`^([A-Za-z0-9_-]+)\.[0-9]+$`)

// Render writes a system.conf with keys that RAUC 1.8 knows. The error is Usage: a value that cannot stand in the file, or that
// RAUC would take for something else.
func (c SystemConf) Render() (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	var w keyFile
	w.comment("/etc/rauc/system.conf, by \"tegra-bootctl rauc-config\". Only keys that RAUC 1.8 knows: an unknown key keeps every RAUC " +
		"from starting.")
	w.group("system")
	w.comment("Must equal compatible= of a bundle's manifest. The board's name as NVIDIA flashed it; a product has its own.")
	w.set("compatible", c.Compatible)
	w.set("bootloader", "custom")
	if c.DataDirectory != "" {
		w.comment("On a file system that both slots share: what RAUC knows of a slot must not be overwritten with the slot.")
		w.set("data-directory", c.DataDirectory)
	} else {
		w.comment("No data-directory=: there is no folder for it that both slots share. RAUC keeps what it knows of a slot in the slot, " +
			"and nothing of the firmware's slots.")
	}
	w.comment("On a tmpfs, where RAUC makes it itself, also if the root file system is read-only.")
	w.set("mountprefix", "/run/rauc/mnt")
	w.comment("Needs CONFIG_DM_VERITY. The payload of a plain bundle can be exchanged between check and use, and beyond 2 GiB it is not " +
		"signed (CVE-2026-34155, until RAUC 1.15.2).")
	w.set("bundle-formats", "-plain")

	w.group("keyring")
	w.set("path", c.Keyring)
	w.comment("A bundle's hook runs as root: whoever signs it must be allowed to sign code. RAUC's default accepts any certificate for " +
		"e-mail.")
	w.set("check-purpose", "codesign")

	w.group("handlers")
	w.comment("Says which slot runs and which boots next, and switches.")
	w.set("bootloader-custom-backend", path.Join(c.Libexec, bootHandler))
	w.comment("Refuses before the first byte is written what would fail later.")
	w.set("pre-install", path.Join(c.Libexec, preInstallHandler))
	w.comment("Arms firmware that came without a root file system: for such a bundle RAUC never calls the boot handler.")
	w.set("post-install", path.Join(c.Libexec, postInstallHandler))
	w.comment("Board and firmware versions. RAUC 1.8 does without the file, newer ones do not start.")
	w.set("system-info", path.Join(c.Libexec, systemInfoHandler))

	for _, s := range c.Slots {
		w.group("slot." + s.Name)
		w.comment(s.Why)
		w.set("device", s.Device)
		w.set("type", c.RootfsType)
		w.set("bootname", s.Bootname)
	}
	for i, s := range c.Slots {
		w.group("slot." + firmwareClass + "." + strconv.Itoa(i))
		if i == 0 {
			w.comment("The slots' boot firmware. RAUC has no slot type for it and is not to write it: the hook of a bundle's image " +
				"(hooks=install) stages a capsule, which the firmware writes into its flash at the next boot; on JetPack 4 it has a BUP written. device= must exist; it is a folder, so " +
				"that an image without the hook fails loudly. Never name /dev/mtd0 here: that is the whole flash, both chains and UEFI's variables.")
		}
		w.set("device", firmwareDevices[i])
		w.set("type", TypeRaw)
		w.set("parent", s.Name)
	}
	return w.b.String(), nil
}

// check refuses what RAUC would read as something else, or not at all.
func (c SystemConf) check() error {
	values := [][2]string{{"compatible", c.Compatible}, {"keyring", c.Keyring}, {"libexec", c.Libexec}, {"rootfs-type", c.RootfsType}}
	paths := [][2]string{{"keyring", c.Keyring}, {"libexec", c.Libexec}}
	if c.DataDirectory != "" {
		values = append(values, [2]string{"data-directory", c.DataDirectory})
		paths = append(paths, [2]string{"data-directory", c.DataDirectory})
	}
	for _, s := range c.Slots {
		values = append(values, [2]string{"device", s.Device}, [2]string{"bootname", s.Bootname})
		paths = append(paths, [2]string{"device", s.Device})
	}
	for _, v := range values {
		if why := unfit(v[1]); why != "" {
			return fail.New(fail.Usage, "cannot write %s %q to a system.conf: %s", v[0], v[1], why)
		}
	}
	for _, v := range paths {
		// RAUC takes a relative path from the folder of its system.conf (RAUC 1.8, resolve_path).
		if !path.IsAbs(v[1]) {
			return fail.New(fail.Usage, "cannot write %s %q to a system.conf: it must be an absolute path", v[0], v[1])
		}
	}
	if c.RootfsType != TypeExt4 && c.RootfsType != TypeRaw {
		return fail.New(fail.Usage, "cannot write rootfs-type %q to a system.conf: it is %s or %s", c.RootfsType, TypeExt4, TypeRaw)
	}
	return c.checkSlots()
}

func (c SystemConf) checkSlots() error {
	var classes []string
	for _, s := range c.Slots {
		f := slotName.FindStringSubmatch(s.Name)
		switch {
		case f == nil:
			return fail.New(fail.Usage, "cannot write slot %q to a system.conf: RAUC's slots are named CLASS.INDEX, as in rootfs.0", s.Name).
				Then("correct slots in [rauc]")
		case f[1] == firmwareClass:
			return fail.New(fail.Usage, "cannot write slot %q to a system.conf: the class %s is the boot firmware's", s.Name, firmwareClass).
				Then("correct slots in [rauc]")
		case strings.ContainsFunc(s.Bootname, unicode.IsSpace):
			return fail.New(fail.Usage, "cannot write bootname %q to a system.conf: RAUC has no blanks in it", s.Bootname).
				Then("correct bootnames in [rauc]")
		}
		classes = append(classes, f[1])
	}
	a, b := c.Slots[0], c.Slots[1]
	switch {
	case classes[0] != classes[1]:
		// RAUC looks for the target of an image among the slots of its class.
		return fail.New(fail.Usage, "cannot write slots %q and %q to a system.conf: they are of different classes", a.Name, b.Name).
			Then("correct slots in [rauc]")
	case a.Name == b.Name || a.Bootname == b.Bootname || a.Device == b.Device:
		return fail.New(fail.Usage, "cannot write both slots to a system.conf: they share name, bootname or device (%s, %s, %s)",
			a.Name, a.Bootname, a.Device)
	}
	return nil
}

// unfit says why a value cannot stand in a GKeyFile as it is. GLib drops blanks around a value, RAUC refuses an empty one.
func unfit(v string) string {
	switch {
	case v == "":
		return "it is empty"
	case !utf8.ValidString(v):
		return "it is not UTF-8"
	case strings.ContainsFunc(v, unicode.IsControl):
		return "it holds a control character"
	case strings.TrimSpace(v) != v:
		return "it begins or ends with a blank"
	}
	return ""
}
