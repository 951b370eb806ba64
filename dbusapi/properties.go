package dbusapi

import (
	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
)

// propertyMethods are org.freedesktop.DBus.Properties. godbus's own tells one change at a time; here a client that is told of a
// new NextSlot has been told of the new UpdateState with it.
func (s *Service) propertyMethods(own string, read func() values) iface {
	find := func(name string) (values, error) {
		switch name {
		case own, "":
			return read(), nil
		case properties, introspectable, objectManager, "org.freedesktop.DBus.Peer":
			return values{}, nil
		}
		return nil, dbus.NewError("org.freedesktop.DBus.Error.UnknownInterface", []any{"there is no interface " + name + " here"})
	}
	return iface{
		"Get": s.reading("ss", func(c *call) ([]any, error) {
			all, err := find(c.text(0))
			if err != nil {
				return nil, err
			}
			v, ok := all[c.text(1)]
			if !ok {
				return nil, unknownProperty(c.text(1))
			}
			return []any{v}, nil
		}),
		"GetAll": s.reading("s", func(c *call) ([]any, error) {
			all, err := find(c.text(0))
			return []any{all}, err
		}),
		"Set": s.method("ssv", func(c *call) ([]any, error) {
			all, err := find(c.text(0))
			if err != nil {
				return nil, err
			}
			if _, ok := all[c.text(1)]; !ok {
				return nil, unknownProperty(c.text(1))
			}
			return nil, dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly",
				[]any{"the property " + c.text(1) + " cannot be set; see the methods"})
		}),
	}
}

// reading is a method that answers with values. The answer goes out while no signal can: godbus would send it later, from the
// goroutine of this call, and what it says could be older than a signal that was sent in between.
func (s *Service) reading(in string, read func(c *call) ([]any, error)) method {
	return s.method(in, func(c *call) ([]any, error) {
		s.order.Lock()
		defer s.order.Unlock()
		out, err := read(c)
		if err != nil || c.msg.Flags&dbus.FlagNoReplyExpected != 0 {
			return out, err
		}
		c.msg.Flags |= dbus.FlagNoReplyExpected // by godbus
		c.conn.Send(&dbus.Message{Type: dbus.TypeMethodReply, Body: out, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldDestination: dbus.MakeVariant(c.sender),
			dbus.FieldReplySerial: dbus.MakeVariant(c.msg.Serial()),
			dbus.FieldSignature:   dbus.MakeVariant(dbus.SignatureOf(out...)),
		}}, nil)
		return nil, nil
	})
}

func unknownProperty(name string) error {
	return dbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"there is no property " + name + " here"})
}

// managed answers GetManagedObjects: both slots, always; nothing is added or removed while we run.
func (s *Service) managed(*call) ([]any, error) {
	now := s.snapshot.Load()
	all := map[dbus.ObjectPath]map[string]values{}
	for _, slot := range backends.Slots {
		all[slotPath(slot)] = map[string]values{slotInterface: now.slots[slot], properties: {}, introspectable: {}}
	}
	return []any{all}, nil
}

// tell emits what changed, one signal for each object.
func (s *Service) tell(conn *dbus.Conn, before, after snapshot) {
	emit := func(path dbus.ObjectPath, name string, changed values) {
		if len(changed) > 0 {
			s.emit(conn, path, properties+".PropertiesChanged", name, changed, []string{})
		}
	}
	emit(managerPath, managerInterface, changes(before.manager, after.manager))
	for _, slot := range backends.Slots {
		emit(slotPath(slot), slotInterface, changes(before.slots[slot], after.slots[slot]))
	}
}
