package mtd

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Partition is one MTD device as /proc/mtd lists it; sizes are in bytes.
type Partition struct {
	Number    int
	Name      string
	Size      int64
	EraseSize int64
	Node      string // /dev/mtd0
}

// List returns the machine's MTD devices in the kernel's order. A kernel without MTD has no /proc/mtd: none. So it is on a Jetson
// whose firmware keeps the flash to itself.
func List(m *device.Machine) ([]Partition, error) {
	text, err := m.ReadFile("/proc/mtd")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fail.New(fail.InputCode(err, fail.IO), "cannot list flash devices: %w", err)
	}
	parts, err := parseList(string(text))
	if err != nil {
		return nil, fail.New(fail.Unavailable, "cannot list flash devices: /proc/mtd: %w", err)
	}
	return parts, nil
}

// parseList reads lines like `mtd0: 04000000 00010000 "name"`: sizes in hexadecimal, and a name that is printed as it is
// (drivers/mtd/mtdcore.c, mtd_proc_show), blanks and quotes included. The first line is a heading.
func parseList(text string) ([]Partition, error) {
	var parts []Partition
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "dev:") {
			continue
		}
		p, ok := parseLine(line)
		if !ok {
			return nil, fmt.Errorf("cannot read line %q", line)
		}
		parts = append(parts, p)
	}
	return parts, nil
}

func parseLine(line string) (Partition, bool) {
	head, name, ok := strings.Cut(line, `"`)
	name, closed := strings.CutSuffix(strings.TrimRight(name, " \r"), `"`)
	fields := strings.Fields(head)
	if !ok || !closed || len(fields) != 3 {
		return Partition{}, false
	}
	number, prefixed := strings.CutPrefix(strings.TrimSuffix(fields[0], ":"), "mtd")
	n, err := strconv.ParseUint(number, 10, 31)
	size, sizeErr := strconv.ParseInt(fields[1], 16, 64)
	erase, eraseErr := strconv.ParseInt(fields[2], 16, 64)
	if !prefixed || !strings.HasSuffix(fields[0], ":") || errors.Join(err, sizeErr, eraseErr) != nil || size < 0 || erase < 0 {
		return Partition{}, false
	}
	return Partition{Number: int(n), Name: name, Size: size, EraseSize: erase, Node: fmt.Sprintf("/dev/mtd%d", n)}, true
}
