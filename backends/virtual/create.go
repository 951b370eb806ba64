package virtual

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf16"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Redundancy is how the device was flashed: RootfsRedundancyLevel, or no redundancy variables at all.
type Redundancy string

// The three ways. RootfsAB is what ROOTFS_AB=1 gives and the default.
const (
	RootfsAB       Redundancy = "1"
	BootOnly       Redundancy = "0"
	NoVariables    Redundancy = "absent"
	RootfsOnly     Redundancy = "rootfs" // JetPack 4 only: root file systems that switch without the boot chain
	fwClassT234               = "bf0d4599-20d4-414e-b2c5-3595b1cda402"
	fwClassT194               = "be3f5d68-7654-4ed2-838c-2a2faf901a78"
	defaultL4T                = "36.4.0"
	defaultAppSize            = 64 << 20
)

// CreateOptions says what device to make. The zero value is the Orin Nano developer kit with L4T 36.4.0.
type CreateOptions struct {
	Module     string     // DefaultModule if empty
	L4T        string     // version of the firmware in both chains; 36.4.0 if empty
	Redundancy Redundancy // RootfsAB if empty
	AppSize    int64      // bytes of APP and APP_b, a multiple of 512; 64 MiB if 0
	ImageSize  int        // bytes of each firmware image; 4 KiB if 0
	Lowest     string     // lowest version ESRT admits; that of L4T if empty, as meta-tegra's capsules set it
	// Rotate leaves out, on JetPack 4, NVIDIA's nv_update_verifier.service, which tells cboot at each boot that userspace came
	// up: without it, and without a client that does so, cboot changes the slot after two boots.
	Rotate bool
}

