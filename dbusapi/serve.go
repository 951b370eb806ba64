package dbusapi

import (
	"context"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Between two attempts to reach a bus that went away. It has been there, so it comes back, and then a client waits for us.
const (
	shortPause = 50 * time.Millisecond
	longPause  = 5 * time.Second
)

// serve is on the bus until ctx ends. A bus that is not there at the start is an error, for the service manager to judge.
func (s *Service) serve(ctx context.Context) error {
	pause := shortPause
	for first := true; ; first = false {
		conn, err := s.connect(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (first || fail.CodeOf(err) == fail.Busy):
			return err
		case err != nil:
			s.log.WithError(err).Debug("the bus is not back yet")
		default:
			if !first {
				s.log.Info("the bus is back")
			}
			pause = shortPause
			s.attend(ctx, conn)
			if ctx.Err() != nil {
				return nil
			}
			s.log.Warn("the connection to the bus was lost")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, longPause)
	}
}

// connect puts the objects on the bus, and then takes the name: who finds it finds them.
func (s *Service) connect(ctx context.Context) (*dbus.Conn, error) {
	conn, err := dialBus(s.opts.Bus, dbus.WithHandler(s.objects()))
	if err != nil {
		return nil, err
	}
	s.conn.Store(conn) // before anybody can ask: who has read a value is told when it changes
	reply, err := conn.RequestName(BusName, dbus.NameFlagDoNotQueue)
	switch {
	case err != nil && denied(err):
		err = fail.New(fail.Permission, "cannot take the name %s on the bus: %w", BusName, err).
			Then("run as root, with %s.conf in the bus's system.d", BusName)
	case err != nil:
		err = fail.New(fail.Unavailable, "cannot take the name %s on the bus: %w", BusName, err)
	case reply != dbus.RequestNameReplyPrimaryOwner:
		err = fail.New(fail.Busy, "cannot take the name %s on the bus: another tegra-slotd has it", BusName)
	}
	if err != nil {
		s.conn.Store(nil)
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// attend is on one connection until it or ctx ends.
func (s *Service) attend(ctx context.Context, conn *dbus.Conn) {
	defer func() {
		s.conn.Store(nil)
		_ = conn.Close()
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		s.sources.follow(ctx, conn)
	}()
	select {
	case <-ctx.Done():
	case <-conn.Context().Done():
	}
	stop()
	<-followed
}

// objects are the service's, each with its interfaces.
func (s *Service) objects() objects {
	all := objects{}
	common := func(path dbus.ObjectPath) iface {
		return iface{"Introspect": s.method("", func(*call) ([]any, error) { return []any{all.described(path)}, nil })}
	}
	all[managerPath] = object{interfaces: map[string]iface{
		managerInterface: s.managerMethods(),
		objectManager:    {"GetManagedObjects": s.reading("", s.managed)},
		properties:       s.propertyMethods(managerInterface, func() values { return s.snapshot.Load().manager }),
	}}
	for _, slot := range backends.Slots {
		slot := slot
		all[slotPath(slot)] = object{interfaces: map[string]iface{
			slotInterface: {},
			properties:    s.propertyMethods(slotInterface, func() values { return s.snapshot.Load().slots[slot] }),
		}}
	}
	for _, path := range []dbus.ObjectPath{"/", "/io", "/io/github", "/io/github/tegra_ota", managerPath + "/slot"} {
		all[path] = object{interfaces: map[string]iface{}}
	}
	for path, o := range all {
		o.interfaces[introspectable] = common(path)
	}
	return all
}

// denied says that the bus's policy forbids something.
func denied(err error) bool {
	e, ok := err.(dbus.Error)
	return ok && e.Name == accessDenied
}
