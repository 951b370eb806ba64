package dbusapi

import (
	"reflect"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/formats/capsule"
)

// values are the properties of one object, by name.
type values map[string]dbus.Variant

// snapshot is everything that clients can read, at one moment. It is never changed.
type snapshot struct {
	manager values
	slots   map[backends.Slot]values
}

// progress is install.Progress as (isi).
type progress install.Progress

// text is a string as a value. D-Bus takes valid UTF-8 without zeros and nothing else, and a message with something else in it is
// not sent at all: the name of a file, or an updater's, must not silence us.
func text(s string) dbus.Variant { return dbus.MakeVariant(valid(s)) }

func valid(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// unknownRetries stands for a count that cannot be read.
const unknownRetries int32 = -1

func newSnapshot(state observe.State, version string) snapshot {
	s := snapshot{manager: managerValues(state, version), slots: map[backends.Slot]values{}}
	for _, slot := range backends.Slots {
		s.slots[slot] = slotValues(state, slot)
	}
	return s
}

func managerValues(state observe.State, version string) values {
	st := state.Status
	return values{
		"CurrentSlot":   text(slotName(st.Current)),
		"NextSlot":      text(slotName(st.Next)),
		"Backend":       text(st.Backend),
		"Board":         dbus.MakeVariant(boardValues(st.Board)),
		"UpdateState":   text(updateState(st.Update)),
		"PendingUpdate": dbus.MakeVariant(pendingValues(st.Update)),
		"LastVerdict":   dbus.MakeVariant(verdictValues(st.Verdict)),
		"Operation":     text(state.Operation),
		"Progress":      dbus.MakeVariant(progress{state.Progress.Percent, valid(state.Progress.Step), state.Progress.Depth}),
		"LastError":     text(state.LastError),
		"Committed":     dbus.MakeVariant(st.Committed),
		"Version":       text(version),
	}
}

func slotValues(state observe.State, slot backends.Slot) values {
	st := state.Status.Slots[slot]
	if st == nil { // not read yet
		st = &backends.SlotStatus{Rootfs: backends.Unknown}
	}
	bootable, retries := "unknown", unknownRetries
	if st.Bootable != nil {
		bootable = map[bool]string{true: "yes", false: "no"}[*st.Bootable]
	}
	if st.Retries != nil {
		retries = int32(*st.Retries)
	}
	device := ""
	if st.Device != nil {
		device = *st.Device
	}
	is := func(s *backends.Slot) bool { return s != nil && *s == slot }
	return values{
		"Name":            text(string(slot)),
		"Device":          text(device),
		"Mounted":         dbus.MakeVariant(st.Mounted),
		"Bootable":        text(bootable),
		"Retries":         dbus.MakeVariant(retries),
		"FirmwareVersion": text(versionName(st.Firmware)),
		"FirmwareDirty":   dbus.MakeVariant(st.FirmwareDirty),
		"Rootfs":          text(string(st.Rootfs)),
		"Current":         dbus.MakeVariant(is(state.Status.Current)),
		"Next":            dbus.MakeVariant(is(state.Status.Next)),
	}
}

func slotName(s *backends.Slot) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

func versionName(v *capsule.Version) string {
	if v == nil {
		return ""
	}
	return v.String()
}

func updateState(u backends.UpdateStatus) string {
	if u.State == "" {
		return string(backends.Idle)
	}
	return string(u.State)
}

func boardValues(b backends.Board) values {
	all := values{}
	for name, v := range map[string]*string{"chip": b.Chip, "spec": b.Spec, "compat": b.Compat} {
		if v != nil {
			all[name] = text(*v)
		}
	}
	return all
}

func pendingValues(u backends.UpdateStatus) values {
	switch u.State {
	case backends.Installing, backends.StagedAll, backends.Activated, backends.Testing:
	default:
		return values{}
	}
	all := values{
		"state":  text(string(u.State)),
		"target": text(slotName(u.Target)),
		"boots":  dbus.MakeVariant(uint32(u.Boots)),
		"id":     text(u.ID),
	}
	if u.Firmware != nil {
		all["firmware"] = text(u.Firmware.String())
	}
	return all
}

func verdictValues(v backends.Verdict) values {
	outcome := v.Outcome
	if outcome == "" { // not read yet
		outcome = backends.NoOutcome
	}
	all := values{
		"outcome":   text(string(outcome)),
		"reason":    text(v.Reason),
		"next_step": text(v.NextStep),
	}
	if v.ESRT != nil {
		all["esrt"] = dbus.MakeVariant(*v.ESRT)
	}
	return all
}

// changes are the values of after that are others than before.
func changes(before, after values) values {
	all := values{}
	for name, v := range after {
		if old, ok := before[name]; !ok || !reflect.DeepEqual(old.Value(), v.Value()) {
			all[name] = v
		}
	}
	return all
}
