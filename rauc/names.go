// Package rauc speaks RAUC's protocols: its custom bootloader backend, the slot hook of a bundle, the handlers of
// system.conf, and system.conf itself. It knows how RAUC names slots and in which variables it says what it installs;
// what that means for the device is Control's (package backends).
//
// What RAUC does is from its sources and from runs of 1.8 (Debian 12), the oldest version that is supported.
package rauc

import (
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// UpdateID is the ID of every update that RAUC installs: neither its backend nor its slot hooks are told a transaction,
// and it installs one bundle at a time.
const UpdateID = "rauc"

// Names are what RAUC calls the slots.
type Names struct {
	bootnames, slots [2]string
}

// NewNames takes over the configuration. The error is Usage where a name of one slot also means the other one.
func NewNames(c config.RAUC) (Names, error) {
	var n Names
	copy(n.bootnames[:], c.Bootnames)
	copy(n.slots[:], c.Slots)
	for _, s := range backends.Slots {
		for _, name := range []string{n.bootnames[s.Index()], n.slots[s.Index()]} {
			if other := n.others(name, s); other {
				return n, fail.New(fail.Usage, "cannot use the name %q for slot %s: it also means slot %s", name, s, s.Other()).
					Then("correct bootnames and slots in [rauc]")
			}
		}
	}
	return n, nil
}

// others says that a name of slot s also means the other slot.
func (n Names) others(name string, s backends.Slot) bool {
	o := s.Other().Index()
	if name == n.bootnames[o] || name == n.slots[o] {
		return true
	}
	meant, err := backends.ParseSlot(name)
	return err == nil && meant != s
}

// Slot understands a bootname, the name of the slot's section in system.conf, and every name that tegra-bootctl
// understands: A, APP, _a, 0 and so on. Another name is a Usage error.
func (n Names) Slot(name string) (backends.Slot, error) {
	for _, s := range backends.Slots {
		if name != "" && (name == n.bootnames[s.Index()] || name == n.slots[s.Index()]) {
			return s, nil
		}
	}
	if s, err := backends.ParseSlot(name); err == nil {
		return s, nil
	}
	return backends.None, fail.New(fail.Usage, "cannot name slot %q: the bootnames are %s", name, strings.Join(n.bootnames[:], " and "))
}

// Bootname returns RAUC's name of a slot, "" for None. RAUC compares it exactly with the bootname= values.
func (n Names) Bootname(s backends.Slot) string {
	if s == backends.None {
		return ""
	}
	return n.bootnames[s.Index()]
}
