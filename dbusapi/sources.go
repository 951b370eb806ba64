package dbusapi

import (
	"context"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/sirupsen/logrus"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
	"github.com/tegra-ota/tegra-ota/dbusapi/rauc"
	"github.com/tegra-ota/tegra-ota/dbusapi/swupdate"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/watch"
)

// sources is all that news come from: the device, SWUpdate, and RAUC where there is a bus.
type sources struct {
	observer *observe.Observer
	watcher  *watch.Watcher
	updates  *swupdate.Follower
	raucs    *rauc.Follower
	log      *logrus.Entry
}

func newSources(m *device.Machine, opts Options, changed observe.Changed, log *logrus.Entry) (*sources, error) {
	watcher, err := watch.New(m)
	if err != nil {
		return nil, err
	}
	s := &sources{watcher: watcher, log: log}
	s.observer = observe.New(func() observe.Surveyor {
		control, err := opts.Control()
		if err != nil {
			return closed{err}
		}
		return control
	}, watcher, changed, log)
	s.updates = swupdate.New(m, opts.SWUpdateSockets, s.observer.Installed, log)
	s.raucs = rauc.New(s.observer.Installed, log)
	return s, nil
}

// closed is a device that cannot be opened; it is known where it comes back.
type closed struct{ err error }

// Survey implements observe.Surveyor.
func (c closed) Survey(context.Context) (backends.Status, []watch.Place, error) {
	return backends.Status{}, backends.UsualPlaces(), c.err
}

// run starts what needs no bus; ended waits for its end after ctx's.
func (s *sources) run(ctx context.Context) (ended func()) {
	var running sync.WaitGroup
	running.Add(2)
	go func() {
		defer running.Done()
		s.observer.Run(ctx)
	}()
	go func() {
		defer running.Done()
		persist(ctx, s.updates.Run, s.log)
	}()
	return running.Wait
}

// follow follows RAUC over a connection, as long as that lasts.
func (s *sources) follow(ctx context.Context, conn *dbus.Conn) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(conn.Context(), stop)()
	persist(ctx, func(ctx context.Context) error { return s.raucs.Run(ctx, conn) }, s.log)
}

// Between two attempts to follow an updater. Why it cannot be followed shows in LastError meanwhile.
const (
	shortRetry = time.Second
	longRetry  = time.Minute
)

// persist runs something until ctx ends, again and again where it fails.
func persist(ctx context.Context, run func(context.Context) error, log *logrus.Entry) {
	for pause := shortRetry; ; pause = min(2*pause, longRetry) {
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		log.WithError(err).Debug("trying again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (s *sources) close() { _ = s.watcher.Close() }
