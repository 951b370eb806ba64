package payload

import (
	"crypto/x509"
	"encoding/pem"

	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Board returns what the board is matched by: the UEFI variables TegraPlatformSpec and TegraPlatformCompatSpec where they can be
// read, else TNSPEC and COMPATIBLE_SPEC of /etc/nv_boot_control.conf, which L4T writes at the first boot. compat may be "". A
// board that nothing names is fail.Unavailable.
func Board(m *device.Machine) (spec, compat string, err error) {
	vars := efivarfs.New(m)
	if v, err := vars.Read(efivarfs.TegraPlatformSpec); err == nil && v.Text() != "" {
		if c, err := vars.Read(efivarfs.TegraPlatformCompatSpec); err == nil {
			compat = c.Text()
		}
		return v.Text(), compat, nil
	}
	conf := chip.BootControl(m)
	if conf["TNSPEC"] == "" {
		return "", "", fail.New(fail.Unavailable, "cannot name the board: neither the UEFI variable TegraPlatformSpec "+
			"nor TNSPEC in /etc/nv_boot_control.conf says one").
			Then("run nv-l4t-bootloader-config, which writes /etc/nv_boot_control.conf, or put the board's TNSPEC there")
	}
	return conf["TNSPEC"], conf["COMPATIBLE_SPEC"], nil
}

// Select chooses the images of a package for a board: of a V3 package as UEFI does, of a V2 package as the tools of L4T R32 do.
// Names that the chip needs and that do not resolve are in Missing. A package whose format is not the chip's is fail.Data.
func Select(p *bup.Package, c chip.Chip, spec, compat string) (bup.Selection, error) {
	if p.Header.Format == bup.V2 {
		switch c.Name {
		case chip.T186.Name:
			return p.MatchR32(spec, compat, bup.RequiredT186R32), nil
		case chip.T194.Name:
			return p.MatchR32(spec, compat, bup.RequiredT194R32), nil
		}
		return bup.Selection{}, fail.New(fail.Data, "cannot install a BUP V2 on %s: that is the format of L4T R32 for T186 and T194", c.Name).
			Then("build the firmware for this chip")
	}
	if c.Name == chip.T186.Name {
		return bup.Selection{}, fail.New(fail.Data, "cannot install a BUP %s on %s: L4T R32, the last release for it, has V2",
			p.Header.Format, c.Name).
			Then("build the firmware for this chip")
	}
	required := c.Required
	if v := EntriesVersion(p); v != 0 {
		required = c.RequiredBy(v)
	}
	return p.Match(spec, compat, required), nil
}

// Certificates reads the PEM certificates for Head.Trust from a file of the device; "" is none.
func Certificates(m *device.Machine, file string) ([]*x509.Certificate, error) {
	if file == "" {
		return nil, nil
	}
	text, err := m.ReadFile(file)
	if err != nil {
		return nil, fail.New(fail.Unavailable, "cannot read the certificate that capsules are trusted by: %w",
			err).Then("correct capsule_trust in [firmware]")
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fail.New(fail.Unavailable, "cannot read certificate %s: %w", file, err).Then("correct capsule_trust in [firmware]")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fail.New(fail.Unavailable, "cannot read certificate %s: it holds no PEM certificate",
			file).Then("correct capsule_trust in [firmware]")
	}
	return certs, nil
}
