package smd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// partitions hold the copies in the order in which cboot tries them.
var partitions = []string{"/dev/disk/by-partlabel/SMD", "/dev/disk/by-partlabel/SMD_b"}

// ErrAbsent says that the device shows no partition with slot metadata: it is no T186 or T194 with R32, or its metadata lies
// in flash that Linux does not show as partitions.
var ErrAbsent = errors.New("no slot metadata")

// Read returns the copy that firmware would take, the first that is whole, and the partition it comes from. It is ErrAbsent
// (Unavailable) if there is no such partition, and the first copy's error if none is whole.
func Read(m *device.Machine) (*Metadata, string, error) {
	var first error
	for _, path := range partitions {
		raw, err := head(m, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var meta *Metadata
		if err == nil {
			meta, err = Parse(raw)
		}
		if err == nil {
			return meta, path, nil
		}
		if first == nil {
			first = fmt.Errorf("%s: %w", path, err)
		}
	}
	if first == nil {
		return nil, "", fail.New(fail.Unavailable, "cannot read slot metadata: %w", ErrAbsent)
	}
	return nil, "", first
}

func head(m *device.Machine, path string) ([]byte, error) {
	f, err := m.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, Size+4+extLimit))
}

// Running returns the slot that a kernel command line says was booted, 0 or 1: boot.slot_suffix is "", "_a" or "_b", and
// absent where redundancy is off (smd.c of tegra-boot-tools). Another value is an error (Unavailable).
func Running(cmdline string) (int, error) {
	const word = "boot.slot_suffix="
	for _, arg := range strings.Fields(cmdline) {
		suffix, ok := strings.CutPrefix(arg, word)
		if !ok {
			continue
		}
		switch suffix {
		case "", "_a":
			return 0, nil
		case "_b":
			return 1, nil
		}
		return 0, fail.New(fail.Unavailable, "cannot name the running slot: the kernel command line says %s", arg)
	}
	return 0, nil
}
