package dbusapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// listen is a monitor of the service.
func listen(ctx context.Context, conn *dbus.Conn, show func([]Change)) error {
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	for _, rule := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(BusName), dbus.WithMatchPathNamespace(managerPath)},
		{dbus.WithMatchSender(busName), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, BusName)},
	} {
		if err := conn.AddMatchSignalContext(ctx, rule...); err != nil {
			return fmt.Errorf("cannot listen to the service: %w", err)
		}
	}
	var service string // its unique name: a program can send any signal straight to us, and only the sender is the bus's word
	if err := conn.BusObject().CallWithContext(ctx, busName+".GetNameOwner", 0, BusName).Store(&service); err != nil {
		return fmt.Errorf("cannot listen to the service: %w", err)
	}
	seen, err := fetch(ctx, conn)
	if err != nil {
		return err
	}
	show(difference(snapshot{}, seen))
	for {
		select {
		case <-ctx.Done():
			return nil
		case signal, ok := <-signals:
			switch {
			case !ok:
				return fail.New(fail.IO, "cannot listen to the service any longer: the connection to the bus was lost")
			case signal.Sender == busName && signal.Name == busName+".NameOwnerChanged" && len(signal.Body) == 3:
				service, _ = signal.Body[2].(string)
				seen = owner(ctx, conn, service, seen, show)
			case signal.Sender == service:
				if all := seen.learn(signal); len(all) > 0 {
					show(all)
				}
			}
		}
	}
}

// fetch reads everything.
func fetch(ctx context.Context, conn *dbus.Conn) (snapshot, error) {
	now := snapshot{slots: map[backends.Slot]values{}}
	get := func(path dbus.ObjectPath, name string) (values, error) {
		var all map[string]dbus.Variant
		err := conn.Object(BusName, path).CallWithContext(ctx, properties+".GetAll", dbus.FlagNoAutoStart, name).Store(&all)
		if err != nil {
			return nil, fail.New(fail.IO, "cannot read the service's properties: %w", err)
		}
		return all, nil
	}
	var err error
	if now.manager, err = get(managerPath, managerInterface); err != nil {
		return now, err
	}
	for _, slot := range backends.Slots {
		if now.slots[slot], err = get(slotPath(slot), slotInterface); err != nil {
			return now, err
		}
	}
	return now, nil
}

// owner takes the news that the service went, or came under a new name.
func owner(ctx context.Context, conn *dbus.Conn, service string, seen snapshot, show func([]Change)) snapshot {
	show([]Change{{Name: ServiceState, Value: service != ""}})
	if service == "" {
		return seen
	}
	now, err := fetch(ctx, conn)
	if err != nil {
		return seen // it went again, and that is news of its own
	}
	if all := difference(seen, now); len(all) > 0 {
		show(all)
	}
	return now
}

// learn takes over what a signal says, and returns what is new.
func (s snapshot) learn(signal *dbus.Signal) []Change {
	if member, ok := strings.CutPrefix(signal.Name, managerInterface+"."); ok && signal.Path == managerPath {
		return []Change{{Name: member, Value: plain(signal.Body)}}
	}
	if signal.Name != properties+".PropertiesChanged" || len(signal.Body) < 2 {
		return nil
	}
	fresh, _ := signal.Body[1].(map[string]dbus.Variant)
	of, slot := s.manager, ""
	for _, one := range backends.Slots {
		if signal.Path == slotPath(one) {
			of, slot = s.slots[one], string(one)
		}
	}
	changed := values{}
	for name, v := range changes(of, fresh) {
		changed[name], of[name] = v, v
	}
	return ordered(slot, changed)
}
