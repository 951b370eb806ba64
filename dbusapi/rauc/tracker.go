package rauc

import (
	"fmt"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// Values of RAUC's property Operation.
const (
	idle       = "idle"
	installing = "installing"
)

// What an install ends with when RAUC does not give the reason.
const (
	noReason = "RAUC says only that it failed; its journal has the reason"
	unseen   = "how it ended was not seen"
	wentAway = "RAUC went away during the install"
	silent   = "RAUC does not answer"
)

// question is one that RAUC is asked.
type question int

const (
	allProperties question = iota // what it is doing
	whetherBusy                   // whether an install runs, whatever Operation says
	whyFailed                     // LastError
	questions
)

// tracker turns what RAUC tells, in the order of the bus, into events.
type tracker struct {
	tell func(install.Event)
	ask  func(question) // the answer comes later, or never

	// What was told, which outlives a connection.
	running  bool             // Started, and not Ended
	failed   bool             // it has ended without success, and the reason is still to come
	progress install.Progress // of the last Started or Advanced
	trouble  string           // the reason of Unfollowed, "" while followed

	// What the present RAUC says.
	operation string // "" as long as it is not known
	current   install.Progress
	lastError string
	asked     [questions]bool
	since     change // told by signals since allProperties was asked
	again     bool   // the answer to allProperties is too old already
}

// appeared: there is a RAUC, and nothing is known of it.
func (k *tracker) appeared() {
	k.forget()
	k.question(allProperties)
}

// gone: there is no RAUC. One that does not run installs nothing, and need not be seen.
func (k *tracker) gone() {
	switch {
	case k.failed:
		k.end(false, k.reason(noReason))
	case k.running:
		k.end(false, wentAway)
	}
	k.follow()
	k.forget()
}

func (k *tracker) forget() {
	k.operation, k.current, k.lastError = "", install.Progress{}, ""
	k.asked, k.since, k.again = [questions]bool{}, change{}, false
}

func (k *tracker) question(q question) {
	if k.asked[q] {
		return
	}
	k.asked[q] = true
	if q == allProperties {
		k.since = change{}
	}
	k.ask(q)
}

// changed is a signal.
func (k *tracker) changed(c change, stale bool) {
	k.since.add(c)
	k.take(c, false)
	k.again = k.again || stale && k.asked[allProperties]
	if stale || k.trouble != "" && c.operation != nil {
		k.question(allProperties) // no timer: who could not be read is asked again when an install begins or ends
	}
}

// all is the answer to allProperties. What a signal told in the meantime stands: a value that is newer has a signal of its own.
func (k *tracker) all(c change, err error) {
	k.asked[allProperties] = false
	if k.again {
		k.again = false
		defer k.question(allProperties)
	}
	if err != nil {
		k.unfollow(fmt.Sprintf("cannot read RAUC's properties: %v", err))
		return
	}
	k.follow()
	if c.progress != nil && c.progress.Percent == 100 {
		c.progress = nil // of an install that has ended: the one that runs says 100 and Completed in one breath
	}
	k.take(c.without(k.since), true)
	if k.failed && !k.asked[whyFailed] { // asked on a connection that was lost
		k.end(false, k.reason(noReason))
	}
}

// late: allProperties is not answered in due time. The answer is still welcome.
func (k *tracker) late() {
	if k.asked[allProperties] {
		k.unfollow(silent)
	}
}

// take takes what RAUC tells, in a signal or as the state that was found.
func (k *tracker) take(c change, found bool) {
	if c.lastError != nil {
		k.lastError = *c.lastError
	}
	if c.progress != nil {
		k.current = *c.progress
	}
	if c.operation != nil {
		k.operate(*c.operation, c.progress, found)
	}
	if c.progress != nil && k.running && !k.failed && k.current != k.progress {
		k.progress = k.current
		k.tell(install.Event{Kind: install.Advanced, Progress: k.progress})
	}
}

func (k *tracker) operate(operation string, progress *install.Progress, found bool) {
	before := k.operation
	k.operation = operation
	switch operation {
	case installing:
		switch {
		case k.failed:
			k.end(false, k.reason(noReason))
		case before == installing, found && k.running: // the same install
			return
		case k.running:
			k.end(false, unseen)
		}
		// RAUC says Operation first: until it says more, its Progress is that of the install before.
		first := install.Progress{}
		switch {
		case found:
			first = k.current
		case progress != nil:
			first = *progress
		}
		k.start(first)
	case idle:
		// Not always the end: every RAUC from 1.8 to 1.15 says idle as well when it refuses a second install in the middle of one
		// (service.c, r_on_handle_install_bundle), and never says installing again. At the real end Completed comes first.
		if k.running && !k.failed {
			k.question(whetherBusy)
		}
	}
}

// busy is the answer to whetherBusy.
func (k *tracker) busy(yes bool) {
	k.asked[whetherBusy] = false
	if !yes && k.running && !k.failed && k.operation == idle {
		k.end(false, k.reason(unseen))
	}
}

// completed is the signal. An install that RAUC starts by itself (autoinstall-path, 1.8) has no Operation before it, and one that
// was joined while RAUC said idle has none either.
func (k *tracker) completed(result int32) {
	k.operation = idle
	was := idle
	k.since.operation = &was
	if k.failed {
		return
	}
	if !k.running {
		k.start(k.current)
	}
	switch {
	case result == 0:
		k.end(true, "")
	case k.lastError != "":
		k.end(false, k.lastError)
	default:
		k.failed = true
		k.question(whyFailed)
	}
}

// why is the answer to whyFailed, "" where there was none.
func (k *tracker) why(lastError string) {
	k.asked[whyFailed] = false
	if !k.failed {
		return
	}
	if lastError != "" {
		k.lastError = lastError
	}
	k.end(false, k.reason(noReason))
}

// reason is LastError, if RAUC gives one.
func (k *tracker) reason(otherwise string) string {
	if k.lastError != "" {
		return k.lastError
	}
	return otherwise
}

func (k *tracker) start(p install.Progress) {
	k.running, k.progress = true, p
	k.tell(install.Event{Kind: install.Started, Progress: p})
}

func (k *tracker) end(success bool, reason string) {
	k.running, k.failed = false, false
	k.tell(install.Event{Kind: install.Ended, Success: success, Reason: reason})
}

func (k *tracker) unfollow(reason string) {
	if k.trouble != reason {
		k.trouble = reason
		k.tell(install.Event{Kind: install.Unfollowed, Reason: reason})
	}
}

func (k *tracker) follow() {
	if k.trouble != "" {
		k.trouble = ""
		k.tell(install.Event{Kind: install.Followed})
	}
}
