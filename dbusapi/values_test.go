package dbusapi

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
)

// Names of files and updates, and what updaters say, may hold any bytes. A message that D-Bus does not allow is not sent at all.
func TestEveryTextCanBeSent(t *testing.T) {
	bad := "a\xffb\x00c\xc3"
	word := backends.UpdateState(bad)
	slot := backends.Slot(bad)
	st := backends.Status{
		Backend: bad, Board: backends.Board{Chip: &bad, Spec: &bad, Compat: &bad}, Current: &slot, Next: &slot,
		Slots:   map[backends.Slot]*backends.SlotStatus{backends.A: {Device: &bad, Rootfs: backends.Integrity(bad)}},
		Update:  backends.UpdateStatus{State: backends.Activated, Target: &slot, ID: bad},
		Verdict: backends.Verdict{Outcome: backends.Outcome(bad), Reason: bad, NextStep: bad},
	}
	state := observe.State{Status: st, Operation: bad, LastError: bad, Progress: install.Progress{Step: bad}}
	s := newSnapshot(state, bad)
	all := []any{s.manager, s.slots[backends.A], newError(errBusy, bad).Body[0], list([]string{bad})}
	st.Update.State = word
	all = append(all, newSnapshot(observe.State{Status: st}, "").manager)
	for _, o := range []observe.Occurrence{
		{Kind: observe.Finished, Updater: bad, Reason: bad}, {Kind: observe.RolledBack, Slot: backends.A, Reason: bad},
	} {
		_, args := occurrence(o, state)
		all = append(all, args...)
	}
	for _, body := range all {
		m := &dbus.Message{Type: dbus.TypeSignal, Body: []any{body}, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(managerPath), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("c"),
			dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body)),
		}}
		if err := m.EncodeTo(&bytes.Buffer{}, binary.LittleEndian); err != nil {
			t.Errorf("%v: %v", body, err)
		}
	}
}

// What a client sees changed is what is different, values that hold others included.
func TestChanges(t *testing.T) {
	before := newSnapshot(observe.State{Operation: observe.Idle}, "1")
	if all := changes(before.manager, newSnapshot(observe.State{Operation: observe.Idle}, "1").manager); len(all) > 0 {
		t.Errorf("nothing changed: %v", all)
	}
	spec := "x"
	state := observe.State{Operation: observe.Idle, Progress: install.Progress{Percent: 1}}
	state.Status.Board.Spec = &spec
	all := changes(before.manager, newSnapshot(state, "1").manager)
	if len(all) != 2 || all["Board"].Value() == nil || all["Progress"].Value() == nil {
		t.Errorf("changes %v", all)
	}
}
