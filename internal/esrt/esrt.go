// Package esrt reads what UEFI says of the last firmware update: the EFI System Resource Table (UEFI 2.10, 23.4) in sysfs.
package esrt

import (
	"fmt"
	"strconv"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// folder holds the system firmware's entry; Jetsons have just this one.
const folder = "/sys/firmware/efi/esrt/entries/entry0/"

// Entry is the system firmware's row.
type Entry struct {
	Class       guid.GUID       // what a capsule's image type must be
	Version     capsule.Version // of the running firmware
	Lowest      capsule.Version // an older capsule is refused
	LastVersion capsule.Version // of the last capsule the firmware tried
	LastStatus  uint32          // 0 success, else Explain
}

// Attempt is the part of an entry that an attempt changes.
type Attempt struct {
	Version capsule.Version `json:"version"`
	Status  uint32          `json:"status"`
}

// Last returns the last attempt.
func (e Entry) Last() Attempt { return Attempt{e.LastVersion, e.LastStatus} }

// Read reads the entry. The error wraps fs.ErrNotExist where the firmware publishes none, fs.ErrPermission where only root may.
func Read(m *device.Machine) (Entry, error) {
	var e Entry
	text, err := m.ReadText(folder + "fw_class")
	if err != nil {
		return e, fmt.Errorf("cannot read the firmware's update table: %w", err)
	}
	if e.Class, err = guid.Parse(text); err != nil {
		return e, fmt.Errorf("cannot read the firmware's update table: %w", err)
	}
	for _, field := range []struct {
		name string
		set  func(uint32)
	}{
		{"fw_version", func(v uint32) { e.Version = capsule.Version(v) }},
		{"lowest_supported_fw_version", func(v uint32) { e.Lowest = capsule.Version(v) }},
		{"last_attempt_version", func(v uint32) { e.LastVersion = capsule.Version(v) }},
		{"last_attempt_status", func(v uint32) { e.LastStatus = v }},
	} {
		text, err := m.ReadText(folder + field.name)
		if err != nil {
			return e, fmt.Errorf("cannot read the firmware's update table: %w", err)
		}
		v, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			return e, fmt.Errorf("cannot read the firmware's update table: %s: %w", field.name, err)
		}
		field.set(uint32(v))
	}
	return e, nil
}
