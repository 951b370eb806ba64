package virtual

import (
	"fmt"
	"os"
	"strconv"

	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// noVariables prints what nvbootctrl prints without efivarfs (meta-tegra #1767).
func (c *bootctl) noVariables() int {
	fmt.Fprintln(&c.err, "Error: read variable BootChainFwCurrent failed!")
	fmt.Fprintln(&c.err, "Error: invalid current bootloader slot: return(-22)")
	return 1
}

// uefiView is what the commands of R35 and later read.
type uefiView struct {
	current, os, active Slot
	level               uint32
	hasLevel            bool
	status              [2]uint32
	reg                 Scratch
}

// view reads the variables and the scratch register; false where there is no efivarfs.
func (c *bootctl) view() (v uefiView, ok bool, err error) {
	vars := c.o.variables()
	words := map[string]uint32{}
	has := map[string]bool{}
	for _, name := range []string{
		"BootChainFwCurrent", "BootChainOsCurrent", nextName, "RootfsRedundancyLevel", rootfsStatus(A), rootfsStatus(B),
	} {
		words[name], has[name], _, err = vars.word(name)
		if err != nil {
			return v, false, err
		}
	}
	if !has["BootChainFwCurrent"] {
		return v, false, nil
	}
	v.current, v.os = Slot(words["BootChainFwCurrent"]&1), Slot(words["BootChainOsCurrent"]&1)
	v.active = v.current
	if has[nextName] {
		v.active = Slot(words[nextName] & 1)
	}
	v.level, v.hasLevel = words["RootfsRedundancyLevel"], has["RootfsRedundancyLevel"]
	v.status = [2]uint32{words[rootfsStatus(A)], words[rootfsStatus(B)]}
	v.reg, err = c.o.readScratch()
	return v, true, err
}

// callUEFI is nvbootctrl of R35 and later.
func (c *bootctl) callUEFI() int {
	v, ok, err := c.view()
	if err != nil {
		return c.failed(err)
	}
	if !ok {
		return c.noVariables()
	}
	switch c.command {
	case "get-number-slots":
		fmt.Fprintln(&c.out, 2)
	case "get-current-slot":
		if c.rootfs {
			return c.number(v.os)
		}
		return c.number(v.current)
	case "is-rootfs-ab-enabled":
		if v.hasLevel && v.level > 0 {
			return 1 + int(v.os)
		}
	case "dump-slots-info":
		return c.dumpUEFI(v)
	case "set-active-boot-slot":
		if c.rootfs && !v.hasLevel {
			return 0 // the silent no-op of a device that was flashed without redundancy
		}
		return c.activateUEFI()
	case "verify":
		return c.verifyUEFI(v)
	case "set-SR-BR": // the choice of a chain in scratch, which the model's BootROM does not look at
	}
	return 0
}

// activateUEFI sets the variables at once, also on AGX Xavier with R35, where the real program leaves files on the ESP.
func (c *bootctl) activateUEFI() int {
	if err := c.dropStatus(); err != nil {
		return c.failed(err)
	}
	err := c.m.Change("write variable "+nextName, func() error {
		return c.o.variables().set(nextName, publicGUID, attrStored, u32(uint32(c.slot)))
	})
	if err != nil {
		return c.failed(err)
	}
	return 0
}

// dropStatus deletes BootChainFwStatus, without which a new request would be refused.
func (c *bootctl) dropStatus() error {
	vars := c.o.variables()
	if _, ok, err := vars.get(statusName, publicGUID); err != nil || !ok {
		return err
	}
	return c.m.Change("delete variable "+statusName, func() error { return vars.remove(statusName, publicGUID) })
}

// verifyUEFI deletes BootChainFwStatus and fills up the retries of the slot that runs.
func (c *bootctl) verifyUEFI(v uefiView) int {
	_, there, err := c.o.variables().get(statusName, publicGUID)
	if err != nil {
		return c.failed(err)
	}
	if !there && (c.opts.Dialect == DialectR36 || c.opts.Dialect == DialectR39) {
		fmt.Fprintf(&c.out, "Info: variable %s is not found.\n", statusName)
	}
	if err := c.dropStatus(); err != nil {
		return c.failed(err)
	}
	if v.reg.Retry[v.current] == maxRetry {
		return 0
	}
	v.reg.Retry[v.current] = maxRetry
	err = c.m.Change("write scratch register SR_RF", func() error { return c.o.writeScratch(v.reg) })
	if err != nil {
		return c.failed(err)
	}
	return 0
}

func (c *bootctl) dumpUEFI(v uefiView) int {
	if c.rootfs {
		fmt.Fprintf(&c.out, "Current rootfs slot: %s\nActive rootfs slot: %s\nnum_slots: 2\n", v.os, v.active)
	} else {
		version, status := c.firmware()
		fmt.Fprintf(&c.out, "Current version: %s\n", version)
		if c.opts.Dialect != DialectR35Early {
			fmt.Fprintf(&c.out, "Capsule update status: %d\n", status)
		}
		fmt.Fprintf(&c.out, "Current bootloader slot: %s\nActive bootloader slot: %s\nnum_slots: 2\n", v.current, v.active)
	}
	if c.opts.Failure == NVMemoryMap {
		return c.memoryMap()
	}
	for _, s := range []Slot{A, B} {
		if c.rootfs {
			fmt.Fprintf(&c.out, "slot: %d,             retry_count: %d,             status: %s\n",
				s, v.reg.Retry[s], statusOf(v.status[s] == unbootable))
			continue
		}
		fmt.Fprintf(&c.out, "slot: %d,             status: %s\n", s, statusOf(v.reg.Failed[s] != 0))
	}
	return 0
}

// firmware is the version of ESRT and the summary of the last capsule: 0 none, 1 done, 2 installed but not what runs, 3 failed
// (tier4/ota-client has these meanings).
func (c *bootctl) firmware() (capsule.Version, int) {
	field := func(name string) capsule.Version {
		raw, err := c.o.readText(esrtDir + "/" + name)
		if err != nil {
			return 0
		}
		n, err := strconv.ParseUint(raw, 0, 32)
		if err != nil {
			return 0
		}
		return capsule.Version(n)
	}
	if _, err := os.Stat(c.o.path(esrtDir)); err != nil {
		return 0, 0
	}
	running, attempt := field("fw_version"), field("last_attempt_version")
	switch {
	case attempt == 0:
		return running, 0
	case field("last_attempt_status") != 0:
		return running, 3
	case attempt != running:
		return running, 2
	}
	return running, 1
}
