package dbusapi

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/observe"
)

// clientPatience bounds every call: a client that waits for an answer may be one that draws a screen.
const clientPatience = 1900 * time.Millisecond

// managerMethods are those of the manager's interface.
func (s *Service) managerMethods() iface {
	return iface{
		"Check":    s.method("", s.check),
		"Refresh":  s.method("", s.refresh),
		"Activate": s.changing("s", actionActivate, observe.Activating, activate),
		"Commit":   s.changing("", actionCommit, observe.Committing, commit),
		"Rollback": s.changing("", actionRollback, observe.RollingBack, rollback),
		"MarkGood": s.changing("s", actionMark, observe.Marking, markGood),
		"MarkBad":  s.changing("s", actionMark, observe.Marking, markBad),
	}
}

func (s *Service) method(in string, run func(c *call) ([]any, error)) method {
	return method{in: in, ctx: s.ctx, run: func(c *call) ([]any, error) {
		out, err := run(c)
		if err != nil {
			return nil, named(err)
		}
		return out, nil
	}}
}

// verb changes something.
type verb func(ctx context.Context, control *backends.Control, c *call) (values, error)

// outcome is the end of a verb.
type outcome struct {
	result values
	err    error
}

// changing is a method that changes something. The verb goes on to its end whether its caller waits or not; it may be interrupted
// anywhere, but not for a caller's sake.
func (s *Service) changing(in, action, operation string, do verb) method {
	return s.method(in, func(c *call) ([]any, error) {
		late := time.After(clientPatience) // for asking the bus and polkit, and for the verb
		who, err := s.guard.allow(c, action)
		if c.msg.Flags&dbus.FlagAllowInteractiveAuthorization != 0 {
			late = time.After(clientPatience) // somebody typed a password, and was waited for
		}
		log := s.log.WithField("user", who.uid)
		if err != nil {
			log.Warnf("%s is refused: %v", operation, err)
			return nil, err
		}
		end, ok := s.sources.observer.Begin(operation)
		if !ok {
			return nil, newError(errBusy, "another call is at work; wait for it to end")
		}
		var gone atomic.Bool // the caller
		done := make(chan outcome, 1)
		s.work.Add(1)
		go func() {
			defer s.work.Done()
			o := s.carryOut(c, do)
			blame := ""
			if o.err != nil {
				log.WithError(o.err).Warnf("%s failed", operation)
				if gone.Load() {
					blame = o.err.Error()
				}
			} else {
				log.Infof("%s is done", operation)
			}
			end(blame) // before the answer: who has it may call again
			done <- o
		}()
		select {
		case o := <-done:
			if o.err != nil {
				return nil, o.err
			}
			return []any{o.result}, nil
		case <-late:
			gone.Store(true)
			return nil, newError(errUnfinished, operation+" takes longer than a client should wait, and goes on; "+
				"the property Operation says when it has ended, and LastError if it failed")
		}
	})
}

// carryOut does a verb and reads what came of it, so that who is answered reads the new values.
func (s *Service) carryOut(c *call, do verb) outcome {
	var o outcome
	control, err := s.opts.Control()
	if err != nil {
		return outcome{err: err}
	}
	o.result, o.err = do(context.WithoutCancel(c.ctx), control, c)
	ctx, cancel := context.WithTimeout(c.ctx, clientPatience/2)
	defer cancel()
	_ = s.sources.observer.Refresh(ctx) // late is no failure: the change is made
	return o
}

// check answers with what a reading found that began after the call. All who ask at once share one.
func (s *Service) check(c *call) ([]any, error) {
	if _, err := s.refresh(c); err != nil {
		return nil, err
	}
	all := []values{}
	for _, p := range s.sources.observer.State().Status.Problems {
		all = append(all, values{
			"check": text(p.Check), "severity": text(string(p.Severity)),
			"reason": text(p.Reason), "next_step": text(p.NextStep),
		})
	}
	return []any{all}, nil
}

func (s *Service) refresh(c *call) ([]any, error) {
	ctx, cancel := context.WithTimeout(c.ctx, clientPatience)
	defer cancel()
	return nil, s.sources.observer.Refresh(ctx)
}
