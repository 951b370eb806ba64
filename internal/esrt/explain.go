package esrt

import "fmt"

// Explanation is a last attempt status in words.
type Explanation struct {
	Reason   string
	NextStep string
	// Untouched says that the firmware gives up with this code before it erases anything, so the target chain is as
	// whole as it was.
	Untouched bool
}

const (
	sameAgain  = "install the same firmware again"
	ownCapsule = "build the capsule for this board (TegraPlatformSpec) and install it"
	askVendor  = "keep the serial console's log of the update and report it"
)

// explanations: 1 to 8 are UEFI's (UEFI 2.10 table 23.16), 4096 on FmpDxe's (edk2 FmpDevicePkg LastAttemptStatus.h),
// 6144 on NVIDIA's (edk2-nvidia FmpDeviceLib/TegraFmp.c). Untouched follows the order of TegraFmp.c: CheckImage comes
// first, then the GPT's metadata, then the first write, which erases the head of mb1. 6164 to 6167 belong to the GPT
// step, which is not named as safe, so they stay dirty.
var explanations = map[uint32]Explanation{
	1:    {"the firmware reports an unsuccessful update without a cause", askVendor, false},
	2:    {"the firmware ran out of resources", "free space in the variable store and " + sameAgain, false},
	3:    {"the firmware refused the capsule's version", "install a capsule at or above the lowest supported version", true},
	4:    {"the firmware could not read the capsule's format", "build the capsule again", true},
	5:    {"the firmware refused the capsule's signature", "sign the capsule with the key this device trusts", true},
	6:    {"the device was not on AC power", sameAgain, false},
	7:    {"the battery was too low", "charge it and " + sameAgain, false},
	8:    {"a dependency of the capsule is not met", "install what the capsule depends on first", false},
	4112: {"the capsule's version is below the lowest supported version", "install a capsule at or above the floor that `tegra-bootctl status` shows", true},
	4114: {"the firmware could not authenticate the capsule: it is signed with a key this device does not trust", "sign the capsule with the key this device trusts", true},
	6144: {"the firmware was given a bad image pointer", askVendor, false},
	6145: {"the package header inside the capsule is invalid", "build the capsule again", true},
	6146: {"the package inside the capsule has an unsupported type", "build the capsule as an update package (BUP type 0)", true},
	6147: {"the image table inside the capsule is invalid", "build the capsule again", true},
	6148: {"an image in the capsule is too big for its partition", "build the capsule for this device's flash layout", true},
	6149: {"the package size does not match its content", "build the capsule again", true},
	6150: {"the firmware says it is not updatable", askVendor, true},
	6151: {"an image this board needs is not in the capsule", ownCapsule, true},
	6152: {"mb1 of the target chain could not be invalidated", sameAgain, false},
	6153: {"a single-image update is not supported", "use a complete capsule", false},
	6154: {"an image index is missing", ownCapsule, false},
	6155: {"the running firmware is too old for the capsule's flash layout: it has no partition for one of the images", "install an intermediate release first (35.5.0 before 36.x)", true},
	6156: {"the attributes of a flash partition could not be read", askVendor, true},
	6157: {"the boot configuration table could not be updated", sameAgain, false},
	6158: {"the images could not be written", sameAgain, false},
	6159: {"mb1 could not be written", sameAgain, false},
	6160: {"the images read back differ from those written", sameAgain + "; if it repeats, the flash may be worn out", false},
	6161: {"a single image could not be set", sameAgain, false},
	6162: {"the firmware's own update support did not initialise", "check TegraPlatformSpec and that the firmware's flash layout fits its release", true},
	6163: {"the firmware cancelled the capsule because a slot switch was pending or a BootChainFwStatus was left over", sameAgain + " (tegra-ota clears both before it arms)", true},
	6164: {"the flash's partition metadata could not be updated: the capsule lacks this board's spec or its secondary_gpt", ownCapsule, false},
	6165: {"the flash's partition table read back differs", sameAgain, false},
	6166: {"the flash's partition table could not be invalidated", sameAgain, false},
	6167: {"the flash's partition table could not be written", sameAgain, false},
	6168: {"the target chain could not be marked bad", askVendor, false},
	6169: {"the target chain could not be marked good", askVendor, false},
	6170: {"the backup of the boot configuration table failed", sameAgain, false},
}

// Explain returns a status in words; an unknown one says so.
func Explain(status uint32) Explanation {
	if e, ok := explanations[status]; ok {
		return e
	}
	return Explanation{Reason: fmt.Sprintf("the firmware reports status %d, which this version does not know", status), NextStep: askVendor}
}
