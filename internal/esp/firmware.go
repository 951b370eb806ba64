package esp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/gpt"
	"github.com/tegra-ota/tegra-ota/internal/partition"
)

// bootedFrom returns the GUID of the partition that the firmware loaded the boot loader from (UEFI specification 2.10, section
// 3.1: BootCurrent, Boot####), or in words why that cannot be told. edk2 makes the options for internal disks itself and points
// them at the whole disk, so that "the option names no partition" is the usual case on a device nobody ran efibootmgr on.
func bootedFrom(vars *efivarfs.Store) (uuid, whyNot string) {
	current, err := vars.Read(efivarfs.BootCurrent)
	if errors.Is(err, fs.ErrNotExist) {
		return "", "the firmware does not say which boot option it used (no BootCurrent)"
	}
	if err != nil {
		return "", err.Error()
	}
	if len(current.Data) != 2 {
		return "", fmt.Sprintf("BootCurrent holds %d bytes instead of 2", len(current.Data))
	}
	name := efivarfs.BootOption(binary.LittleEndian.Uint16(current.Data))
	v, err := vars.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Sprintf("the boot option that it used, %s, no longer exists", name.Name)
	}
	if err != nil {
		return "", err.Error()
	}
	option, err := efivarfs.ParseLoadOption(v.Data)
	if err != nil {
		return "", fmt.Sprintf("%s: %v", name.Name, err)
	}
	if option.HardDrive == nil || option.HardDrive.GUID.IsZero() {
		return "", fmt.Sprintf("the boot option that it used, %s (%s), names no partition of a GPT", name.Name, option.Description)
	}
	return option.HardDrive.GUID.String(), ""
}

// entryOf returns a partition's entry in the table of its disk.
func entryOf(m *device.Machine, p partition.Partition) (gpt.Entry, error) {
	if p.Disk == "" {
		return gpt.Entry{}, fail.New(fail.Unavailable, "cannot read the partition table for %s: the disk that it is on is unknown", p.Device)
	}
	t, err := readTable(m, p.Disk)
	if err != nil {
		return gpt.Entry{}, err
	}
	if p.UUID != "" {
		if g, err := guid.Parse(p.UUID); err == nil {
			if e, ok := t.ByUnique(g); ok {
				return e, nil
			}
		}
		return gpt.Entry{}, fail.New(fail.Unavailable, "cannot find %s in the partition table of %s: no entry has its GUID %s", p.Device, p.Disk, p.UUID).
			Then("the table was changed since the kernel read it; reboot, or run: partprobe %s", p.Disk)
	}
	for _, e := range t.Entries {
		if p.Number > 0 && e.Number == p.Number {
			return e, nil
		}
	}
	return gpt.Entry{}, fail.New(fail.Unavailable, "cannot find %s in the partition table of %s: neither its GUID nor a number leads to an entry", p.Device, p.Disk)
}

func readTable(m *device.Machine, disk string) (*gpt.Table, error) {
	f, err := m.Open(disk)
	if err != nil {
		return nil, fail.New(codeOf(err), "cannot read the partition table of %s: %w", disk, err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fail.New(fail.IO, "cannot read the partition table of %s: %w", disk, err)
	}
	t, err := gpt.Read(f, size, blockSize(m, disk))
	if err != nil {
		return nil, fmt.Errorf("cannot judge disk %s: %w", disk, err)
	}
	return t, nil
}

// blockSize returns the disk's logical block size in bytes, by which a GPT counts; 512 where sysfs does not tell (a stand-in).
func blockSize(m *device.Machine, disk string) int64 {
	text, err := m.ReadText(path.Join("/sys/class/block", path.Base(disk), "queue/logical_block_size"))
	if err == nil && text == "4096" {
		return 4096
	}
	return 512
}

// codeOf is fail.CodeOf, but for a disk that is not there: that is a condition of the device, not a failure of it.
func codeOf(err error) fail.Code {
	if errors.Is(err, fs.ErrNotExist) {
		return fail.Unavailable
	}
	return fail.CodeOf(err)
}

func isESP(e gpt.Entry) bool { return e.Type == gpt.TypeESP }

// typeName adds words to the types that wrongly made images have.
func typeName(t guid.GUID) string {
	switch t {
	case gpt.TypeBasicData:
		return "basic data, " + t.String()
	case gpt.TypeLinux:
		return "Linux file system, " + t.String()
	}
	return t.String()
}
