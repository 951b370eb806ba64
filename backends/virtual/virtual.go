// Package virtual is the firmware's side of the contract between an update client and a Jetson Orin (T234): a model of what
// BootROM, UEFI and L4TLauncher do between two boots, working on a folder that holds the same paths as the device.
//
// The folder is the device: UEFI variables, ESRT, the PMC scratch register as Linux shows it, the ESP, a disk with a GPT, and,
// where Linux does not see them, the two boot chains in the QSPI flash (qspi/A, qspi/B), the BR-BCT that names the active one
// (qspi/BR-BCT) and the firmware's private variables (qspi/uefi_variables.json).
//
// The behaviour follows edk2-nvidia: BootChainDxe.c (switching chains), L4TRootfsValidation.c (retries and fall-back),
// TegraFmp.c (capsules), FmpVersionLibPartition.c (versions) and T234ResourceConfig.c (scratch registers). Where those
// sources are silent the comment at the place says what was chosen. The package shares no code with the clients that it
// judges: it has its own variable store and its own partition table.
//
// JetPack 4 (T186 and T194 with L4T R32) has MB1 and cboot in place of UEFI, and slot metadata in the partitions SMD and SMD_b
// in place of variables; there the behaviour follows tegrabl_a_b_boot_control.c of NVIDIA's cboot sources (R32.7). NVIDIA's
// closed programs nvbootctrl and nv_update_engine have stand-ins (RunNVBootctrl, RunUpdateEngine).
//
// What is not modelled: the capsule's signer (damaged content is refused, no certificate is judged), the content of a root
// file system (whatever lies in the slot's partition "boots"), and time.
package virtual

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Slot is one half of the device: a boot chain and a root file system.
type Slot uint32

// The two slots; the values are those of BootChainFwCurrent and its kin.
const (
	A Slot = 0
	B Slot = 1
)

// String returns "A" or "B".
func (s Slot) String() string {
	if s == A {
		return "A"
	}
	return "B"
}

// MarshalText prints the letter.
func (s Slot) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Other returns the slot that s is not.
func (s Slot) Other() Slot { return 1 - s&1 }

// board is what was decided when the device was made and flashed; nothing changes it afterwards.
type board struct {
	Chip       string     `json:"chip"`
	Cboot      bool       `json:"cboot"` // JetPack 4: MB1 and cboot with slot metadata, no UEFI
	Rotate     bool       `json:"rotate"`
	Storage    string     `json:"storage"` // "nvme0n1" or "mmcblk0"
	Module     string     `json:"module"`
	L4T        string     `json:"l4t"`
	Redundancy Redundancy `json:"redundancy"`
	Spec       string     `json:"spec"`
	Compat     string     `json:"compat"`
	FwClass    string     `json:"fw_class"`
	PMC        string     `json:"pmc"`
	Disk       []gptPart  `json:"disk"`
}

// Orin is one virtual device.
type Orin struct {
	dir   string
	board board
}

// Dir returns the folder, absolute: what a client takes as its root prefix.
func (o *Orin) Dir() string { return o.dir }

// Open returns the device that Create made in a folder.
func Open(dir string) (*Orin, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open virtual Orin %s: %w", dir, err)
	}
	o := &Orin{dir: abs}
	raw, err := os.ReadFile(o.path(boardFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail.New(fail.Unavailable, "cannot open virtual Orin %s: %w", dir, err).
			Then("make one with virtual-orin create")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open virtual Orin %s: %w", dir, err)
	}
	if err := json.Unmarshal(raw, &o.board); err != nil {
		return nil, fail.New(fail.Data, "cannot read %s: %w", o.path(boardFile), err)
	}
	if o.board.Chip == "" { // made by an older version, which knew no other
		o.board.Chip, o.board.Storage = chipT234, storageNVMe
	}
	return o, nil
}

func (o *Orin) path(elem ...string) string {
	return filepath.Join(append([]string{o.dir}, elem...)...)
}

// write makes or replaces one file of the folder.
func (o *Orin) write(path string, data []byte) error {
	full := o.path(path)
	err := writeFile(full, data)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
		err = writeFile(full, data)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// writeFile replaces a file's content in place, and not at all where it has that content already: sweeps boot ten-thousands
// of times, and truncating a file to nothing makes file systems flush. No fsync: a power cut is part of the model, not
// something that happens to the host.
func writeFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	old := make([]byte, len(data)+1)
	n, err := f.ReadAt(old, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n == len(data) && bytes.Equal(old[:n], data) {
		return nil
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	if n > len(data) {
		if err := f.Truncate(int64(len(data))); err != nil {
			return err
		}
	}
	return f.Close()
}
