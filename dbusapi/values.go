package dbusapi

import (
	"reflect"

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

// progress is (isi).
type progress install.Progress

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
		"CurrentSlot":   dbus.MakeVariant(slotName(st.Current)),
		"NextSlot":      dbus.MakeVariant(slotName(st.Next)),
		"Backend":       dbus.MakeVariant(st.Backend),
		"Board":         dbus.MakeVariant(boardValues(st.Board)),
		"UpdateState":   dbus.MakeVariant(updateState(st.Update)),
		"PendingUpdate": dbus.MakeVariant(pendingValues(st.Update)),
		"LastVerdict":   dbus.MakeVariant(verdictValues(st.Verdict)),
		"Operation":     dbus.MakeVariant(state.Operation),
		"Progress":      dbus.MakeVariant(progress(state.Progress)),
		"LastError":     dbus.MakeVariant(state.LastError),
		"Committed":     dbus.MakeVariant(st.Committed),
		"Version":       dbus.MakeVariant(version),
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
		"Name":            dbus.MakeVariant(string(slot)),
		"Device":          dbus.MakeVariant(device),
		"Mounted":         dbus.MakeVariant(st.Mounted),
		"Bootable":        dbus.MakeVariant(bootable),
		"Retries":         dbus.MakeVariant(retries),
		"FirmwareVersion": dbus.MakeVariant(versionName(st.Firmware)),
		"FirmwareDirty":   dbus.MakeVariant(st.FirmwareDirty),
		"Rootfs":          dbus.MakeVariant(string(st.Rootfs)),
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
			all[name] = dbus.MakeVariant(*v)
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
		"state":  dbus.MakeVariant(string(u.State)),
		"target": dbus.MakeVariant(slotName(u.Target)),
		"boots":  dbus.MakeVariant(uint32(u.Boots)),
		"id":     dbus.MakeVariant(u.ID),
	}
	if u.Firmware != nil {
		all["firmware"] = dbus.MakeVariant(u.Firmware.String())
	}
	return all
}

func verdictValues(v backends.Verdict) values {
	outcome := v.Outcome
	if outcome == "" { // not read yet
		outcome = backends.NoOutcome
	}
	all := values{
		"outcome":   dbus.MakeVariant(string(outcome)),
		"reason":    dbus.MakeVariant(v.Reason),
		"next_step": dbus.MakeVariant(v.NextStep),
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
