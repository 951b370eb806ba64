package rauc

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// FuzzMessages reads signals and answers of any form; types are what the sender says they are.
func FuzzMessages(f *testing.F) {
	all := map[string]dbus.Variant{"Operation": dbus.MakeVariant(installing), "LastError": dbus.MakeVariant("no"),
		"Progress": progress(20, "Copying", 2)}
	for _, body := range [][]any{
		{installer, all, []string{}}, {installer, all, []string{"Progress"}}, {all}, {int32(1)}, {uint32(1)}, {},
		{dbus.MakeVariant("no")}, {dbus.MakeVariant(dbus.MakeVariant("no"))}, {service, "", ":1.7"}, {service, []byte{1}, uint64(1)},
		{installer, map[string]dbus.Variant{"Progress": dbus.MakeVariant([]int32{1, 2, 3}), "Operation": dbus.MakeVariant(all)}, []string{}},
	} {
		m := dbus.Message{Type: dbus.TypeSignal, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldPath: dbus.MakeVariant(object), dbus.FieldInterface: dbus.MakeVariant(properties),
			dbus.FieldMember: dbus.MakeVariant("PropertiesChanged"), dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(body...))}}
		var b bytes.Buffer
		if err := m.EncodeTo(&b, binary.LittleEndian); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dbus.DecodeMessage(bytes.NewReader(b))
		if err != nil {
			return
		}
		story := newStory(t)
		for range 2 {
			c, stale, _ := changedProperties(m.Body)
			story.changed(c, stale)
			if result, err := completedOf(m.Body); err == nil {
				story.completed(result)
			}
			story.all(allOf(&dbus.Call{Body: m.Body}))
			story.why(lastErrorOf(&dbus.Call{Body: m.Body}))
			if owner, ok := ownerOf(m.Body); ok && owner == "" {
				story.gone()
			}
		}
	})
}

// FuzzOrders tells a tracker anything in any order. Whatever it makes of it, its events have an order.
func FuzzOrders(f *testing.F) {
	f.Add([]byte("abcdefghijklmnopq"))
	f.Add([]byte("aqckdlmdflbandcjkl"))
	for first := range 24 {
		f.Add([]byte{'a', byte(first), 'c', byte(first + 7), 'd', 'f', 'h', byte(first + 3), 'b', 'g'})
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		k := newStory(t)
		for _, step := range steps {
			op := map[bool]string{true: idle, false: installing}[step%2 == 0]
			found := change{operation: &op, progress: &install.Progress{Percent: int32(step % 101), Step: "x", Depth: 1}}
			switch step % 17 {
			case 0, 1:
				k.changed(change{operation: &op}, false)
			case 2, 3:
				k.changed(change{progress: found.progress}, false)
			case 4:
				k.changed(change{lastError: pointer("no")}, false)
			case 5:
				k.changed(change{lastError: pointer("")}, true)
			case 6:
				k.completed(0)
			case 7:
				k.completed(1)
			case 8, 9:
				k.all(found, nil)
			case 10:
				k.all(change{}, errors.New("no"))
			case 11:
				k.late()
			case 12, 13:
				k.busy(step%2 == 0)
			case 14:
				k.why(op)
			case 15:
				k.gone()
			case 16:
				k.appeared()
			}
		}
		k.gone()
		if k.running || k.failed || k.trouble != "" {
			t.Fatalf("without RAUC: %+v", k.tracker)
		}
	})
}

// story is a tracker whose events are judged.
type story struct {
	*tracker
	running, unfollowed bool
	at                  install.Progress
}

func newStory(t *testing.T) *story {
	s := &story{}
	s.tracker = &tracker{ask: func(question) {}, tell: func(e install.Event) {
		wrong := false
		switch e.Kind {
		case install.Started:
			wrong, s.running, s.at = s.running, true, e.Progress
		case install.Advanced:
			wrong, s.at = !s.running || e.Progress == s.at, e.Progress
		case install.Ended:
			wrong, s.running = !s.running || e.Success != (e.Reason == ""), false
		case install.Unfollowed:
			wrong, s.unfollowed = e.Reason == "", true
		case install.Followed:
			wrong, s.unfollowed = !s.unfollowed, false
		}
		if wrong || e.Progress.Percent < 0 || e.Progress.Percent > 100 || e.Progress.Depth < 0 {
			t.Fatalf("out of order: %+v, %+v", e, s.tracker)
		}
	}}
	return s
}
