package virtual

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// Labels of the partitions on the disk (L4T flash layouts), and how the kernel numbers NVMe partitions.
const (
	labelESP  = "esp"
	labelData = "UDA"
)

// makeDisk lays out the disk, NVMe or eMMC, and shows it as the kernel and udev do. The partitions are files of their own, not
// windows into the disk: what matters to a client is the table, and that names lead to partitions of the right size.
func (o *Orin) makeDisk(app int64) error {
	sectors := func(limit int64) uint64 { return uint64(min(app, limit)) / sectorSize }
	const mib = 1 << 20
	parts := []gptPart{
		{Label: "APP", Type: typeLinux, Count: uint64(app) / sectorSize},
		{Label: "APP_b", Type: typeLinux, Count: uint64(app) / sectorSize},
		{Label: o.board.flashName(A, "kernel"), Type: typeLinux, Count: sectors(32 * mib)},
		{Label: o.board.flashName(A, "kernel-dtb"), Type: typeLinux, Count: sectors(mib)},
		{Label: o.board.flashName(B, "kernel"), Type: typeLinux, Count: sectors(32 * mib)},
		{Label: o.board.flashName(B, "kernel-dtb"), Type: typeLinux, Count: sectors(mib)},
		{Label: labelESP, Type: typeESP, Count: 64 * mib / sectorSize},
		{Label: labelData, Type: typeLinux, Count: 64 * mib / sectorSize},
	}
	if o.board.Cboot {
		parts = append(parts[:6], gptPart{Label: smdLabels[0], Type: typeLinux, Count: smdSectors},
			gptPart{Label: smdLabels[1], Type: typeLinux, Count: smdSectors}, parts[7])
	}
	total := layOut(parts)
	for i := range parts {
		parts[i].UUID = uuidOf("partition", o.board.Module, parts[i].Label)
	}
	o.board.Disk = parts
	for _, dir := range []string{"dev", labelDir, uuidDir} {
		if err := os.MkdirAll(o.path(dir), 0o755); err != nil {
			return fmt.Errorf("cannot make the disk: %w", err)
		}
	}
	if err := writeGPT(o.path(o.board.disk()), uuidOf("disk", o.board.Module), total, parts); err != nil {
		return err
	}
	base := o.board.Storage
	uevent := fmt.Sprintf("MAJOR=%d\nMINOR=0\nDEVNAME=%s\nDEVTYPE=disk\nDISKSEQ=1\n", o.board.major(), base)
	if err := o.write(filepath.Join(blockDir, base, "uevent"), []byte(uevent)); err != nil {
		return err
	}
	if err := o.write(filepath.Join(blockDir, base, "size"), []byte(fmt.Sprintf("%d\n", total))); err != nil {
		return err
	}
	for _, p := range parts {
		if err := o.makePartition(p); err != nil {
			return err
		}
	}
	return nil
}

func (o *Orin) makePartition(p gptPart) error {
	node := o.board.partitionNode(p.Number)
	f, err := os.Create(o.path(node))
	if err != nil {
		return fmt.Errorf("cannot make partition %s: %w", p.Label, err)
	}
	defer f.Close()
	if err := f.Truncate(int64(p.Count) * sectorSize); err != nil {
		return fmt.Errorf("cannot make partition %s: %w", p.Label, err)
	}
	name := filepath.Base(node)
	for _, link := range []string{filepath.Join(labelDir, p.Label), filepath.Join(uuidDir, p.UUID.String())} {
		if err := os.Symlink("../../"+name, o.path(link)); err != nil {
			return fmt.Errorf("cannot name partition %s: %w", p.Label, err)
		}
	}
	for file, text := range map[string]string{
		"uevent": fmt.Sprintf("MAJOR=%d\nMINOR=%d\nDEVNAME=%s\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=%d\nPARTNAME=%s\nPARTUUID=%s\n",
			o.board.major(), p.Number, name, p.Number, p.Label, p.UUID),
		"partition": fmt.Sprintf("%d\n", p.Number),
		"start":     fmt.Sprintf("%d\n", p.First),
		"size":      fmt.Sprintf("%d\n", p.Count),
	} {
		if err := o.write(filepath.Join(blockDir, name, file), []byte(text)); err != nil {
			return err
		}
	}
	return f.Close()
}

// makeTree writes what never changes: device tree, the configuration of NVIDIA's tools, the launcher on the ESP (JetPack 4: the
// release file).
func (o *Orin) makeTree(m module) error {
	sku := strings.TrimPrefix(o.board.Module, "p")
	carrier := strings.TrimPrefix(m.carrier, "p")
	compatible := fmt.Sprintf("nvidia,p%s+p%s\x00nvidia,p%s\x00nvidia,tegra%s\x00", carrier, sku, sku, m.chip[1:])
	conf := fmt.Sprintf("TNSPEC %s\nCOMPATIBLE_SPEC %s\nTEGRA_BOOT_STORAGE %s\nTEGRA_CHIPID %s\n"+
		"TEGRA_OTA_BOOT_DEVICE %s\nTEGRA_OTA_GPT_DEVICE %s\n", o.board.Spec, o.board.Compat, m.storage, chipIDs[m.chip], m.otaBoot, m.otaGPT)
	last := struct{ path, text string }{launcher, "a stand-in for L4TLauncher " + o.board.L4T + "\n"}
	if o.board.Cboot {
		last.path, last.text = releaseFile, o.board.release()
	}
	for _, f := range []struct{ path, text string }{
		{filepath.Join(treeDir, "compatible"), compatible},
		{filepath.Join(treeDir, "model"), m.model + "\x00"},
		{confFile, conf},
		last,
	} {
		if err := o.write(f.path, []byte(f.text)); err != nil {
			return err
		}
	}
	for _, dir := range []string{"data", "run", "tmp"} {
		if err := os.MkdirAll(o.path(dir), 0o755); err != nil {
			return fmt.Errorf("cannot make %s: %w", dir, err)
		}
	}
	return nil
}

