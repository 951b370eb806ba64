package virtual

import "github.com/tegra-ota/tegra-ota/formats/capsule"

// bootROM picks the chain that BR-BCT names, or the other one if that does not come up. The register's mark of a failed
// chain is honoured while it lasts, as long as there is another chain.
func (b *boot) bootROM() (bool, error) {
	active, err := b.o.activeChain()
	if err != nil {
		return false, err
	}
	for _, honour := range []bool{true, false} {
		for _, c := range []Slot{active, active.Other()} {
			if honour && b.reg.Failed[c] != 0 {
				b.say("BootROM passes over chain %s, which is marked as failed", c)
				continue
			}
			ok, err := b.comesUp(c)
			if err != nil {
				return false, err
			}
			if !ok {
				b.reg.Failed[c] = 1
				continue
			}
			b.chain, b.reg.Chain, b.report.Chain = c, c, c
			b.staleBCT = c != active
			if b.running, err = b.o.version(c); err != nil {
				return false, err
			}
			b.say("BootROM starts chain %s, firmware %s", c, versionWord(b.running))
			return true, nil
		}
	}
	return false, nil
}

func (b *boot) comesUp(c Slot) (bool, error) {
	if b.failing != nil && *b.failing == c {
		b.say("chain %s does not come up", c)
		return false, nil
	}
	r, err := b.o.Chain(c)
	if err != nil {
		return false, err
	}
	if !r.Startable {
		b.say("BootROM can not start chain %s: %s", c, r.Problems[0])
	}
	return r.Startable, nil
}

func versionWord(v capsule.Version) string {
	if v == unknownVersion {
		return "of unknown version"
	}
	return v.String()
}
