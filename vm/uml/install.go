package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// The bundles: made by examples/rauc/bundle.sh, and the same with one bit of the root file system's data flipped.
const (
	wholeBundle   = bundles + "/update.raucb"
	damagedBundle = bundles + "/damaged.raucb"
	armedCapsule  = orin + "/boot/efi/EFI/UpdateCapsule/TEGRA_BL.Cap"
	requested     = 1 << 2 // OsIndications: process capsules (UEFI specification 2.10, 8.5.4)
)

func wantService() error {
	if err := startService(); err != nil {
		return err
	}
	_, err := wantCalls("boot-handler get-current")
	return err
}

// wantStatusCalls judges the status call that went before.
func wantStatusCalls() error {
	_, err := wantCalls("boot-handler get-primary", "boot-handler get-state B", "boot-handler get-state A")
	return err
}

// wantVerityBundles asks RAUC, which checks the signature. It covers the root hash and so, through the kernel, the payload:
// to look at a bundle does not tell the damaged one from the other.
func wantVerityBundles() error {
	for _, bundle := range []string{wholeBundle, damagedBundle} {
		out, err := output("rauc", "info", bundle)
		if err != nil {
			return err
		}
		if !regexp.MustCompile(`(?m)^Bundle Format:\s+verity$`).MatchString(out) {
			return fmt.Errorf("%s is no verity bundle: %s", bundle, out)
		}
	}
	return nil
}

// refuseDamaged installs the damaged bundle. The first blocks of the payload are whole, so RAUC gets as far as writing
// the root file system, and the kernel refuses to read on: slot B is torn, and must be unbootable.
func refuseDamaged() error {
	if _, err := takeCalls(); err != nil {
		return err
	}
	out, err := exec.Command("rauc", "install", damagedBundle).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("rauc install: %v, want it to fail: %s", err, out)
	}
	if !bytes.Contains(out, []byte("Input/output error")) {
		return fmt.Errorf("rauc install failed, but not with an input/output error: %s", out)
	}
	if log := kernelLog(); !regexp.MustCompile(`device-mapper: verity: \S+ data block \d+ is corrupted`).MatchString(log) {
		return fmt.Errorf("the kernel found no corrupted block: %s", log)
	}
	calls, err := wantCalls("rauc-pre-install", "boot-handler set-state B bad")
	if err != nil {
		return err
	}
	return errors.Join(wantVerity(calls[0]), wantNothingMapped())
}

// wantNothingArmed: in the variables, not by asking our own code. A capsule would bring B back to life, and so would Next.
func wantNothingArmed() error {
	if _, err := wantCalls("boot-handler get-primary", "boot-handler get-state B", "boot-handler get-state A"); err != nil {
		return err
	}
	if _, err := os.Stat(armedCapsule); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %v, want it absent", armedCapsule, err)
	}
	if err := wantVariables(map[efivarfs.Name]uint64{
		efivarfs.RootfsStatusSlotA: 0, efivarfs.RootfsStatusSlotB: 0xff, efivarfs.BootChainFwNext: absent, efivarfs.OsIndications: absent,
	}); err != nil {
		return err
	}
	return wantSlot(diskA, "running.ext4")
}

// installWhole installs the bundle over the torn slot and judges the calls: their order, and what the kernel said while the
// hook had the capsule before it.
func installWhole() error {
	if out, err := exec.Command("rauc", "install", wholeBundle).CombinedOutput(); err != nil {
		return fmt.Errorf("rauc install: %w: %s", err, out)
	}
	calls, err := wantCalls("rauc-pre-install", "boot-handler set-state B bad", "bup rauc-hook slot-install", "boot-handler set-primary B",
		"rauc-post-install")
	if err != nil {
		return err
	}
	hook := calls[2]
	if slot, bootname := hook.Env["RAUC_SLOT_NAME"], hook.Env["RAUC_SLOT_BOOTNAME"]; slot != "bootloader.1" || bootname != "B" {
		return fmt.Errorf("the hook was called for slot %q, bootname %q", slot, bootname)
	}
	return errors.Join(wantVerity(hook), wantNothingMapped())
}

// wantVerity says whether the bundle was a squashfs on a verity device of the kernel's while a program of ours ran.
func wantVerity(c call) error {
	f := strings.Fields(c.Mount)
	if len(f) < 4 || !strings.HasPrefix(f[0], "/dev/dm-") || f[2] != "squashfs" || !strings.HasPrefix(f[3], "ro,") {
		return fmt.Errorf("the bundle was mounted as %q, want a read-only squashfs on a device of the device-mapper", c.Mount)
	}
	// START LENGTH TARGET, and for verity: VERSION DATA-DEVICE HASH-DEVICE BLOCK-SIZE BLOCK-SIZE BLOCKS START ALGORITHM ROOT SALT
	// (Linux, Documentation/admin-guide/device-mapper/verity.rst). Major 7 are the loop devices.
	if !regexp.MustCompile(`^0 \d+ verity 1 7:\d+ 7:\d+ 4096 4096 \d+ \d+ sha256 [0-9a-f]{64} [0-9a-f]{64}`).MatchString(c.Table) {
		return fmt.Errorf("device %s of the bundle has table %q, want verity on a loop device", c.Device, c.Table)
	}
	return nil
}

// wantNothingMapped: RAUC took everything down again.
func wantNothingMapped() error {
	out, err := output("dmsetup", "ls")
	if err != nil || strings.TrimSpace(out) != "No devices found" {
		return fmt.Errorf("after the installation dmsetup ls says %q (%v)", out, err)
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil || len(loops) > 0 {
		return fmt.Errorf("after the installation there are loop devices: %v (%v)", loops, err)
	}
	return nil
}

// wantArmed compares the capsule on the ESP with that in the bundle, and looks at the request.
func wantArmed() error {
	text, err := os.ReadFile(armedCapsule)
	if err != nil {
		return fmt.Errorf("no capsule is armed: %w", err)
	}
	size, sum, err := known("TEGRA_BL.Cap")
	if err != nil {
		return err
	}
	if got := sha256.Sum256(text); int64(len(text)) != size || hex.EncodeToString(got[:]) != sum {
		return fmt.Errorf("%s has %d bytes and SHA-256 %x, want %d and %s", armedCapsule, len(text), got, size, sum)
	}
	// The capsule itself switches to B; BootChainFwNext beside it would cancel it.
	return wantVariables(map[efivarfs.Name]uint64{
		efivarfs.OsIndications: requested, efivarfs.RootfsStatusSlotA: 0, efivarfs.RootfsStatusSlotB: 0, efivarfs.BootChainFwNext: absent,
	})
}

// absent is the value of a variable that must not be there.
const absent = ^uint64(0)

// wantVariables reads the files by hand: four bytes of attributes, then the number.
func wantVariables(want map[efivarfs.Name]uint64) error {
	for name, value := range want {
		text, err := os.ReadFile(orin + efivarfs.Dir + "/" + name.String())
		got := absent
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case len(text) == 8:
			got = uint64(binary.LittleEndian.Uint32(text[4:]))
		case len(text) == 12:
			got = binary.LittleEndian.Uint64(text[4:])
		default:
			return fmt.Errorf("%s has %d bytes", name.Name, len(text))
		}
		if got != value {
			return fmt.Errorf("%s is %#x, want %#x (all ones: absent)", name.Name, got, value)
		}
	}
	return nil
}

// kernelLog returns the kernel's messages.
func kernelLog() string {
	buffer := make([]byte, 1<<18)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buffer)
	if err != nil {
		return err.Error()
	}
	return string(buffer[:n])
}
