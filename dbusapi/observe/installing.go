package observe

import (
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// patience is how long a reading may take before it is told, and how long the end of an install waits for one of what it led to.
const patience = 2 * time.Second

// receive takes the updaters' news, up to an end that has to wait.
func (o *Observer) receive() {
	for o.ending == nil {
		o.mail.Lock()
		if len(o.events) == 0 {
			o.events = nil
			o.mail.Unlock()
			return
		}
		e := o.events[0]
		o.events = o.events[1:]
		o.mail.Unlock()
		o.take(e)
	}
}

func (o *Observer) take(e install.Event) {
	after := o.State()
	switch e.Kind {
	case install.Started:
		o.updaters[e.Updater], o.finished, o.trouble.failed = true, false, ""
		after.Progress = e.Progress
	case install.Advanced:
		after.Progress = e.Progress
	case install.Ended:
		o.ending, o.overdue, o.stale = &e, time.Now().Add(patience), true
		return
	case install.Unfollowed:
		o.trouble.unseen[e.Updater] = e.Reason
		o.log.Warn(e.Reason)
	case install.Followed:
		delete(o.trouble.unseen, e.Updater)
	}
	o.publish(after, nil)
}

// finish tells of the end of an install.
func (o *Observer) finish() {
	e := o.ending
	delete(o.updaters, e.Updater)
	o.ending, o.finished = nil, true
	after := o.State()
	switch {
	case e.Success && after.Progress.Percent != 100: // SWUpdate counts steps that it does not tell of
		after.Progress = install.Progress{Percent: 100, Step: "done", Depth: 1}
	case !e.Success:
		o.trouble.failed = e.Reason
	}
	o.publish(after, []Occurrence{{Kind: Finished, Success: e.Success, Updater: e.Updater, Reason: e.Reason}})
}

// step does what is due: an end that has waited long enough, and what Operation says.
func (o *Observer) step() {
	if o.ending != nil && !time.Now().Before(o.overdue) {
		o.finish()
		o.receive()
	}
	if r := o.reading; r != nil && !r.told && !time.Now().Before(r.overdue) {
		r.told, o.trouble.device = true, errSilent
		o.log.Warn(errSilent)
	}
	o.mail.Lock()
	settled := o.settled
	o.settled = nil
	o.mail.Unlock()
	o.publish(o.State(), nil)
	for _, s := range settled {
		close(s)
	}
}

// judge says what two readings mean.
func (o *Observer) judge(before, after backends.Status) []Occurrence {
	happened := compare(before, after)
	if len(o.updaters) > 0 {
		return happened // they say how it ends
	}
	switch {
	case another(before.Update, after.Update):
		o.finished, o.trouble.failed = false, ""
	case before.Update.State == backends.Activated && arriving(after.Update.State):
		o.finished = true // taken back: its end was told, or it was somebody's switch and no install
	}
	if e, ok := ended(before.Update, after.Update); ok && !o.finished {
		o.finished = true
		o.trouble.failed = e.Reason
		happened = append(happened, e)
	}
	return happened
}

// publish makes a state the current one, with what follows from the rest, and tells of it.
func (o *Observer) publish(after State, happened []Occurrence) {
	before := o.State()
	after.Operation = o.doing()
	o.mail.Lock()
	o.trouble.verb = o.blame
	o.mail.Unlock()
	after.LastError = o.trouble.text()
	if after.LastError == "" && len(o.updaters) == 0 {
		after.LastError = failure(after.Status.Update)
	}
	if len(happened) == 0 && same(before, after) {
		return
	}
	o.state.Store(&after)
	o.changed(before, after, happened)
}

func (o *Observer) doing() string {
	o.mail.Lock()
	defer o.mail.Unlock()
	switch {
	case o.operation != "":
		return o.operation
	case len(o.updaters) > 0:
		return Installing
	}
	return Idle
}

// failure is what the journal remembers of an update that went wrong, also from before we ran.
func failure(u backends.UpdateStatus) string {
	if u.State != backends.Failed && u.State != backends.RolledBack {
		return ""
	}
	return u.Reason
}
