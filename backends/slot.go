// Package backends decides which slot of a Jetson boots: the slots, what a backend must be able to do, and Control, the
// verbs every front end calls (SWUpdate, RAUC, Mender, a person).
//
// Backends (efivar, ...) read and write one kind of boot control and know no update. Control knows updates: it owns the
// journal and the order of steps that keeps a device bootable wherever the power is cut.
package backends

import (
	"strings"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Slot is one half of the redundant device: a boot chain and a root file system together.
type Slot string

// The slots. None is the answer where there is none.
const (
	A    Slot = "A"
	B    Slot = "B"
	None Slot = ""
)

// Slots are both, in firmware order.
var Slots = []Slot{A, B}

// Other returns the other slot; None of None.
func (s Slot) Other() Slot {
	switch s {
	case A:
		return B
	case B:
		return A
	}
	return None
}

// Index returns the firmware's number: 0 for A, 1 for B. Ask it of A or B only.
func (s Slot) Index() uint32 {
	if s == B {
		return 1
	}
	return 0
}

// SlotAt returns the slot with a firmware number, None for another number.
func SlotAt(index uint32) Slot {
	switch index {
	case 0:
		return A
	case 1:
		return B
	}
	return None
}

// ParseSlot understands a, b, the firmware's 0 and 1, suffixes _a and _b, and the root partitions' labels APP and APP_b.
func ParseSlot(name string) (Slot, error) {
	switch strings.ToLower(name) {
	case "a", "0", "_a", "app", "app_a", "a_app":
		return A, nil
	case "b", "1", "_b", "app_b", "b_app":
		return B, nil
	}
	return None, fail.New(fail.Usage, "cannot name slot %q: the slots are A and B", name)
}

// RootPartition returns the label of a slot's root file system (L4T flash layouts: APP and APP_b).
func (s Slot) RootPartition() string { return Partition(s, "APP") }

// Partition returns the label of one of a slot's partitions on the disk: APP is APP and APP_b, kernel and kernel-dtb
// carry the slot in front (L4T flash layouts since R35). None for a name no slot has.
func Partition(s Slot, name string) string {
	switch {
	case name == "APP" && s == B:
		return "APP_b"
	case name == "APP":
		return "APP"
	case name == "kernel" || name == "kernel-dtb":
		return string(s) + "_" + name
	}
	return ""
}

// PartitionNames are what an image can be written to.
var PartitionNames = []string{"APP", "kernel", "kernel-dtb"}
