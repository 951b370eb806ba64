package efivarfs

import (
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/guid"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Attribute bits of a variable (UEFI specification 2.10, section 8.2). What an operating system creates needs all three: the
// firmware refuses to create a volatile variable at run time.
const (
	NonVolatile = 1
	BootService = 2
	Runtime     = 4
)

// appendWrite turns a write into an append; this package only ever replaces.
const appendWrite = 0x40

// Vendor GUIDs of the variables that tegra-ota touches.
var (
	// Public is NVIDIA's namespace for variables that the operating system may see (edk2-nvidia, Silicon/NVIDIA/NVIDIA.dec).
	Public = guid.MustParse("781e084c-a330-417c-b678-38e696380cb9")
	// Global is the UEFI specification's own namespace (2.10, section 3.3).
	Global = guid.MustParse("8be4df61-93ca-11d2-aa0d-00e098032b8c")
)

// Name identifies a variable.
type Name struct {
	Name string
	GUID guid.GUID
}

// The variables of NVIDIA's firmware, each one u32 unless said otherwise (edk2-nvidia: BootChainDxe.c, L4TLauncher,
// L4TRootfsValidation.c, DefaultVariableDxe.c).
var (
	BootChainFwCurrent      = Name{"BootChainFwCurrent", Public}      // chain that runs: 0 A, 1 B; volatile
	BootChainFwNext         = Name{"BootChainFwNext", Public}         // the switch request
	BootChainFwStatus       = Name{"BootChainFwStatus", Public}       // result of the last switch; the system may only delete it
	BootChainOsCurrent      = Name{"BootChainOsCurrent", Public}      // root file system that L4TLauncher chose; volatile
	RootfsStatusSlotA       = Name{"RootfsStatusSlotA", Public}       // 0 normal, 0xFF unbootable
	RootfsStatusSlotB       = Name{"RootfsStatusSlotB", Public}       // 0 normal, 0xFF unbootable
	RootfsRetryCountMax     = Name{"RootfsRetryCountMax", Public}     // boot attempts per root file system; locked
	RootfsRedundancyLevel   = Name{"RootfsRedundancyLevel", Public}   // 0 firmware only, 1 firmware and root file system; locked
	TegraPlatformSpec       = Name{"TegraPlatformSpec", Public}       // ASCII
	TegraPlatformCompatSpec = Name{"TegraPlatformCompatSpec", Public} // ASCII
	SystemFwVersions        = Name{"SystemFwVersions", Public}        // two u32, of chain A and chain B; since L4T R36.3
)

// The variables of the UEFI specification (2.10, table 3.1).
var (
	OsIndications          = Name{"OsIndications", Global}          // u64; bit 2 asks for capsules from the EFI system partition
	OsIndicationsSupported = Name{"OsIndicationsSupported", Global} // u64
	BootNext               = Name{"BootNext", Global}               // u16
	BootCurrent            = Name{"BootCurrent", Global}            // u16; volatile
)

// BootOption names the load option with a number, as BootCurrent and BootNext give it.
func BootOption(n uint16) Name { return Name{fmt.Sprintf("Boot%04X", n), Global} }

// String returns NAME-GUID, the variable's file name in efivarfs.
func (n Name) String() string { return n.Name + "-" + n.GUID.String() }

// ParseName reads NAME-GUID.
func ParseName(s string) (Name, error) {
	const tail = 37 // a hyphen and the GUID's 36 characters
	if len(s) <= tail || s[len(s)-tail] != '-' {
		return Name{}, fmt.Errorf("cannot parse variable name %q: want NAME-GUID", s)
	}
	g, err := guid.Parse(s[len(s)-tail+1:])
	if err != nil {
		return Name{}, fmt.Errorf("cannot parse variable name %q: %w", s, err)
	}
	return Name{Name: s[:len(s)-tail], GUID: g}, nil
}

// check refuses names that are no file name. All names are ours or come from List, so anything else is a bug.
func (n Name) check() error {
	if n.Name == "" || strings.ContainsAny(n.Name, "/\x00") {
		return fail.New(fail.Internal, "cannot use variable name %q: it is no file name", n.Name)
	}
	return nil
}
