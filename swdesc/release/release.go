// Package release is a release description: one TOML file that says what an update brings, to which boards, and under which
// conditions.
//
// Load reads one and refuses whatever a device would stumble over later; Print writes one; Import makes one from the signed JSON
// manifest of public Jetson guides. What is made of a release is package pack's business.
package release

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/swdesc/firmware"
)

// The types of a component.
const (
	Rootfs    = "rootfs"     // image of the root file system, for the slot that does not run
	Kernel    = "kernel"     // boot image for the slot's kernel partition
	KernelDTB = "kernel-dtb" // device tree for the slot's kernel-dtb partition
	Firmware  = "firmware"   // UEFI capsule or BUP
	File      = "file"       // one file, outside of the slots
	Script    = "script"     // run by SWUpdate
)

// How a component is stored in the update.
const (
	Plain = "none"
	Zstd  = "zstd"
)

// The checks whose errors a release may allow.
const (
	CheckL4TRelease        = "l4t-release"
	CheckKernelModules     = "kernel-modules"
	CheckExtlinuxRoot      = "extlinux-root"
	CheckFirmwareBoards    = firmware.CheckBoards
	CheckFirmwareSignature = firmware.CheckSignature // firmware built without authentication takes an unsigned capsule
	CheckRootfs            = "rootfs"                // the image is of no file system that is known
)

// Allowable are those checks, in the order that messages name them.
var Allowable = []string{
	CheckL4TRelease, CheckKernelModules, CheckExtlinuxRoot, CheckFirmwareBoards, CheckFirmwareSignature, CheckRootfs,
}

// ActivateName is the member that swdesc itself adds to a .swu: the script that makes the other slot boot next.
const ActivateName = "activate"

// Release is a whole description. One that Parse, Load or Import returned keeps all rules and has its defaults filled in.
type Release struct {
	Version        string        `toml:"version" validate:"required,word"`
	Description    string        `toml:"description" validate:"omitempty,description"` // at most 500 bytes
	Name           string        `toml:"name" validate:"required,word"`                // default "release"
	MinimumVersion string        `toml:"minimum_version" validate:"omitempty,dotted"`  // "" takes every system
	Allow          []string      `toml:"allow" validate:"unique,dive,allowable"`       // some of Allowable
	Hardware       Hardware      `toml:"hardware"`
	Running        Running       `toml:"running"`
	Components     []Component   `toml:"component" validate:"required,min=1,max=1000,dive"`
	Preconditions  Preconditions `toml:"preconditions"`
	// Base is the folder that relative names of files start from: that of the TOML file.
	Base string `toml:"-"`
}

// Hardware says which devices the release is for. Each updater compares something else.
type Hardware struct {
	// Boards are what the firmware is checked against: what firmware.ParseBoards takes, such as a module (p3767-0005), a module
	// with its machine (p3767-0005/jetson-orin-nano-devkit), or a full TNSPEC.
	Boards []string `toml:"boards" validate:"max=1000"`
	// Compatible is RAUC's compatible and Mender's device type.
	Compatible string `toml:"compatible" validate:"omitempty,compatible"`
	// Revisions is SWUpdate's hardware-compatibility: literal, or "#RE:^...$" with a POSIX extended regular expression.
	Revisions []string `toml:"revisions" validate:"max=100,unique,dive,revision"`
	// SWUpdateBoard puts everything below software.BOARD, where only devices find it whose /etc/hwrevision names that board.
	SWUpdateBoard string `toml:"swupdate_board" validate:"omitempty,node"`
}

// Running says where a device finds the version it runs: a line KEY=VERSION.
type Running struct {
	File string `toml:"file" validate:"required,devicepath"` // default /etc/os-release
	Key  string `toml:"key" validate:"required,variable"`    // default VERSION_ID
}

