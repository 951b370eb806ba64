package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
)

// boots is the story: the checks of each boot, from 1. Slot A runs version 1.0.0 and firmware 36.4.0, the bundles bring 1.1.0
// with 36.4.3.
var boots = [][]check{
	{
		{"slot A is the root file system", func() error { return wantRoot(diskA, "1.0.0") }},
		{"tegra-boot-verify has nothing to judge", func() error { return wantUnits("A runs firmware 36.4.0, A boots next, update idle") }},
		{"RAUC starts, knows the running slot, and asks nothing else", wantService},
		{"RAUC tells the truth about a fresh device", func() error {
			return wantStatus(truth{"A", "rootfs.0", "booted good", "inactive good", "inactive"})
		}},
		{"rauc status asked what it asks in the golden trace", wantStatusCalls},
		{"both bundles are verity bundles with a valid signature", wantVerityBundles},
		{"a bundle with one flipped bit of payload is refused by the kernel", refuseDamaged},
		{"after that slot A stays primary and B is not bootable", func() error {
			return wantStatus(truth{"A", "rootfs.0", "booted good", "inactive bad update", "inactive"})
		}},
		{"the firmware was asked for nothing, and slot A is untouched", wantNothingArmed},
		{"the whole bundle is installed through dm-verity", installWhole},
		{"slot B was written and reads back equal", func() error { return wantSlot(diskB, "rootfs.ext4") }},
		{"the capsule is armed", wantArmed},
		{"RAUC tells the truth before the reboot", func() error {
			return wantStatus(truth{"A", "rootfs.1", "booted good", "inactive good ok 1.1.0", "inactive ok 1.1.0"})
		}},
		{"slot A is untouched", func() error { return wantSlot(diskA, "running.ext4") }},
	},
	{
		{"slot B is the root file system, and it is what RAUC wrote", func() error { return wantRoot(diskB, "1.1.0") }},
		{"tegra-boot-verify commits the update", func() error { return wantUnits("B runs firmware 36.4.3, B boots next, update committed") }},
		{"RAUC starts and knows the running slot", wantService},
		{"rauc status mark-good, as our unit runs it", markGood},
		{"RAUC tells the truth after the reboot", func() error {
			return wantStatus(truth{"B", "rootfs.1", "inactive good", "booted good ok 1.1.0", "active ok 1.1.0"})
		}},
		{"the firmware runs the new version, and asks for nothing more", wantUpdated},
		{"slot A is untouched", func() error { return wantSlot(diskA, "running.ext4") }},
	},
}

// wantRoot looks at what the kernel mounted, which the virtual firmware chose.
func wantRoot(disk, version string) error {
	var root, node unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return err
	}
	if err := unix.Stat(disk, &node); err != nil {
		return err
	}
	if root.Dev != node.Rdev {
		return fmt.Errorf("the root file system is on device %#x, want %s (%#x)", root.Dev, disk, node.Rdev)
	}
	text, err := os.ReadFile("/etc/version")
	if got := strings.TrimSpace(string(text)); err == nil && got != version {
		return fmt.Errorf("the root file system is version %s, want %s", got, version)
	}
	return err
}

// wantSlot compares a slot's device with the image that the host made: by size and SHA-256, which stand beside the bundles. It
// is read past the kernel's cache (open(2), O_DIRECT): what was written must have arrived, and a mounted ext4 keeps a changed copy
// of its superblock in there even if it is read-only.
func wantSlot(disk, image string) error {
	size, sum, err := known(image)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	// A mapping is aligned to pages, as O_DIRECT wants it.
	buffer, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	h := sha256.New()
	// Nothing but a Reader: with more than that CopyBuffer would not use the buffer.
	n, err := io.CopyBuffer(h, struct{ io.Reader }{io.LimitReader(f, size)}, buffer)
	if err != nil || n != size {
		return fmt.Errorf("cannot read %s: %d bytes of %d, %v", disk, n, size, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s holds %s, want %s: %s", disk, got, image, sum)
	}
	return unix.Munmap(buffer)
}

// known looks a file up in the list that the host wrote: NAME SIZE SHA256.
func known(name string) (size int64, sum string, err error) {
	list, err := os.ReadFile(bundles + "/list")
	if err != nil {
		return 0, "", err
	}
	for _, line := range strings.Split(string(list), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			size, err = strconv.ParseInt(f[1], 10, 64)
			return size, f[2], err
		}
	}
	return 0, "", errors.New(bundles + "/list lacks " + name)
}

const markGoodUnit = "/usr/lib/systemd/system/tegra-rauc-mark-good.service"

// deviceStatus is the part of tegra-bootctl status --json that says where the update stands.
type deviceStatus struct {
	Current string `json:"current"`
	Next    string `json:"next"`
	Slots   map[string]struct {
		Bootable bool   `json:"bootable"`
		Firmware string `json:"firmware"`
	} `json:"slots"`
	Update struct {
		State string `json:"state"`
	} `json:"update"`
}

// wantUnits runs what the two units of init/systemd run at each boot, and looks where the update stands then.
func wantUnits(want string) error {
	for _, verb := range []string{"count", "run"} {
		if _, err := output(libexec+"/tegra-boot-verify", verb); err != nil {
			return err
		}
	}
	out, err := output(libexec+"/tegra-bootctl", "status", "--json")
	if err != nil {
		return err
	}
	var s deviceStatus
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return err
	}
	got := fmt.Sprintf("%s runs firmware %s, %s boots next, update %s", s.Current, s.Slots[s.Current].Firmware, s.Next, s.Update.State)
	if d := cmp.Diff(want, got); d != "" {
		return fmt.Errorf("tegra-bootctl status (-want +got):\n%s%s", d, out)
	}
	return nil
}

// markGood runs what our unit runs once the commit is done.
func markGood() error {
	line, err := execStart(markGoodUnit)
	if err != nil {
		return err
	}
	if _, err := output("sh", "-c", line); err != nil {
		return err
	}
	_, err = wantCalls("boot-handler get-primary", "boot-handler get-state B", "boot-handler get-state A", "boot-handler set-state B good")
	return err
}

func wantUpdated() error {
	return wantVariables(map[efivarfs.Name]uint64{
		efivarfs.BootChainFwCurrent: 1, efivarfs.BootChainOsCurrent: 1, efivarfs.RootfsStatusSlotA: 0, efivarfs.RootfsStatusSlotB: 0,
		efivarfs.BootChainFwNext: absent, efivarfs.BootChainFwStatus: absent,
	})
}
