package virtual

import "strings"

// Values of variables that several files use.
const (
	osIndicationsSupported = 0x4f // boot to firmware UI, timestamp revocation, FMP capsule, file capsule (bit 2), platform recovery
	fileCapsule            = 0x04 // EFI_OS_INDICATIONS_FILE_CAPSULE_DELIVERY_SUPPORTED
	bootModeDirect         = 1    // L4TDefaultBootMode (NVIDIAConfiguration.h)
	bootModeRecovery       = 3
	unbootable             = 0xff // RootfsStatusSlotX
)

func rootfsStatus(s Slot) string { return "RootfsStatusSlot" + s.String() }

func contains[T comparable](all []T, one T) bool {
	for _, v := range all {
		if v == one {
			return true
		}
	}
	return false
}

func list[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}