// Create makes a device in a folder that is empty or does not exist: flashed, and running from slot A.
func Create(dir string, opts CreateOptions) (*Orin, error) {
	if opts.Module == "" {
		opts.Module = DefaultModule
	}
	if opts.L4T == "" {
		opts.L4T = defaultL4T
	}
	if opts.Redundancy == "" {
		opts.Redundancy = RootfsAB
	}
	if opts.AppSize == 0 {
		opts.AppSize = defaultAppSize
	}
	if opts.ImageSize == 0 {
		opts.ImageSize = defaultImage
	}
	if opts.Lowest == "" {
		opts.Lowest = opts.L4T
	}
	mod, err := lookupModule(opts.Module)
	if err != nil {
		return nil, err
	}
	version, err := capsule.ParseVersion(opts.L4T)
	if err != nil {
		return nil, fail.New(fail.Usage, "%w", err)
	}
	lowest, err := capsule.ParseVersion(opts.Lowest)
	if err != nil {
		return nil, fail.New(fail.Usage, "%w", err)
	}
	if err := mod.allows(opts.Module, version, opts.Redundancy); err != nil {
		return nil, err
	}
	if opts.AppSize < sectorSize || opts.AppSize%sectorSize != 0 {
		return nil, fail.New(fail.Usage, "cannot make partitions of %d bytes: want a multiple of %d", opts.AppSize, sectorSize)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot make virtual Orin %s: %w", dir, err)
	}
	if entries, err := os.ReadDir(abs); err == nil && len(entries) > 0 {
		return nil, fail.New(fail.Unavailable, "cannot make virtual Orin %s: the folder is not empty", dir)
	}
	o := &Orin{dir: abs, board: board{
		Chip: mod.chip, Storage: mod.storage, Cboot: version>>16 == jetPack4, Rotate: opts.Rotate,
		Module: opts.Module, L4T: version.String(), Redundancy: opts.Redundancy,
		Spec: mod.spec, Compat: mod.compat, FwClass: fwClassT234, PMC: pmcDir,
	}}
	if mod.chip == chipT194 {
		o.board.FwClass = fwClassT194
	}
	if version>>16 < 36 {
		o.board.PMC = pmcDirR35
	}
	if o.board.Cboot {
		return o, o.createR32(mod, version, opts)
	}
	for _, step := range []func() error{
		func() error { return o.makeDisk(opts.AppSize) },
		func() error { return o.makeFlash(version, opts.ImageSize) },
		func() error { return o.makeTree(mod) },
		o.makeVariables,
		func() error { return o.start(version, lowest) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// makeFlash fills both chains with the same firmware.
func (o *Orin) makeFlash(version capsule.Version, size int) error {
	for _, s := range []Slot{A, B} {
		for _, p := range o.board.parts() {
			if err := o.write(filepath.Join(qspiDir, s.String(), p.Name), synthetic(p.Name, version, o.board.Spec, size)); err != nil {
				return err
			}
		}
	}
	if o.board.Cboot {
		return nil
	}
	if err := o.write(bctBackupFile, synthetic(backupImage, version, o.board.Spec, size)); err != nil {
		return err
	}
	return o.write(brBCTFile, bctTable(A))
}

// makeVariables sets the stored variables of a fresh unit; each boot adds the volatile ones.
func (o *Orin) makeVariables() error {
	if err := os.MkdirAll(o.path(efivarsDir), 0o755); err != nil {
		return fmt.Errorf("cannot make the variable store: %w", err)
	}
	v := o.variables()
	list := []variable{
		{"TegraPlatformSpec", publicGUID, []byte(o.board.Spec)},
		{"TegraPlatformCompatSpec", publicGUID, []byte(o.board.Compat)},
		{"L4TDefaultBootMode", publicGUID, u32(bootModeDirect)},
		{"BootOrder", globalGUID, u16(1)},
		{"Boot0001", globalGUID, o.loadOption()},
	}
	if o.board.Redundancy != NoVariables {
		list = append(list, variable{rootfsStatus(A), publicGUID, u32(0)}, variable{rootfsStatus(B), publicGUID, u32(0)})
	}
	for _, e := range list {
		if err := v.set(e.name, e.vendor, attrStored, e.data); err != nil {
			return err
		}
	}
	return nil
}

// loadOption is Boot0001: an EFI_LOAD_OPTION whose device path names the ESP by its GUID (UEFI specification 2.10, 3.1.3
// and 10.3.5.1), which is how a client finds the disk that the firmware booted from.
func (o *Orin) loadOption() []byte {
	le := binary.LittleEndian
	var path []byte
	for _, p := range o.board.Disk {
		if p.Label != labelESP {
			continue
		}
		path = le.AppendUint16(append(path, 4, 1), 42) // media, hard drive
		path = le.AppendUint32(path, uint32(p.Number))
		path = le.AppendUint64(path, p.First)
		path = le.AppendUint64(path, p.Count)
		path = append(path, p.UUID[:]...)
		path = append(path, 2, 2) // GPT, signature is a GUID
	}
	file := utf16z(`\EFI\BOOT\BOOTAA64.efi`)
	path = le.AppendUint16(append(path, 4, 4), uint16(4+len(file))) // media, file path
	path = append(path, file...)
	path = append(path, 0x7f, 0xff, 4, 0) // end
	option := le.AppendUint32(nil, 1)     // active
	option = le.AppendUint16(option, uint16(len(path)))
	option = append(option, utf16z("UEFI virtual NVMe disk")...)
	return append(option, path...)
}

func utf16z(s string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// start leaves the device as a running one: booted from A, retries full.
func (o *Orin) start(version, lowest capsule.Version) error {
	raw, err := json.MarshalIndent(o.board, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", boardFile, err)
	}
	if err := o.write(boardFile, append(raw, '\n')); err != nil {
		return err
	}
	st := state{Lowest: lowest}
	if err := o.volatileVariables(A, version); err != nil {
		return err
	}
	if err := o.writeESRT(st, version); err != nil {
		return err
	}
	reg := Scratch{Magic: scratchMagic, Retry: [2]uint32{maxRetry, maxRetry}}
	if err := o.writeScratch(reg); err != nil {
		return err
	}
	_, err = o.startLinux(&st, A, 1)
	return err
}
