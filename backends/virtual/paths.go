package virtual

// The places of the folder. Those outside qspi are the device's own.
const (
	efivarsDir  = "sys/firmware/efi/efivars"
	esrtDir     = "sys/firmware/efi/esrt/entries/entry0"
	blockDir    = "sys/class/block"
	pmcDir      = "sys/devices/platform/bus@0/c360000.pmc"
	pmcDirR35   = "sys/devices/platform/c360000.pmc" // before the kernels of JetPack 6 moved it below bus@0
	espDir      = "boot/efi"
	capsuleDir  = "boot/efi/EFI/UpdateCapsule"
	launcher    = "boot/efi/EFI/BOOT/BOOTAA64.efi"
	labelDir    = "dev/disk/by-partlabel"
	uuidDir     = "dev/disk/by-partuuid"
	treeDir     = "proc/device-tree"
	bootIDFile  = "proc/sys/kernel/random/boot_id"
	mountsFile  = "proc/self/mountinfo"
	cmdlineFile = "proc/cmdline"
	releaseFile = "etc/nv_tegra_release"
	confFile    = "etc/nv_boot_control.conf"

	qspiDir       = "qspi"
	boardFile     = "qspi/board.json"
	stateFile     = "qspi/uefi_variables.json"
	brBCTFile     = "qspi/BR-BCT"
	bctBackupFile = "qspi/BCT-boot-chain_backup"
)
