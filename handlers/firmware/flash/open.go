package flash

import (
	"context"
	"io"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/payload"
	"github.com/tegra-ota/tegra-ota/internal/esrt"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Open reads a BUP, or a capsule around one, up to its table of images and refuses what this device's flash or board forbids.
func (s *Stager) Open(ctx context.Context, r io.Reader) (backends.Candidate, error) {
	certs, err := payload.Certificates(s.m, s.opts.CapsuleTrust)
	if err != nil {
		return nil, err
	}
	l, err := find(s.m, s.open, s.chip, s.target())
	if err != nil {
		return nil, err
	}
	defer l.close()
	head, err := payload.Open(r)
	if err != nil {
		return nil, err
	}
	if err := head.WithContext(ctx).Trust(certs...); err != nil {
		return nil, err
	}
	c := &candidate{stager: s, head: head}
	if err := s.checkType(head.Capsule()); err != nil {
		return nil, err
	}
	if err := s.checkVersion(head.Version()); err != nil {
		return nil, err
	}
	if c.chosen, err = s.choose(head.Package()); err != nil {
		return nil, err
	}
	_, l.adding = c.chosen[tableImages[l.target.Index()]]
	places := l
	if s.running() == backends.None {
		places = nil // Receive knows the target
	}
	_, err = s.assign(head.Package(), c.chosen, places)
	return c, err
}

// checkType compares a capsule with what the firmware publishes of itself, where it does.
func (s *Stager) checkType(wrapped *capsule.Capsule) error {
	if wrapped == nil {
		return nil
	}
	if entry, err := esrt.Read(s.m); err == nil && wrapped.ImageType != entry.Class {
		return fail.New(fail.Data, "cannot install the capsule: it is for image type %s, this device's firmware is %s",
			wrapped.ImageType, entry.Class).
			Then("build the capsule for this chip and product")
	}
	return nil
}

// checkVersion keeps to the floors that the firmware's own update keeps to, where it publishes them. 0 is a version that is not known yet.
func (s *Stager) checkVersion(v capsule.Version) error {
	entry, err := esrt.Read(s.m)
	if err != nil || v == 0 {
		return nil //nolint:nilerr // no UEFI, no floors
	}
	return entry.Refuse(v)
}

// choose picks the images of this board.
func (s *Stager) choose(p *bup.Package) (map[string]int, error) {
	spec, compat, err := payload.Board(s.m)
	if err != nil {
		return nil, err
	}
	selection, err := payload.Select(p, s.chip, spec, compat)
	if err != nil {
		return nil, err
	}
	if len(selection.Missing) == 0 {
		return selection.Chosen, nil
	}
	var names []string
	for _, m := range selection.Missing {
		names = append(names, m.Name)
	}
	first := selection.Missing[0]
	return nil, fail.New(fail.Data, "cannot install the package: for board %s it lacks %s (%s: %s)",
		spec, strings.Join(names, ", "), first.Name, first.Reason).
		Then("build the update for this board")
}
