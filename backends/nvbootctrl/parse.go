package nvbootctrl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Words of a slot's status in the dialects of R35 and later.
const (
	StatusNormal     = "normal"
	StatusUnbootable = "unbootable"
)

// SlotDump is what dump-slots-info says of one slot. A nil pointer is a key that the dialect does not print.
type SlotDump struct {
	Priority   *int    // R32: 0 to 15, the highest bootable one boots; 0 unbootable
	Retry      *int    // boots left: of the chain on R32 (at most 7), of the root file system on R35 and later (at most 3)
	Successful *bool   // R32: a boot was confirmed since the slot was selected
	Status     *string // R35 and later: StatusNormal or StatusUnbootable
	Suffix     string  // R32: "_a", "_b"
}

// Dump is what dump-slots-info prints, in any dialect from R32 to R39 and of either view.
type Dump struct {
	Magic         *uint32 // R32: the slot metadata's (0x43424e00); its presence tells the dialect of R32
	Features      *int    // R32: what the slot metadata makes redundant (smd.Flags)
	Version       string  // R35 and later: the firmware's release, "36.4.0"; "0.0.0" where it knows none
	CapsuleStatus *int    // late R35 on: 0 none, 1 success, 2 the new firmware did not boot, 3 failed; reported to be unreliable
	Current       backends.Slot
	Active        backends.Slot // boots next; None, as Current, in the dialect of early R32
	Slots         [2]SlotDump
}

// keys that a slot's record may have, and which of them Dump keeps.
const (
	keyPriority = 1 << iota
	keyRetry
	keySuccessful
	keyStatus
	keySuffix
)

var slotKeys = map[string]int{
	"priority": keyPriority, "retry_count": keyRetry, "boot_successful": keySuccessful, "status": keyStatus, "suffix": keySuffix,
}

// Parse reads what dump-slots-info printed: fields of key and value, divided by commas and line ends, with any number of
// blanks. Keys it does not know and lines that begin with Error: or Info: are passed over. A dump that lacks what its
// dialect has is an error that says what is missing, because the program also ends half-way (meta-tegra 1832).
func Parse(text string) (Dump, error) {
	p := parser{slot: -1, slots: -1}
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if word, _, _ := strings.Cut(strings.ToLower(line), ":"); word == "error" || word == "info" || word == "warning" {
			continue
		}
		for _, field := range strings.Split(line, ",") {
			key, value, ok := strings.Cut(field, ":")
			if !ok {
				continue
			}
			key = strings.Join(strings.Fields(strings.ToLower(key)), " ")
			if err := p.field(key, strings.TrimSpace(value)); err != nil {
				return Dump{}, fail.New(fail.Unavailable, "cannot understand the slots that nvbootctrl lists: %w", err)
			}
		}
	}
	if p.slots == 1 {
		return Dump{}, fail.New(fail.Unavailable, "cannot use the slots: nvbootctrl lists one slot, redundancy is off in the slot metadata").
			Then("enable it: nv_update_engine --enable-ab")
	}
	if err := p.complete(); err != nil {
		return Dump{}, fail.New(fail.Unavailable, "cannot understand the slots that nvbootctrl lists: %w", err)
	}
	return p.Dump, nil
}

type parser struct {
	Dump
	slot  int // whose record is being read; -1 before the first
	slots int // num_slots; -1 before it
	seen  [2]bool
	keys  [2]int
}

func (p *parser) field(key, value string) (err error) {
	switch key {
	case "magic":
		n, err := strconv.ParseUint(value, 0, 32)
		if err != nil {
			return wrong(key, value)
		}
		magic := uint32(n)
		p.Magic = &magic
	case "current version":
		p.Version = value
	case "capsule update status":
		p.CapsuleStatus, err = number(key, value)
	case "version": // R32 divides the rest of its first line by blanks
		if _, n, ok := strings.Cut(value, "features:"); ok {
			if words := strings.Fields(n); len(words) > 0 {
				if p.Features, err = number("features", words[0]); err != nil {
					return err
				}
			}
		}
		if _, n, ok := strings.Cut(value, "num_slots:"); ok {
			return p.field("num_slots", strings.TrimSpace(n))
		}
	case "features":
		p.Features, err = number(key, value)
	case "num_slots":
		n, err := number(key, value)
		if err != nil {
			return err
		}
		p.slots = *n
	case "current bootloader slot", "current rootfs slot":
		p.Current, err = slotOf(key, value)
	case "active bootloader slot", "active rootfs slot":
		p.Active, err = slotOf(key, value)
	case "slot":
		s, err := slotOf(key, value)
		if err != nil {
			return err
		}
		p.slot = int(s.Index())
		if p.seen[p.slot] {
			return fmt.Errorf("slot %s is listed twice", s)
		}
		p.seen[p.slot] = true
	default:
		return p.slotField(key, value)
	}
	return err
}

