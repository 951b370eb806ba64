package virtual

import (
	"encoding/binary"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/formats/guid"
)

// Variable is one UEFI variable, decoded as far as the model knows it.
type Variable struct {
	Name       string `json:"name"`
	Vendor     string `json:"vendor"`
	Attributes uint32 `json:"attributes"`
	Hex        string `json:"hex"`
	Value      string `json:"value"` // in words; "" where the bytes say all
}

// Status is what the hardware really holds, seen past Linux.
type Status struct {
	Module    string               `json:"module"`
	L4T       string               `json:"l4t"` // what it was flashed with
	Active    Slot                 `json:"active"`
	Chains    map[Slot]ChainReport `json:"chains"`
	Scratch   Scratch              `json:"scratch"`
	ESRT      ESRT                 `json:"esrt"`
	Lowest    capsule.Version      `json:"lowest_supported_version"`
	Previous  *uint32              `json:"boot_chain_fw_previous"`
	Boots     uint64               `json:"boots"`
	Variables []Variable           `json:"variables"`
	Capsules  []string             `json:"capsules"`                // files that capsule-on-disk would find
	SMD       *Metadata            `json:"slot_metadata,omitempty"` // JetPack 4 only
}

// Status reads the whole device.
func (o *Orin) Status() (Status, error) {
	s := Status{Module: o.board.Module, L4T: o.board.L4T, Chains: map[Slot]ChainReport{}, Capsules: []string{}}
	var err error
	if s.Active, err = o.activeChain(); err != nil {
		return s, err
	}
	for _, c := range []Slot{A, B} {
		if s.Chains[c], err = o.Chain(c); err != nil {
			return s, err
		}
	}
	if o.board.Cboot {
		if s.SMD, err = o.Metadata(); err != nil {
			return s, err
		}
	} else if s.Scratch, err = o.readScratch(); err != nil {
		return s, err
	}
	st, err := o.readState()
	if err != nil {
		return s, err
	}
	s.ESRT, s.Lowest, s.Previous, s.Boots = ESRT{st.Attempt, st.Status}, st.Lowest, st.Previous, st.Boots
	_, files, err := o.capsules()
	if err != nil {
		return s, err
	}
	s.Capsules = append(s.Capsules, files...)
	if o.board.Cboot {
		s.Variables = []Variable{}
		return s, nil
	}
	s.Variables, err = o.listVariables()
	return s, err
}

func (o *Orin) listVariables() ([]Variable, error) {
	entries, err := os.ReadDir(o.path(efivarsDir))
	if err != nil {
		return nil, fmt.Errorf("cannot list variables: %w", err)
	}
	list := []Variable{}
	for _, e := range entries {
		raw, err := os.ReadFile(o.path(efivarsDir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot read variable %s: %w", e.Name(), err)
		}
		if len(e.Name()) < 38 || len(raw) <= 4 {
			continue
		}
		cut := len(e.Name()) - 37
		v := Variable{
			Name: e.Name()[:cut], Vendor: e.Name()[cut+1:], Attributes: binary.LittleEndian.Uint32(raw), Hex: fmt.Sprintf("%x", raw[4:]),
		}
		v.Value = inWords(v.Name, raw[4:])
		list = append(list, v)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

// inWords decodes the variables of the contract.
func inWords(name string, data []byte) string {
	le := binary.LittleEndian
	switch {
	case strings.HasPrefix(name, "TegraPlatform"):
		return string(data)
	case name == "SystemFwVersions" && len(data) == 8:
		return fmt.Sprintf("A %s, B %s", versionWord(capsule.Version(le.Uint32(data))), versionWord(capsule.Version(le.Uint32(data[4:]))))
	case strings.HasPrefix(name, "OsIndications") && len(data) == 8:
		if le.Uint64(data)&fileCapsule != 0 {
			return "file capsule"
		}
		return "no file capsule"
	case (strings.HasSuffix(name, "Current") || name == nextName) && len(data) == 4:
		return slotWord(le.Uint32(data))
	case strings.HasPrefix(name, "RootfsStatusSlot") && len(data) == 4:
		if le.Uint32(data) == unbootable {
			return "unbootable"
		}
		return "normal"
	case len(data) == 4:
		return fmt.Sprint(le.Uint32(data))
	}
	return ""
}

// PartitionPath returns the file that stands for one partition of a chain in the QSPI flash, by its base name ("mb1").
// Tests damage it; nothing on a device sees it.
func (o *Orin) PartitionPath(s Slot, name string) string { return o.partition(s, name) }

// PARTUUID returns the GUID that the partition table of the disk gives a label.
func (o *Orin) PARTUUID(label string) (guid.GUID, bool) {
	for _, p := range o.board.Disk {
		if p.Label == label {
			return p.UUID, true
		}
	}
	return guid.GUID{}, false
}
