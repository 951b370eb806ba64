package pack

import (
	"encoding/hex"
	"strconv"

	"github.com/tegra-ota/tegra-ota/swdesc/description"
	"github.com/tegra-ota/tegra-ota/swdesc/release"
)

// activateName is the member whose handler, tegra-activate, makes the updated slot boot next; its content is ignored.
const activateName = release.ActivateName

var activateContent = []byte("activate\n")

// Description returns the update's sw-description.
func (p *Plan) Description() *description.Description {
	d := &description.Description{}
	root := &d.Software
	root.Version, root.Description = p.Release.Version, p.Release.Description
	where := root
	if board := p.Release.Hardware.SWUpdateBoard; board != "" {
		root.Children = []description.Child{{Name: board}}
		where = &root.Children[0].Node
	}
	where.HardwareCompatibility = p.Release.Hardware.Revisions
	activate := false
	for _, part := range p.Parts {
		a := p.artifact(part)
		switch part.Component.Type {
		case release.File:
			where.Files = append(where.Files, a)
		case release.Script:
			where.Scripts = append(where.Scripts, a)
		default:
			where.Images = append(where.Images, a)
			activate = true
		}
	}
	if activate {
		where.Scripts = append(where.Scripts, description.Artifact{
			Filename: activateName, Type: "tegra-activate", SHA256: measured(activateContent).digest().Hex(),
			Properties: []description.Property{property("update", p.Update)},
		})
	}
	if script := hookScript(p.Release); script != "" {
		root.EmbeddedScript = script
		firstOf(where).Hook = hookName
	}
	return d
}

// firstOf returns an entry that every device reads. SWUpdate runs its hook while it parses the description, before it writes
// anything: an image that is installed while it arrives is written before any script has run.
func firstOf(n *description.Node) *description.Artifact {
	for _, list := range [][]description.Artifact{n.Files, n.Images, n.Scripts} {
		if len(list) > 0 {
			return &list[0]
		}
	}
	return &description.Artifact{}
}

func (p *Plan) artifact(part Part) description.Artifact {
	c := part.Component
	a := description.Artifact{Filename: part.Name, SHA256: part.Stored.Hex(), InstalledDirectly: c.Streamed()}
	if part.Zstd {
		a.Compressed = "zstd"
	}
	if part.IV != nil {
		a.Encrypted, a.IVT = "aes-cbc", hex.EncodeToString(part.IV[:])
	}
	switch c.Type {
	case release.Rootfs, release.Kernel, release.KernelDTB:
		a.Type = "tegra-image"
		a.Properties = []description.Property{
			property("partition", c.Partition), property("size", strconv.FormatInt(part.Plain.Size, 10)), property("sha256", part.Plain.Hex()),
			property("update", p.Update),
		}
	case release.Firmware:
		a.Type = "tegra-bup"
		a.Properties = []description.Property{property("update", p.Update)}
	case release.File:
		a.Type, a.Path = "rawfile", c.Destination
		// Both slots share the file, so a power cut must not tear it; and its folder may be the first file's to make.
		a.Properties = []description.Property{property("atomic-install", "true"), property("create-destination", "true")}
		if c.InstallIfDifferent {
			a.Name, a.Version, a.InstallIfDifferent = part.Name, c.ComponentVersion, true
		}
	case release.Script:
		a.Type = c.Script
	}
	return a
}

func property(name, value string) description.Property {
	return description.Property{Name: name, Values: []string{value}}
}

func measured(b []byte) *gauge {
	g := newGauge()
	_, _ = g.Write(b) // a gauge never fails
	return g
}
