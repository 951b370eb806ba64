package backends

import (
	"context"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// Values of RootfsStatusSlotA and RootfsStatusSlotB (edk2-nvidia L4TRootfsValidation.c).
const (
	StatusNormal     uint32 = 0
	StatusUnbootable uint32 = 0xFF
)

// SlotState is what boot control says of one slot. A nil pointer is a value that cannot be read.
type SlotState struct {
	Status   *uint32          // StatusNormal, StatusUnbootable
	Retries  *int             // boots left before the firmware falls back; lost at power-off
	Firmware *capsule.Version // version of the chain's firmware (SystemFwVersions, L4T R36.3 on)
}

// State is one reading of boot control.
type State struct {
	Current     Slot // the chain that runs
	RootCurrent Slot // the root file system the launcher chose; None where it does not say
	Next        Slot // a pending switch; None without one
	// NextPending says that a switch is asked for, even if Next cannot tell to which slot: it would cancel a capsule all the same.
	NextPending bool
	// TrialStatus is BootChainFwStatus, left over from the last switch; nil when absent. Present with any value it
	// makes the firmware drop the next switch and cancel the next capsule (edk2-nvidia BootChainDxe.c).
	TrialStatus *uint32
	// BootNext says that UEFI's one-shot boot entry exists; the firmware cancels a switch then.
	BootNext bool
	// Redundancy is RootfsRedundancyLevel: 0 pins the root file system to A, 1 makes it follow the chain; nil when
	// absent: it follows the chain, and nobody counts retries or falls back.
	Redundancy *uint32
	RetryMax   int // retries after a refill, 3 unless the firmware says otherwise
	// Unmarkable is why no slot can be marked unbootable, nil if it can: the journal's marks then stand alone, and the
	// firmware may fall back into a half-written slot.
	Unmarkable error
	// MarksChains says that status and retries are the chains', as the slot metadata of L4T R32 has them; else they are the root file
	// systems', and pinned ones (Redundancy 0) mean nothing for a switch.
	MarksChains bool
	// Separate says that chain and root file system are selected by two commands, one after the other (L4T R32 without unified
	// redundancy): a power cut between them parts the two.
	Separate bool
	// RetriesWritable says whether retry counts can be set.
	RetriesWritable bool
	Slots           map[Slot]SlotState
	Spec, Compat    string // TegraPlatformSpec and TegraPlatformCompatSpec; "" when absent
}

// Backend controls which slot boots. Every call is idempotent, and every writing call reads back what it wrote. None of
// them reboots.
type Backend interface {
	// Name is what status prints and the configuration selects.
	Name() string
	// Read reads everything; it changes nothing and needs no privilege where the system grants that.
	Read(ctx context.Context) (State, error)
	// Writable says why boot control cannot be changed; nil if it can, as far as that is known without trying. Control
	// asks before it writes anything.
	Writable(ctx context.Context) error
	// MarkBootable gives a slot status 0 and, where they can be written, full retries.
	MarkBootable(ctx context.Context, s Slot) error
	// MarkUnbootable gives a slot status 0xFF and, where they can be written, no retries: 0xFF alone protects nothing
	// after a warm reset, because the launcher then trusts its scratch register.
	MarkUnbootable(ctx context.Context, s Slot) error
	// ClearTrial removes what the firmware left of the last switch (BootChainFwStatus).
	ClearTrial(ctx context.Context) error
	// SetNext asks for a switch at the next boot. It does not clear the trial and does not judge the slot: Control did.
	SetNext(ctx context.Context, s Slot) error
	// CancelNext removes a pending switch.
	CancelNext(ctx context.Context) error
}