// slotField reads a key of a slot's record. Before the first record such a key is one of the head, unknown.
func (p *parser) slotField(key, value string) (err error) {
	if slotKeys[key] == 0 || p.slot < 0 {
		return nil
	}
	s := &p.Slots[p.slot]
	switch key {
	case "priority":
		s.Priority, err = number(key, value)
	case "retry_count":
		s.Retry, err = number(key, value)
	case "boot_successful":
		var n *int
		if n, err = number(key, value); err == nil {
			yes := *n != 0
			s.Successful = &yes
		}
	case "suffix":
		s.Suffix = value
	case "status":
		word := strings.ToLower(value)
		if word != StatusNormal && word != StatusUnbootable {
			return wrong(key, value)
		}
		s.Status = &word
	}
	p.keys[p.slot] |= slotKeys[key]
	return err
}

// complete says what a dump lacks.
func (p *parser) complete() error {
	if p.slots >= 0 && p.slots != 2 {
		return fmt.Errorf("it has %d slots, not 2", p.slots)
	}
	for i, s := range backends.Slots {
		if !p.seen[i] {
			return fmt.Errorf("slot %s is missing", s)
		}
	}
	current, active := p.Current != backends.None, p.Active != backends.None
	if p.Magic == nil && !(current && active) || current != active {
		return fmt.Errorf("the line of the current or of the active slot is missing")
	}
	need := keyStatus
	if p.Magic != nil {
		need = keyPriority | keyRetry | keySuccessful
	} else if p.keys[0]&keyStatus == 0 {
		need = keyRetry
	}
	// What one slot has, the other has; so the last line is known to be whole.
	need |= p.keys[0] | p.keys[1]
	for i, s := range backends.Slots {
		for _, key := range []string{"priority", "suffix", "retry_count", "boot_successful", "status"} {
			if need&^p.keys[i]&slotKeys[key] != 0 {
				return fmt.Errorf("%s of slot %s is missing", key, s)
			}
		}
	}
	return nil
}

func number(key, value string) (*int, error) {
	n, err := strconv.ParseInt(value, 0, 32)
	if err != nil || n < 0 {
		return nil, wrong(key, value)
	}
	v := int(n)
	return &v, nil
}

// slotOf reads a slot as a letter or a number, as dialects vary.
func slotOf(key, value string) (backends.Slot, error) {
	if s := letter(value); s != backends.None {
		return s, nil
	}
	return backends.None, wrong(key, value)
}

func letter(value string) backends.Slot {
	switch strings.ToUpper(value) {
	case "A", "0":
		return backends.A
	case "B", "1":
		return backends.B
	}
	return backends.None
}

// parseSlot reads the one number, or letter, that get-current-slot prints, among lines of other kinds.
func parseSlot(text string) (backends.Slot, error) {
	found := backends.None
	for _, line := range strings.Split(text, "\n") {
		s := letter(strings.TrimSpace(line))
		if s == backends.None {
			continue
		}
		if found != backends.None && found != s {
			return backends.None, fail.New(fail.Unavailable, "cannot tell the running slot: nvbootctrl names both")
		}
		found = s
	}
	if found == backends.None {
		return backends.None, fail.New(fail.Unavailable, "cannot tell the running slot: nvbootctrl prints %q", clip(text))
	}
	return found, nil
}

func wrong(key, value string) error { return fmt.Errorf("%s is %q", key, clip(value)) }

// clip keeps a message readable whatever the program prints.
func clip(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 200 {
		return text[:200] + "..."
	}
	return text
}
