package pack

import (
	"github.com/klauspost/compress/zstd"

	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/swdesc/problem"
)

// maxConditions keeps the script below what Linux takes as one argument, 128 KiB, when every byte of it is a quote.
const maxConditions = 24 << 10

// refuse says what the format cannot carry or the caller forgot, before anything is read.
func (p *Plan) refuse(o PrepareOptions) error {
	for _, part := range p.Parts {
		c := part.Component
		if c.Encrypt && o.Format == SWU && o.EncryptionKey == nil {
			return fail.New(fail.Usage, "cannot encrypt component %s without a key", c.File).Then("name one with --encryption-key")
		}
		if c.Encrypt && o.Format != SWU {
			return fail.New(fail.Data, "cannot encrypt component %s: only SWUpdate decrypts single images", c.File).
				Then("leave encrypt out; rauc encrypt makes a crypt bundle")
		}
		if !part.slotBound() && o.Format != SWU {
			return fail.New(fail.Data, "cannot put component %s into %s: it has no place for a %s", c.File, o.Format, c.Type).
				Then("put it into the root file system")
		}
	}
	if n := len(conditions(p.Release)); n > maxConditions {
		return fail.New(fail.Data, "cannot pack the release: its conditions make a script of %d bytes, and the device runs at most %d", n, maxConditions)
	}
	if o.Format == SWU && len(p.Release.Hardware.Revisions) == 0 {
		return fail.New(fail.Data, "cannot describe the release to SWUpdate without hardware revisions").
			Then("set revisions in [hardware]: what /etc/hwrevision of the devices says, for example [\"1.0\"]")
	}
	if o.Format != SWU && p.Release.Hardware.Compatible == "" {
		return fail.New(fail.Data, "cannot make %s without a name that devices compare", o.Format).
			Then("set compatible in [hardware]: RAUC's compatible, Mender's device type")
	}
	return nil
}

// refuseNames: a member's name is final once its file was looked at, and two of them may have become the same.
func (p *Plan) refuseNames() error {
	taken := map[string]string{descriptionName: "sw-description", signatureName: "its signature", activateName: "the step that activates"}
	if p.Format == RAUC {
		taken = map[string]string{"manifest.raucm": "the manifest", "hook": "the hook"}
	}
	for _, part := range p.Parts {
		name := part.Name
		if p.Format == RAUC {
			name = part.raucName()
		}
		if other, ok := taken[name]; ok {
			return fail.New(fail.Data, "cannot pack component %s as %s: that is the name of %s", part.Component.File, name, other).
				Then("give it another name")
		}
		taken[name] = "component " + part.Component.File
	}
	return nil
}

// maxWindow is the zstd window from which a device's memory is worth a word: zstd -19 needs 8 MiB.
const maxWindow = 8 << 20

// checkWindow warns of a file that was compressed with a long window, which everyone who decompresses it holds in memory.
func (p *Plan) checkWindow(part *Part, head []byte) {
	var h zstd.Header
	if h.Decode(head) != nil || h.WindowSize <= maxWindow {
		return
	}
	p.add(part, problem.List{problem.Warnf("zstd-window", "it takes %d MiB of memory to decompress, on devices as here", h.WindowSize>>20).
		Then("compress it without --long and --ultra")})
}
