package dbusapi

import (
	"context"
	"sync"

	"github.com/sirupsen/logrus"

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
}

func newSources(m *device.Machine, opts Options, changed observe.Changed, log *logrus.Entry) (*sources, error) {
	watcher, err := watch.New(m)
	if err != nil {
		return nil, err
	}
	s := &sources{watcher: watcher}
	s.observer = observe.New(func() (observe.Surveyor, error) { return opts.Control() }, watcher, changed, log)
	s.updates = swupdate.New(m, opts.SWUpdateSockets, s.observer.Installed, log)
	s.raucs = rauc.New(s.observer.Installed, log)
	return s, nil
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
		_ = s.updates.Run(ctx)
	}()
	return running.Wait
}

func (s *sources) close() { _ = s.watcher.Close() }
