package firmware

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// espReserve is kept free beside the capsule: the journal's copies and FAT's own rounding.
const espReserve = 256 << 10

// Ready says what keeps every capsule out. A certificate that is found missing only behind the last byte costs a whole download.
func (s *Stager) Ready(_ context.Context) error {
	_, err := s.trusted()
	return err
}

// Open reads a capsule up to its table of images and refuses, before anything is written, what this device's firmware would refuse.
func (s *Stager) Open(ctx context.Context, r io.Reader) (backends.Candidate, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(r, 64<<10)
	head, err := buffered.Peek(16)
	if len(head) == 0 {
		return nil, fail.New(fail.Data, "cannot read the capsule: it is empty (%w)", err)
	}
	if bup.IsBUP(head) {
		return nil, fail.New(fail.Data, "cannot install a bare BUP on %s: its firmware takes a signed UEFI capsule", s.chip.Name).
			Then("wrap it with GenerateCapsule (meta-tegra: tegra-uefi-capsules) and install the .Cap file")
	}
	scanner, err := capsule.NewScanner(buffered)
	if err != nil {
		return nil, err
	}
	c := &candidate{stager: s, scanner: scanner, capsule: scanner.Capsule()}
	if c.places, err = s.places(); err != nil {
		return nil, err
	}
	for _, check := range []func(*candidate) error{s.checkTable, s.checkBoard, s.checkRoom} {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// checkTable compares the capsule with what the firmware publishes of itself.
func (s *Stager) checkTable(c *candidate) error {
	entry, err := esrt.Read(s.m)
	if err != nil {
		return fail.New(fail.Unavailable, "cannot tell whether this device takes the capsule: %w", err)
	}
	f := c.capsule.FirmwareVersion
	switch {
	case c.capsule.ImageType != entry.Class:
		return fail.New(fail.Data, "cannot install the capsule: it is for image type %s, this device's firmware is %s", c.capsule.ImageType, entry.Class).
			Then("build the capsule for this chip and product")
	case f < entry.Version:
		c.warn("the capsule's version %s is older than the running firmware %s", f, entry.Version)
	}
	if err := entry.Refuse(f); err != nil {
		return err
	}
	supported, present, err := s.indications(efivarfs.OsIndicationsSupported)
	if err != nil {
		return err
	}
	if present && supported&fileCapsule == 0 {
		c.warn("OsIndicationsSupported lacks bit 2: this firmware may ignore capsule files")
	}
	if !c.capsule.Signed {
		c.warn("the capsule is not signed: the firmware will refuse it unless it was built without authentication")
	}
	c.running = entry.Version
	return nil
}

// checkBoard resolves every image that the firmware needs for this board, as the firmware does.
func (s *Stager) checkBoard(c *candidate) error {
	spec, err := s.text(efivarfs.TegraPlatformSpec)
	if err != nil {
		return err
	}
	compat, err := s.text(efivarfs.TegraPlatformCompatSpec)
	if err != nil {
		return err
	}
	if spec == "" {
		c.warn("the UEFI variable TegraPlatformSpec is absent: the firmware matches by TegraPlatformCompatSpec alone")
	}
	selection := c.capsule.BUP.Match(spec, compat, s.chip.RequiredBy(c.running))
	if len(selection.Missing) == 0 {
		return nil
	}
	var names []string
	for _, m := range selection.Missing {
		names = append(names, m.Name)
	}
	first := selection.Missing[0]
	return fail.New(fail.Data, "cannot install the capsule: for board %s it lacks %s (%s: %s)", spec, strings.Join(names, ", "), first.Name, first.Reason).
		Then("build the capsule for this board")
}

// checkRoom wants room for one whole capsule. What an earlier staging or activation of ours left is counted as free,
// because it is removed first.
func (s *Stager) checkRoom(c *candidate) error {
	free, err := s.m.FreeBytes(c.places.mount)
	if err != nil {
		return err
	}
	for _, own := range []string{c.places.staged, c.places.incoming, c.places.armed} {
		if st, err := s.m.Stat(own); err == nil {
			free += st.Size()
		}
	}
	if need := c.capsule.Size + espReserve; free < need {
		return fail.New(fail.Unavailable, "cannot stage the capsule: the ESP at %s has %d KiB free and %d KiB are needed", c.places.mount, free>>10, need>>10).
			Then("free space on the ESP")
	}
	return nil
}

func (s *Stager) text(n efivarfs.Name) (string, error) {
	v, err := s.vars.Read(n)
	if isAbsent(err) {
		return "", nil
	}
	return v.Text(), err
}

func (c *candidate) warn(format string, args ...any) {
	c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
}
