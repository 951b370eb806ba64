// Package rauc follows installs through RAUC's D-Bus API.
//
// It hears signals and asks only when it must: RAUC is never started for it, and nothing is asked while nothing happens.
package rauc

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// RAUC on the bus, and the bus itself.
const (
	service    = "de.pengutronix.rauc"
	object     = dbus.ObjectPath("/")
	installer  = "de.pengutronix.rauc.Installer"
	properties = "org.freedesktop.DBus.Properties"
	bus        = "org.freedesktop.DBus"
	busObject  = dbus.ObjectPath("/org/freedesktop/DBus")
	noOwner    = "org.freedesktop.DBus.Error.NameHasNoOwner"
)

const (
	// patience is how long RAUC may take to answer. It runs boot backends in its main loop, where it answers nobody meanwhile.
	patience = 2 * time.Second
	// settle is how long an answer waits for signals that came before it: godbus hands both over through different goroutines.
	// A signal that came later ends the wait.
	settle = 50 * time.Millisecond
)

// Follower follows RAUC. It is kept over several connections, one after the other: an install that was under way when one was lost
// is told to its end on the next.
type Follower struct {
	log   *logrus.Entry
	track tracker
}

// New returns a follower that tells sink.
func New(sink install.Sink, log *logrus.Entry) *Follower {
	f := &Follower{log: log}
	f.track.tell = func(e install.Event) {
		e.Updater = install.RAUC
		sink(e)
	}
	return f
}

// Run follows RAUC over a connection until that or the context ends; then it returns why. An install is not ended by that. There is
// one Run at a time.
//
// The connection may serve others as well. It has to be made with dbus.WithSignalHandler(dbus.NewSequentialSignalHandler()): godbus's
// own handler hands signals over in any order.
func (f *Follower) Run(ctx context.Context, conn *dbus.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{Follower: f, ctx: ctx, conn: conn, answers: make(chan answer), leave: func() {}}
	f.track.ask = s.ask
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	defer conn.RemoveSignal(signals)
	unsubscribe, err := s.subscribe()
	defer unsubscribe()
	if err == nil {
		err = s.find()
	}
	if err == nil {
		err = s.listen(signals)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	lost := errors.Is(err, errLost) || !conn.Connected() // that is no trouble with RAUC
	err = fail.New(fail.Unavailable, "cannot follow RAUC: %w", err)
	if !lost {
		f.track.unfollow(err.Error())
	}
	return err
}

// session is a Follower's work on one connection.
type session struct {
	*Follower
	ctx     context.Context
	conn    *dbus.Conn
	answers chan answer
	pending []answer // until they have settled
	late    *time.Timer

	owner string             // RAUC's unique name, "" where it does not run
	since dbus.Sequence      // of the message that said so
	stay  context.Context    // ends with the owner
	leave context.CancelFunc // ends stay
}

// subscribe asks the bus for RAUC's signals. What it returns takes that back.
func (s *session) subscribe() (unsubscribe func(), err error) {
	from := []dbus.MatchOption{dbus.WithMatchSender(service), dbus.WithMatchObjectPath(object)}
	with := func(list []dbus.MatchOption, more ...dbus.MatchOption) []dbus.MatchOption {
		return append(append([]dbus.MatchOption{}, list...), more...)
	}
	var done [][]dbus.MatchOption
	unsubscribe = func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience) // s.ctx may have ended
		defer cancel()
		for _, rule := range done {
			if s.conn.Connected() {
				_ = s.conn.RemoveMatchSignalContext(ctx, rule...) // a connection that is broken has no rules
			}
		}
	}
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for _, rule := range [][]dbus.MatchOption{
		{dbus.WithMatchSender(bus), dbus.WithMatchObjectPath(busObject), dbus.WithMatchInterface(bus),
			dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, service)},
		with(from, dbus.WithMatchInterface(properties), dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchArg(0, installer)),
		with(from, dbus.WithMatchInterface(installer), dbus.WithMatchMember("Completed")),
	} {
		if err := s.conn.AddMatchSignalContext(ctx, rule...); err != nil {
			return unsubscribe, err
		}
		done = append(done, rule)
	}
	return unsubscribe, nil
}

// find asks the bus who RAUC is.
func (s *session) find() error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	call := s.conn.BusObject().CallWithContext(ctx, bus+".GetNameOwner", 0, service)
	var owner string
	err := call.Store(&owner)
	var refusal dbus.Error
	switch {
	case errors.As(err, &refusal) && refusal.Name == noOwner:
		s.log.Debug("RAUC does not run")
		s.track.gone()
	case err != nil:
		return err
	default:
		s.owned(owner)
	}
	s.since = call.ResponseSequence
	return nil
}

// owned takes note of a new owner of RAUC's name.
func (s *session) owned(owner string) {
	if owner == s.owner {
		return
	}
	s.leave()
	s.punctual()
	s.pending = nil
	if s.owner != "" {
		s.log.Debugf("RAUC is gone from the bus as %s", s.owner)
		s.track.gone()
	}
	s.owner = owner
	if owner != "" {
		s.log.Debugf("RAUC is on the bus as %s", owner)
		s.stay, s.leave = context.WithCancel(s.ctx)
		s.track.appeared()
	}
}
