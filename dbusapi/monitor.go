package dbusapi

import (
	"context"
	"fmt"
	"sort"

	"github.com/godbus/dbus/v5"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/internal/device"
)

// Change is one value that is new, or something that happened.
type Change struct {
	Slot  string // whose property it is; "" for the manager's
	Name  string // of the property or signal
	Value any    // plain: strings, numbers, booleans, lists, maps by string; a signal's arguments in a list
}

// ServiceState is the Name of the change that a monitor of the service shows when that goes and comes; Value is a boolean.
const ServiceState = "Service"

// Monitor shows changes as they come, until ctx ends: first every value there is, then what is new. It takes them from the service
// if that runs, and else looks at the device itself, with what its privilege allows. show is called from one goroutine.
func Monitor(ctx context.Context, m *device.Machine, opts Options, show func([]Change), log *logrus.Entry) error {
	conn, err := dialBus(opts.Bus)
	if err != nil {
		log.WithError(err).Debug("there is no system bus: RAUC is not followed")
		return look(ctx, m, opts, nil, show, log)
	}
	defer conn.Close()
	var runs bool
	if err := conn.BusObject().CallWithContext(ctx, busName+".NameHasOwner", 0, BusName).Store(&runs); err != nil {
		return fmt.Errorf("cannot ask the system bus for the service: %w", err)
	}
	if runs {
		return listen(ctx, conn, show)
	}
	log.Debug("tegra-slotd does not run: looking at the device itself")
	return look(ctx, m, opts, conn, show, log)
}

// look is a monitor without the service.
func look(ctx context.Context, m *device.Machine, opts Options, conn *dbus.Conn, show func([]Change), log *logrus.Entry) error {
	var before snapshot
	s, err := newSources(m, opts, func(_, after observe.State, happened []observe.Occurrence) {
		if !after.Known && after.LastError == "" {
			return // nothing to show yet
		}
		now := newSnapshot(after, opts.Version)
		all := difference(before, now)
		for _, o := range happened {
			name, args := occurrence(o, after)
			all = append(all, Change{Name: name, Value: plain(args)})
		}
		before = now
		if len(all) > 0 {
			show(all)
		}
	}, log)
	if err != nil {
		return err
	}
	defer s.close()
	ended := s.run(ctx)
	if conn != nil {
		s.follow(ctx, conn)
	}
	<-ctx.Done()
	ended()
	return nil
}

// difference are the properties that are new.
func difference(before, after snapshot) []Change {
	all := ordered("", changes(before.manager, after.manager))
	for _, slot := range backends.Slots {
		all = append(all, ordered(string(slot), changes(before.slots[slot], after.slots[slot]))...)
	}
	return all
}

// ordered are properties by name.
func ordered(slot string, changed values) []Change {
	var all []Change
	for name, v := range changed {
		all = append(all, Change{Slot: slot, Name: name, Value: plain(v)})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// plain is a value without D-Bus's wrapping, the same whether it came over the bus or not.
func plain(v any) any {
	switch v := v.(type) {
	case dbus.Variant:
		return plain(v.Value())
	case values:
		all := map[string]any{}
		for name, one := range v {
			all[name] = plain(one)
		}
		return all
	case map[string]dbus.Variant:
		return plain(values(v))
	case []any:
		all := []any{}
		for _, one := range v {
			all = append(all, plain(one))
		}
		return all
	case progress:
		return []any{v.Percent, v.Step, v.Depth}
	}
	return v
}
