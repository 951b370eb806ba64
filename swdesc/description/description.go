// Package description is sw-description as SWUpdate understands it: a typed model, read from and printed to libconfig or JSON.
//
// The model has every attribute that SWUpdate 2022.12 to 2026.05 reads (parser/parser.c), and keeps what SWUpdate silently
// ignores apart, in Unknown, so that a typo can be reported and nothing is lost when a description is printed again.
package description

import "github.com/tegra-ota/tegra-ota/swdesc/syntax"

// Description is a whole sw-description.
type Description struct {
	Software Node
	// Unknown are settings beside "software": SWUpdate reads them only where a link leads there.
	Unknown []syntax.Setting
}

// Node is the root "software", or a board, selection or mode below it: SWUpdate looks for each setting in
// software.BOARD.SET.MODE, software.SET.MODE, software.BOARD and software, and takes the first it finds. So a list that is
// present and empty hides the ones of nodes above it: it is empty here, and nil where the setting is absent.
type Node struct {
	Version               string
	Description           string
	HardwareCompatibility []string // revisions, literal or "#RE:" and a POSIX regular expression; nil if the setting is absent
	Reboot                Switch   // since 2023.12
	UpdateType            string   // since 2025.12
	NamespaceForVars      string   // since 2023.12
	TransactionMarker     Switch   // bootloader_transaction_marker
	StateMarker           Switch   // bootloader_state_marker
	Output                string
	EmbeddedScript        string // Lua
	Ref                   string // this node is a link: "#./PATH", "#../PATH" or "#PATH", see Link

	Partitions, Images, Files, Scripts []Artifact
	BootEnv                            []Variable
	UBoot                              bool       // BootEnv is written as "uboot", which SWUpdate reads only where no node has "bootenv"
	Vars                               []Variable // since 2023.12

	Links    []Link  // settings that are links, for example images: { ref = "#./common"; } or version: { ref = "#./one"; }
	Lists    []List  // lists of other names that links lead to
	Children []Child // other groups, in order: boards, selections, modes
	// Unknown are settings that SWUpdate ignores, or reads only because a link leads there.
	Unknown  []syntax.Setting
	Position syntax.Position
}

// Link is a setting of a Node that stands elsewhere. Its path starts at the setting's own node ("#./"), at one above ("#../")
// or at the file's root ("#"); its names are those of the file, other links on the way are not followed (core/parsing_library.c).
type Link struct {
	Name, Ref string
	Unknown   []syntax.Setting
	Position  syntax.Position
}

// List is a list that SWUpdate reads only through links: of artifacts, or of variables where a list of those links here.
type List struct {
	Name      string
	Artifacts []Artifact
	Variables []Variable
	Position  syntax.Position
}

// Child is a node below another.
type Child struct {
	Name string
	Node Node
}

// Switch is a setting that is on, off, or left to SWUpdate's default.
type Switch string

// The positions of a Switch.
const (
	Default Switch = ""
	On      Switch = "on"
	Off     Switch = "off"
)

// Artifact is an entry of images, files, scripts or partitions. SWUpdate reads the same attributes in all four.
type Artifact struct {
	Filename   string // name of the member in the .swu
	Type       string // handler; "" is ubivol or raw (images), rawfile (files), lua (scripts), ubipartition (partitions)
	Name       string // of a component, or of a volume (partitions)
	Version    string
	Path       string
	Volume     string
	Device     string
	MTDName    string
	Filesystem string
	Data       string
	Size       int64  // bytes, as stored (images, files, scripts) or of the partition; 0 if absent
	Offset     string // bytes, in decimal, or with a base or suffix of SWUpdate's ustrtoull ("0x1000", "4K", "1MiB"); "" if absent
	SHA256     string // of the stored bytes, 64 hexadecimal digits; or whatever stands there
	Compressed string // "", "zlib", "zstd", since 2025.12 "xz", since 2026.05 "lz4"; or whatever stands there
	Encrypted  string // "", "aes-cbc" (written as true), or another cipher's name (since 2025.12)
	IVT        string
	AESKey     string

	InstalledDirectly  bool
	PreserveAttributes bool
	InstallIfDifferent bool
	InstallIfHigher    bool

	Hook        string // function of EmbeddedScript, run when the description is parsed
	PreInstall  string // since 2026.05
	PostInstall string
	Ref         string // this entry is a link to another list

	Properties        []Property
	UnknownProperties []syntax.Setting // properties with values that SWUpdate drops
	Unknown           []syntax.Setting
	Position          syntax.Position
}

// Property is a handler's own attribute: one value, or a list.
type Property struct {
	Name   string
	Values []string // at least one
	List   bool     // written as a list
}

// Variable is an entry of bootenv or vars. An empty value unsets it.
type Variable struct {
	Name, Value, Hook, Ref string
	Unknown                []syntax.Setting
	Position               syntax.Position
}

// Property returns the first value of a property, and whether there is one.
func (a Artifact) Property(name string) (string, bool) {
	for _, p := range a.Properties {
		if p.Name == name && len(p.Values) > 0 {
			return p.Values[0], true
		}
	}
	return "", false
}