// Component is one file of the update.
type Component struct {
	Type string `toml:"type" validate:"required,oneof=rootfs kernel kernel-dtb firmware file script"`
	File string `toml:"file" validate:"required,max=4096,text"` // plain, or compressed with zstd already
	Name string `toml:"name" validate:"omitempty,word"`         // member of the update; see MemberName
	// Partition is the partition's name without a slot: APP, kernel or kernel-dtb by type, "" for the other types.
	Partition   string `toml:"partition" validate:"omitempty,max=64,text"`
	Compression string `toml:"compression" validate:"oneof=none zstd"` // default none
	Stream      *bool  `toml:"stream"`                                 // see Streamed
	Encrypt     bool   `toml:"encrypt"`                                // AES-256-CBC; SWUpdate only
	// InstallIfDifferent leaves out a file whose ComponentVersion the device has already (SWUpdate compares with
	// /etc/sw-versions). For firmware it says what tegra-bup does anyway: skip what the other chain provably holds.
	InstallIfDifferent bool   `toml:"install_if_different"`
	ComponentVersion   string `toml:"component_version" validate:"omitempty,word"`
	// Destination is where a file goes on the device: the whole path, at most 254 bytes.
	Destination string `toml:"path" validate:"omitempty,devicepath"`
	// Script is SWUpdate's type of a script: "shellscript" and "lua" run before and after, the others once; "" for other types.
	Script string `toml:"script" validate:"omitempty,oneof=shellscript lua preinstall postinstall"`
}

// Preconditions are checked on the device before the first byte is written.
type Preconditions struct {
	FreeSpace      []FreeSpace `toml:"free_space" validate:"max=100,unique=Path,dive"`
	BatteryPercent int         `toml:"battery_percent" validate:"min=0,max=100"` // 0 to 100; 0 does not look
	ACPower        bool        `toml:"ac_power"`
	Services       []string    `toml:"services" validate:"max=100,unique,dive,unit"` // systemd units that must be active
}

// FreeSpace is room that a file system must have left.
type FreeSpace struct {
	Path  string `toml:"path" validate:"required,devicepath"` // on the file system that is asked
	Bytes Size   `toml:"bytes" validate:"required,min=1"`
}

// MemberName is the component's name in the update: Name, or the file's own name, with .zst where it is stored compressed and
// without where it is not.
func (c Component) MemberName() string {
	if c.Name != "" {
		return c.Name
	}
	name := strings.TrimSuffix(filepath.Base(c.File), ".zst")
	if c.Compression == Zstd {
		name += ".zst"
	}
	return name
}

// Path is where the component's file lies, for a release whose Base is given.
func (c Component) Path(base string) string {
	if filepath.IsAbs(c.File) {
		return c.File
	}
	return filepath.Join(base, c.File)
}

// ArtifactName is Mender's name of the release: NAME-VERSION.
func (r *Release) ArtifactName() string { return r.Name + "-" + r.Version }

// Streamed says whether the component is written while it arrives. A root file system is by default, because few devices have room
// for a copy; everything else is copied and checked first, if Stream does not say otherwise.
func (c Component) Streamed() bool {
	if c.Stream != nil {
		return *c.Stream
	}
	return c.Type == Rootfs
}

// partition is the only partition of a type that the device's handler writes; "" for types without one.
func partition(kind string) string {
	switch kind {
	case Rootfs:
		return "APP"
	case Kernel, KernelDTB:
		return kind
	}
	return ""
}

// complete fills in defaults.
func (r *Release) complete() {
	fill(&r.Name, "release")
	fill(&r.Running.File, "/etc/os-release")
	fill(&r.Running.Key, "VERSION_ID")
	for i := range r.Components {
		c := &r.Components[i]
		fill(&c.Partition, partition(c.Type))
		fill(&c.Compression, Plain)
		if c.Type == Script {
			fill(&c.Script, "shellscript")
		}
		if c.Stream == nil {
			stream := c.Streamed()
			c.Stream = &stream
		}
	}
}

func fill(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// Size is a number of bytes, written in TOML as "500", "100K", "100M" or "2G" with units of 1024, like SWUpdate's sizes.
type Size int64

var units = []struct {
	letter byte
	bytes  Size
}{{'G', 1 << 30}, {'M', 1 << 20}, {'K', 1 << 10}}

// UnmarshalText reads that form. Zero is refused: it asks for nothing.
func (s *Size) UnmarshalText(text []byte) error {
	factor, digits := Size(1), string(text)
	for _, u := range units {
		if n := len(digits); n > 0 && digits[n-1] == u.letter {
			factor, digits = u.bytes, digits[:n-1]
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 {
		return errors.New("must be a number of bytes above 0, or one with K, M or G behind it")
	}
	if n > (1<<63-1)/uint64(factor) {
		return errors.New("must be less than 8 EiB")
	}
	*s = Size(n) * factor
	return nil
}

// MarshalText writes it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the size in the largest unit that is exact.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + string(u.letter)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
