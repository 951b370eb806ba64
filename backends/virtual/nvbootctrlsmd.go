package virtual

import (
	"errors"
	"fmt"

	"github.com/tegra-ota/tegra-ota/internal/device"
)

func cutOff(err error) bool { return errors.Is(err, device.ErrPowerCut) }

func (c *bootctl) number(s Slot) int {
	fmt.Fprintln(&c.out, uint32(s))
	return 0
}

// truth is the exit code of a question.
func truth(yes bool) int {
	if yes {
		return 0
	}
	return 1
}

// callSMD is nvbootctrl of R32.
func (c *bootctl) callSMD() int {
	meta, from, err := c.o.loadMetadata()
	if err != nil {
		return c.failed(err)
	}
	chain, root, err := c.o.booted()
	if err != nil {
		return c.failed(err)
	}
	record := meta.Slots[c.slot]
	bootable := record.Priority > 0 && record.Retry > 0
	if c.separate(*meta) {
		chain, bootable = root, meta.RootStatus[c.slot] == 0
	}
	switch c.command {
	case "get-number-slots":
		fmt.Fprintln(&c.out, meta.MaxSlots)
		return 0
	case "get-current-slot":
		return c.number(chain)
	case "get-suffix":
		fmt.Fprintln(&c.out, []string{"_a", "_b"}[c.slot])
		return 0
	case "is-slot-bootable":
		return truth(bootable)
	case "is-slot-marked-successful":
		return truth(record.Successful)
	case "is-unified-enabled":
		switch {
		case meta.has(smdUnified):
			return 0
		case meta.has(smdRootfs):
			return 70
		}
		return 69
	case "is-rootfs-ab-enabled":
		if !meta.has(smdRootfs) {
			return 0
		}
		return 1 + int(root)
	case "dump-slots-info":
		return c.dumpSMD(*meta, chain, root)
	}
	return c.changeSMD(meta, from, chain)
}

// separate says whether the call is about root file systems that switch on their own.
func (c *bootctl) separate(m Metadata) bool {
	return c.rootfs && m.has(smdRootfs) && !m.has(smdUnified)
}

// changeSMD runs the commands that write. The effects on a slot are those of tegra-boot-tools and, for an unbootable slot, of a dump
// in meta-tegra #744; those on root file systems are inferred from cboot.
func (c *bootctl) changeSMD(meta *Metadata, from int, current Slot) int {
	if c.rootfs && !meta.has(smdRootfs) {
		return 0 // nothing to switch; as with RootfsRedundancyLevel unset on Orin (inferred)
	}
	if c.separate(*meta) {
		switch c.command {
		case "set-active-boot-slot":
			meta.Root, meta.RootRetry, meta.RootStatus[c.slot] = uint8(c.slot), rootRetries, 0
		case "mark-boot-successful":
			meta.RootRetry, meta.RootStatus[current] = rootRetries, 0
		case "set-slot-as-unbootable":
			meta.RootStatus[c.slot] = rootFailed
		}
	} else {
		switch c.command {
		case "set-active-boot-slot":
			meta.activate(c.slot)
		case "mark-boot-successful":
			meta.succeed(current)
		case "set-slot-as-unbootable":
			meta.Slots[c.slot] = SlotRecord{}
		}
	}
	if err := c.o.storeThrough(c.m, *meta, from); err != nil {
		return c.failed(err)
	}
	if c.command != "set-slot-as-unbootable" {
		if err := c.o.speakUp(); err != nil {
			return c.failed(err)
		}
	}
	return 0
}

// storeThrough writes slot metadata as a program of Linux does, counted by the machine's fault.
func (o *Orin) storeThrough(m *device.Machine, meta Metadata, from int) error {
	return o.storeMetadata(meta, from, func(name string, write, _ func() error) error {
		return m.Change("write "+name, write)
	})
}

// speakUp clears cboot's counts of kernels that were started in vain. They are in a scratch register, so that a power cut has no
// part in it.
func (o *Orin) speakUp() error {
	st, err := o.readState()
	if err != nil {
		return err
	}
	st.Rotate, st.RootRetry = 0, nil
	return o.writeState(st)
}

func (c *bootctl) dumpSMD(m Metadata, chain, root Slot) int {
	if c.rootfs {
		active := root
		if c.separate(m) && m.Root <= uint8(B) {
			active = Slot(m.Root)
		} else if s, ok := m.next(); ok {
			active = s
		}
		fmt.Fprintf(&c.out, "Current rootfs slot: %s\nActive rootfs slot: %s\nnum_slots: %d\n", root, active, m.MaxSlots)
		if c.opts.Failure == NVMemoryMap {
			return c.memoryMap()
		}
		for i := 0; i < int(m.MaxSlots); i++ {
			retry := m.RootRetry
			if m.RootStatus[i] != 0 {
				retry = 0
			}
			fmt.Fprintf(&c.out, "slot: %d,             retry_count: %d,             status: %s\n", i, retry, statusOf(m.RootStatus[i] != 0))
		}
		return 0
	}
	if c.opts.Dialect != DialectR32Old {
		active, ok := m.next()
		if !ok {
			active = chain
		}
		fmt.Fprintf(&c.out, "Current bootloader slot: %s\nActive bootloader slot: %s\n", chain, active)
	}
	fmt.Fprintf(&c.out, "magic:0x43424e00,             version: %d             features: %d             num_slots: %d\n",
		m.Version, m.Features, m.MaxSlots)
	if c.opts.Failure == NVMemoryMap {
		return c.memoryMap()
	}
	for i := 0; i < int(m.MaxSlots); i++ {
		s := m.Slots[i]
		fmt.Fprintf(&c.out, "slot: %d,             priority: %d,             suffix: _%c,             "+
			"retry_count: %d,             boot_successful: %d\n", i, s.Priority, 'a'+rune(i), s.Retry, 1-truth(s.Successful))
	}
	return 0
}

func (c *bootctl) memoryMap() int {
	fmt.Fprintln(&c.err, "Error: memory map failed")
	return 1
}

func statusOf(unbootable bool) string {
	if unbootable {
		return "unbootable"
	}
	return "normal"
}
