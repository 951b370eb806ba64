package rauc

import (
	"context"
	"errors"
	"time"

	"github.com/godbus/dbus/v5"
)

var errLost = errors.New("the connection to the bus ended")

// answer is what RAUC says to a question.
type answer struct {
	question question
	owner    string // who was asked
	call     *dbus.Call
}

// listen handles signals and answers in the order of the bus.
func (s *session) listen(signals <-chan *dbus.Signal) error {
	defer func() {
		s.leave()
		s.punctual()
	}()
	var settled <-chan time.Time
	for {
		var late <-chan time.Time
		if s.late != nil {
			late = s.late.C
		}
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case signal, ok := <-signals:
			if !ok {
				return errLost
			}
			s.settle(signal.Sequence)
			s.signal(signal)
		case a := <-s.answers:
			if a.owner == s.owner {
				s.pending = append(s.pending, a)
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			s.settle(0)
		case <-late:
			s.late = nil
			s.track.late()
		}
	}
}

// settle handles the answers that came before a signal, or all of them. A call that could not be made has no place in the order.
func (s *session) settle(before dbus.Sequence) {
	answers := s.pending
	s.pending = nil
	for _, a := range answers {
		switch place := a.call.ResponseSequence; {
		case a.owner != s.owner:
		case before != 0 && (place > before || place == dbus.NoSequence):
			s.pending = append(s.pending, a)
		default:
			s.answered(a)
		}
	}
}

// signal handles one of the connection's signals, most of which are not for us. A program can send any signal straight to us, so
// that only the sender, which the bus fills in, tells RAUC's.
func (s *session) signal(signal *dbus.Signal) {
	if signal.Sender == bus {
		if signal.Name == bus+".NameOwnerChanged" && signal.Path == busObject && signal.Sequence > s.since {
			if owner, ok := ownerOf(signal.Body); ok {
				s.owned(owner)
			}
		}
		return
	}
	if s.owner == "" || signal.Sender != s.owner || signal.Path != object {
		return
	}
	switch signal.Name {
	case properties + ".PropertiesChanged":
		c, stale, err := changedProperties(signal.Body)
		if err != nil {
			s.log.Warnf("RAUC sends what this version does not know: %v", err)
		}
		s.track.changed(c, stale)
	case installer + ".Completed":
		result, err := completedOf(signal.Body)
		if err != nil {
			s.log.Warnf("RAUC sends what this version does not know: %v", err)
			return
		}
		s.track.completed(result)
	}
}

// ask asks RAUC. It asks the process that owns the name, not the name: that cannot start anything.
func (s *session) ask(q question) {
	// Only the reason of a failure has a time limit, because the failure itself is not told before. Who is late with something else
	// is not asked again, so that the late answer is good.
	ctx, cancel := s.stay, context.CancelFunc(func() {})
	method, args := properties+".GetAll", []any{installer}
	switch q {
	case allProperties:
		s.punctual()
		s.late = time.NewTimer(patience)
	case whetherBusy:
		// Every version refuses this while it installs, and reads the primary slot from the boot backend otherwise.
		method, args = installer+".GetPrimary", nil
	case whyFailed:
		method, args = properties+".Get", []any{installer, "LastError"}
		ctx, cancel = context.WithTimeout(s.stay, patience)
	}
	a := answer{question: q, owner: s.owner}
	stay := s.stay
	call := s.conn.Object(s.owner, object).GoWithContext(ctx, method, dbus.FlagNoAutoStart, make(chan *dbus.Call, 1), args...)
	go func() {
		defer cancel()
		a.call = <-call.Done
		select {
		case s.answers <- a:
		case <-stay.Done():
		}
	}()
}

// answered handles what RAUC said.
func (s *session) answered(a answer) {
	if a.call.Err != nil && (errors.Is(a.call.Err, dbus.ErrClosed) || !s.conn.Connected()) {
		return // that is not RAUC's answer; listen is about to end
	}
	switch a.question {
	case allProperties:
		s.punctual()
		s.track.all(allOf(a.call))
	case whetherBusy:
		s.track.busy(saysBusy(a.call.Err))
	case whyFailed:
		s.track.why(lastErrorOf(a.call))
	}
}

// punctual ends the wait for an answer.
func (s *session) punctual() {
	if s.late != nil {
		s.late.Stop()
		s.late = nil
	}
}