// volatileVariables sets what firmware makes anew at each boot (BootChainDxe.c, DefaultVariableDxe.c with the locked
// entries of L4TConfiguration.dts, FmpVersionLibPartition.c).
func (o *Orin) volatileVariables(chain Slot, running capsule.Version) error {
	list := []variable{
		{"BootChainFwCurrent", publicGUID, u32(uint32(chain))},
		{"BootChainOsCurrent", publicGUID, u32(uint32(chain))},
		{"OsIndicationsSupported", globalGUID, u64(osIndicationsSupported)},
		{"BootCurrent", globalGUID, u16(1)},
	}
	if o.board.Redundancy != NoVariables {
		level := uint32(1)
		if o.board.Redundancy == BootOnly {
			level = 0
		}
		list = append(list, variable{"RootfsRedundancyLevel", publicGUID, u32(level)}, variable{"RootfsRetryCountMax", publicGUID, u32(maxRetry)})
	}
	if running != unknownVersion && running >= systemVersions {
		var both []byte
		for _, s := range []Slot{A, B} {
			version, err := o.version(s)
			if err != nil {
				return err
			}
			both = binary.LittleEndian.AppendUint32(both, uint32(version))
		}
		list = append(list, variable{"SystemFwVersions", publicGUID, both})
	}
	return o.variables().renew(list)
}

// startLinux writes what a kernel started on a slot shows of itself, and returns its boot_id.
func (o *Orin) startLinux(st *state, root Slot, bootCurrent uint16) (string, error) {
	st.Boots++
	if err := o.writeState(*st); err != nil {
		return "", err
	}
	v := o.variables()
	if err := v.set("BootChainOsCurrent", publicGUID, attrVolatile, u32(uint32(root))); err != nil {
		return "", err
	}
	if err := v.set("BootCurrent", globalGUID, attrVolatile, u16(bootCurrent)); err != nil {
		return "", err
	}
	id := uuidOf("boot", o.board.Module, fmt.Sprint(st.Boots)).String()
	app := o.board.Disk[root]
	for _, f := range []struct{ path, text string }{
		{bootIDFile, id + "\n"},
		{cmdlineFile, fmt.Sprintf("root=PARTUUID=%s rw rootwait rootfstype=ext4 console=ttyTCU0,115200\n", app.UUID)},
		{mountsFile, o.mountinfo(root)},
	} {
		if err := o.write(f.path, []byte(f.text)); err != nil {
			return "", err
		}
	}
	return id, nil
}

// mountinfo is what proc(5) describes; the slot's partition is mounted on /.
func (o *Orin) mountinfo(root Slot) string {
	var b strings.Builder
	id := 21
	line := func(device, point, options, fstype, source, super string) {
		id++
		parent := 22
		if point == "/" {
			parent = 1
		}
		fmt.Fprintf(&b, "%d %d %s / %s %s shared:%d - %s %s %s\n", id, parent, device, point, options, id-21, fstype, source, super)
	}
	disk := func(p gptPart, point, fstype, super string) {
		line(fmt.Sprintf("%d:%d", o.board.major(), p.Number), point, "rw,relatime", fstype, "/"+o.board.partitionNode(p.Number), super)
	}
	disk(o.board.Disk[root], "/", "ext4", "rw")
	line("0:21", "/proc", "rw,nosuid,nodev,noexec,relatime", "proc", "proc", "rw")
	line("0:22", "/sys", "rw,nosuid,nodev,noexec,relatime", "sysfs", "sysfs", "rw")
	line("0:5", "/dev", "rw,nosuid,relatime", "devtmpfs", "devtmpfs", "rw,mode=755")
	line("0:24", "/run", "rw,nosuid,nodev", "tmpfs", "tmpfs", "rw,mode=755")
	if !o.board.Cboot {
		line("0:25", "/sys/firmware/efi/efivars", "rw,nosuid,nodev,noexec,relatime", "efivarfs", "efivarfs", "rw")
	}
	for _, p := range o.board.Disk {
		switch p.Label {
		case labelESP:
			disk(p, "/boot/efi", "vfat", "rw,fmask=0022,dmask=0022,codepage=437,iocharset=ascii,shortname=mixed,errors=remount-ro")
		case labelData:
			disk(p, "/data", "ext4", "rw")
		}
	}
	return b.String()
}
