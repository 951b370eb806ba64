package virtual

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// createR32 makes a JetPack 4 device: the same disk without ESP, slot metadata in place of variables, no ESRT.
func (o *Orin) createR32(mod module, version capsule.Version, opts CreateOptions) error {
	const bootDevice = "mmcblk0p1" // the last field of R32's specs; UEFI's have none
	o.board.FwClass, o.board.PMC = "", ""
	o.board.Spec += bootDevice
	o.board.Compat += bootDevice
	for _, step := range []func() error{
		func() error { return o.makeDisk(opts.AppSize) },
		func() error { return o.makeFlash(version, opts.ImageSize) },
		func() error { return o.makeTree(mod) },
		func() error { return o.makeMetadata(version) },
		func() error { return o.startR32Device(version) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// makeMetadata is what flashing writes. Version 3 is seen with R32.3 and 5 belongs to unified A/B (tegra-boot-tools); that 4 is
// R32.4 and R32.5 is inferred.
func (o *Orin) makeMetadata(version capsule.Version) error {
	full := SlotRecord{Priority: slotPriority, Retry: slotRetries, Successful: true}
	second := full
	second.Priority--
	m := Metadata{Version: 3, Features: smdBootloader | smdUser, MaxSlots: 2, Slots: [2]SlotRecord{full, second}, RootRetry: rootRetries}
	if version >= extensionSince {
		m.Version = 4
	}
	unified := version >= unifiedSince
	if unified {
		m.Version = 5
	}
	switch o.board.Redundancy {
	case BootOnly:
		m.Features = smdBootloader
	case NoVariables:
		m.Features, m.MaxSlots, m.Slots[1] = 0, 1, SlotRecord{}
	case RootfsOnly:
		m.Features = smdBootloader | smdRootfs
	default:
		if unified {
			m.Features |= smdRootfs | smdUnified
		}
	}
	return o.storeMetadata(m, 0, func(_ string, write, _ func() error) error { return write() })
}

// startR32Device leaves the device as a running one.
func (o *Orin) startR32Device(version capsule.Version) error {
	raw, err := json.MarshalIndent(o.board, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", boardFile, err)
	}
	if err := o.write(boardFile, append(raw, '\n')); err != nil {
		return err
	}
	st := state{Lowest: version}
	_, err = o.startLinuxR32(&st, A, A)
	return err
}

// startLinuxR32 writes what a kernel shows of itself that cboot started: boot.slot_suffix names the chain, root= the root file
// system.
func (o *Orin) startLinuxR32(st *state, chain, root Slot) (string, error) {
	st.Boots++
	if err := o.writeState(*st); err != nil {
		return "", err
	}
	id := uuidOf("boot", o.board.Module, fmt.Sprint(st.Boots)).String()
	suffix := ""
	if chain == B {
		suffix = "_b"
	}
	for _, f := range []struct{ path, text string }{
		{bootIDFile, id + "\n"},
		{cmdlineFile, fmt.Sprintf("root=PARTUUID=%s rw rootwait rootfstype=ext4 console=ttyTCU0,115200n8 "+
			"boot.slot_suffix=%s boot.ratchetvalues=0.4.2\n", o.board.Disk[root].UUID, suffix)},
		{mountsFile, o.mountinfo(root)},
	} {
		if err := o.write(f.path, []byte(f.text)); err != nil {
			return "", err
		}
	}
	return id, nil
}

// release is /etc/nv_tegra_release.
func (b board) release() string {
	major, rest, _ := strings.Cut(b.L4T, ".")
	return fmt.Sprintf("# R%s (release), REVISION: %s, GCID: 36942625, BOARD: %sref, EABI: aarch64, DATE: Fri Jun 14 00:00:00 UTC 2024\n",
		major, rest, "t186") // t186ref also on T194
}

// booted reads back which chain and which root file system run, as NVIDIA's programs do.
func (o *Orin) booted() (chain, root Slot, err error) {
	line, err := o.readText(cmdlineFile)
	if err != nil {
		return A, A, fmt.Errorf("cannot read the kernel command line: %w", err)
	}
	for _, arg := range strings.Fields(line) {
		if arg == "boot.slot_suffix=_b" {
			chain = B
		}
		if arg == "root=PARTUUID="+o.board.Disk[B].UUID.String() {
			root = B
		}
	}
	return chain, root, nil
}

// JetPack4 says whether it is a device with slot metadata in place of UEFI.
func (o *Orin) JetPack4() bool { return o.board.Cboot }
