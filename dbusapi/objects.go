package dbusapi

import (
	"context"
	"strings"

	"github.com/godbus/dbus/v5"
)

// call is one method call that has arrived.
type call struct {
	ctx    context.Context
	conn   *dbus.Conn
	msg    *dbus.Message
	sender string // unique name
}

// text is the argument at a place that is known to hold a string.
func (c *call) text(i int) string {
	s, _ := c.msg.Body[i].(string)
	return s
}

// method answers calls with a signature of their arguments. godbus can find methods by reflection as well; the linker then
// keeps every method of the program, which costs more than the whole service.
type method struct {
	in  string
	ctx context.Context
	run func(c *call) ([]any, error)
}

// anything is the signature of a method that looks at no arguments. It is none of D-Bus's.
const anything = "*"

// iface is the methods of one interface on one object.
type iface map[string]method

// object is the interfaces of one object, and those below it by their own names.
type object struct {
	interfaces map[string]iface
}

// objects are all of the service's. It is godbus's handler of calls.
type objects map[dbus.ObjectPath]object

// LookupObject implements dbus.Handler.
func (o objects) LookupObject(path dbus.ObjectPath) (dbus.ServerObject, bool) {
	found, ok := o[path]
	if !ok {
		return missing(path), true // godbus has a name of its own for the error
	}
	return found, true
}

// missing is an object that is not there, whatever is called on it.
type missing dbus.ObjectPath

// LookupInterface implements dbus.ServerObject.
func (m missing) LookupInterface(string) (dbus.Interface, bool) { return m, true }

// LookupMethod implements dbus.Interface.
func (m missing) LookupMethod(string) (dbus.Method, bool) {
	return method{in: anything, run: func(*call) ([]any, error) {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownObject", []any{"there is no object " + string(m) + " here"})
	}}, true
}

// LookupInterface implements dbus.ServerObject. A call need not name the interface; no method here has two of one name.
func (o object) LookupInterface(name string) (dbus.Interface, bool) {
	if name != "" {
		found, ok := o.interfaces[name]
		return found, ok
	}
	all := iface{}
	for _, one := range o.interfaces {
		for name, m := range one {
			all[name] = m
		}
	}
	return all, true
}

// LookupMethod implements dbus.Interface.
func (i iface) LookupMethod(name string) (dbus.Method, bool) {
	found, ok := i[name]
	return found, ok
}

// DecodeArguments implements dbus.ArgumentDecoder: the method gets the message, once its signature is the right one.
func (m method) DecodeArguments(conn *dbus.Conn, sender string, msg *dbus.Message, _ []any) ([]any, error) {
	signature, _ := msg.Headers[dbus.FieldSignature].Value().(dbus.Signature)
	if m.in != anything && signature.String() != m.in {
		return nil, dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs",
			[]any{"cannot understand the arguments: want the signature \"" + m.in + "\""})
	}
	return []any{&call{ctx: m.ctx, conn: conn, msg: msg, sender: sender}}, nil
}

// Call implements dbus.Method.
func (m method) Call(args ...any) ([]any, error) {
	c, ok := args[0].(*call)
	if !ok {
		return nil, dbus.ErrMsgInvalidArg
	}
	return m.run(c)
}

// NumArguments implements dbus.Method; DecodeArguments makes all of it irrelevant.
func (m method) NumArguments() int { return 1 }

// NumReturns implements dbus.Method.
func (m method) NumReturns() int { return 0 }

// ArgumentValue implements dbus.Method.
func (m method) ArgumentValue(int) any { return nil }

// ReturnValue implements dbus.Method.
func (m method) ReturnValue(int) any { return nil }

// children are the names of the nodes right below a path.
func (o objects) children(path dbus.ObjectPath) []string {
	prefix := strings.TrimSuffix(string(path), "/") + "/"
	var names []string
	seen := map[string]bool{}
	for p := range o {
		below, ok := strings.CutPrefix(string(p), prefix)
		name, _, _ := strings.Cut(below, "/")
		if ok && name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}
