package dbusapi_test

import (
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// What nobody can mean is refused by the name that the D-Bus specification has for it, and does the service no harm.
func TestWrongCalls(t *testing.T) {
	r := started(t)
	none := dbus.MakeVariant("A")
	for _, tt := range []struct {
		path, method string
		args         []any
		want         string
	}{
		{manager, propertiesFace + ".Get", []any{dbusapi.BusName, "Nothing"}, "UnknownProperty"},
		{manager, propertiesFace + ".Get", []any{slotFace, "Name"}, "UnknownInterface"},
		{slotA, propertiesFace + ".Get", []any{dbusapi.BusName, "CurrentSlot"}, "UnknownInterface"},
		{manager, propertiesFace + ".Get", []any{"", "Nothing"}, "UnknownProperty"},
		{manager, propertiesFace + ".Get", []any{propertiesFace, "CurrentSlot"}, "UnknownProperty"},
		{manager, propertiesFace + ".GetAll", []any{"no.such"}, "UnknownInterface"},
		{manager, propertiesFace + ".Set", []any{dbusapi.BusName, "CurrentSlot", none}, "PropertyReadOnly"},
		{manager, propertiesFace + ".Set", []any{"", "CurrentSlot", none}, "PropertyReadOnly"},
		{manager, propertiesFace + ".Set", []any{dbusapi.BusName, "Nothing", none}, "UnknownProperty"},
		{manager, propertiesFace + ".Set", []any{"no.such", "CurrentSlot", none}, "UnknownInterface"},
		{slotA, propertiesFace + ".Set", []any{dbusapi.BusName, "Name", none}, "UnknownInterface"},
		{slotA, propertiesFace + ".Set", []any{slotFace, "Name", none}, "PropertyReadOnly"},
		{manager, propertiesFace + ".Set", []any{dbusapi.BusName, "CurrentSlot", "B"}, "InvalidArgs"},
		{manager, propertiesFace + ".GetAll", nil, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Activate", nil, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Activate", []any{uint32(1)}, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Activate", []any{"B", "B"}, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Activate", []any{dbus.MakeVariant("B")}, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Commit", []any{"A"}, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Check", []any{false}, "InvalidArgs"},
		{manager, dbusapi.BusName + ".Reboot", nil, "UnknownMethod"},
		{manager, "no.such.Interface.Reboot", nil, "UnknownInterface"},
		{slotA, dbusapi.BusName + ".Commit", nil, "UnknownInterface"},
		{slotB, slotFace + ".Activate", nil, "UnknownMethod"},
		{slotA, "org.freedesktop.DBus.ObjectManager.GetManagedObjects", nil, "UnknownInterface"},
		{"/", dbusapi.BusName + ".Commit", nil, "UnknownInterface"},
		{manager + "/slot/C", propertiesFace + ".GetAll", []any{""}, "UnknownObject"},
		{manager + "/slot/C", "org.freedesktop.DBus.Introspectable.Introspect", nil, "UnknownObject"},
	} {
		err := r.object(tt.path).Call(tt.method, 0, tt.args...).Err
		if e, ok := err.(dbus.Error); !ok || e.Name != errorFace+tt.want || len(e.Body) != 1 {
			t.Errorf("%s %s%v: %#v, want %s", tt.path, tt.method, tt.args, err, tt.want)
		}
	}
	r.is("NextSlot", `s "A"`)
}

// A call need not name the interface.
func TestCallsWithoutInterface(t *testing.T) {
	r := started(t)
	for _, tt := range []struct {
		path, method string
		args         []any
		want         string // "" for no error
	}{
		{manager, "Refresh", nil, ""},
		{manager, "Get", []any{dbusapi.BusName, "CurrentSlot"}, ""},
		{slotB, "GetAll", []any{slotFace}, ""},
		{manager, "GetManagedObjects", nil, ""},
		{"/", "Introspect", nil, ""},
		{manager, "Activate", []any{"C"}, dbusapi.BusName + ".Error.InvalidSlot"},
		{manager, "Reboot", nil, errorFace + "UnknownMethod"},
		{slotA, "Commit", nil, errorFace + "UnknownMethod"},
	} {
		err := r.bare(tt.path, tt.method, tt.args...)
		e, _ := err.(dbus.Error)
		if (err != nil) != (tt.want != "") || e.Name != tt.want {
			t.Errorf("%s on %s: %v, want %q", tt.method, tt.path, err, tt.want)
		}
	}
}

// bare calls without an interface field, which godbus's own calls cannot do.
func (r *rig) bare(path, method string, args ...any) error {
	r.t.Helper()
	conn := r.bus.Connect(r.t)
	m := &dbus.Message{Type: dbus.TypeMethodCall, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(dbus.ObjectPath(path)), dbus.FieldMember: dbus.MakeVariant(method),
		dbus.FieldDestination: dbus.MakeVariant(dbusapi.BusName),
	}, Body: args}
	if len(args) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(args...))
	}
	return (<-conn.Send(m, make(chan *dbus.Call, 1)).Done).Err
}

// dbus-send speaks with another library than busctl and gdbus do.
func TestDBusSend(t *testing.T) {
	r := started(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{manager, "org.freedesktop.DBus.Peer.Ping"}, "method return"},
		{[]string{slotA, "org.freedesktop.DBus.Peer.Ping"}, "method return"},
		{[]string{manager, propertiesFace + ".Get", "string:" + dbusapi.BusName, "string:CurrentSlot"}, `variant       string "A"`},
		{[]string{slotB, propertiesFace + ".Get", "string:" + slotFace, "string:Name"}, `variant       string "B"`},
		{[]string{manager, dbusapi.BusName + ".Activate", "string:other"}, `string "B"`},
		{[]string{manager, dbusapi.BusName + ".Activate", "string:X"}, "Error " + dbusapi.BusName + ".Error.InvalidSlot: cannot name slot \"X\""},
		{[]string{"/", "org.freedesktop.DBus.Introspectable.Introspect"}, `<node name="io"/>`},
	} {
		c := r.bus.Command("dbus-send", append([]string{"--system", "--print-reply", "--dest=" + dbusapi.BusName}, tt.args...)...)
		if out, err := c.CombinedOutput(); !strings.Contains(string(out), tt.want) {
			t.Errorf("dbus-send %v: %v\n%s", tt.args, err, out)
		}
	}
	r.is("NextSlot", `s "B"`)
}
