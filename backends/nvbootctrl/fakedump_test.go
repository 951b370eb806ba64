package nvbootctrl_test

import (
	"fmt"
	"strings"
)

// dump is what dump-slots-info prints.
func (f *fake) dump(view string) string {
	letter := func(i int) string { return string("AB"[i]) }
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if f.smd() {
		if f.dialect == "r32" {
			active := f.next()
			if view == "rootfs" {
				active = f.root
			}
			if active < 0 {
				active = f.current
			}
			line("Current %s slot: %s", view, letter(f.current))
			line("Active %s slot: %s", view, letter(active))
		}
		line("magic:0x43424e00,             version: 3             features: 3             num_slots: 2")
		for i, s := range f.slots {
			successful := 0
			if s.successful {
				successful = 1
			}
			line("slot: %d,             priority: %d,             suffix: _%s,             retry_count: %d,             boot_successful: %d",
				i, s.priority, strings.ToLower(letter(i)), s.retry, successful)
		}
		return b.String()
	}
	if view == "bootloader" {
		line("Current version: %s", f.version)
		if f.dialect != "r35-early" {
			line("Capsule update status: 0")
		}
	}
	line("Current %s slot: %s\nActive %s slot: %s\nnum_slots: 2", view, letter(f.current), view, letter(f.active))
	for i, s := range f.slots {
		if view == "rootfs" {
			line("slot: %d,             retry_count: %d,             status: %s", i, s.retry, s.status)
		} else {
			line("slot: %d,             status: normal", i)
		}
	}
	return b.String()
}
