// Package problem is what swdesc's checks find: one sentence for the person who makes the release, and what to do next.
package problem

import (
	"fmt"
	"strings"
)

// Severity says whether a device would refuse or be harmed (Error), or whether somebody should look (Warning).
type Severity string

// The severities, in the words of tegra-bootctl status.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Problem is one finding. Its JSON has the names of tegra-bootctl's problems.
type Problem struct {
	Check    string   `json:"check"` // which check found it, for example "kernel-modules"; what "allow" of a release names
	Severity Severity `json:"severity"`
	Reason   string   `json:"reason"`          // one sentence without a full stop
	NextStep string   `json:"next_step"`       // what to do; "" where nothing better is known
	Where    string   `json:"where,omitempty"` // file, or file:line:column
}

// Errorf returns an error that a check found.
func Errorf(check, format string, args ...any) Problem {
	return Problem{Check: check, Severity: Error, Reason: fmt.Sprintf(format, args...)}
}

// Warnf returns a warning.
func Warnf(check, format string, args ...any) Problem {
	return Problem{Check: check, Severity: Warning, Reason: fmt.Sprintf(format, args...)}
}

// Then returns the problem with a next step.
func (p Problem) Then(format string, args ...any) Problem {
	p.NextStep = fmt.Sprintf(format, args...)
	return p
}

// At returns the problem with the place where it was found.
func (p Problem) At(where string) Problem {
	p.Where = where
	return p
}

// String returns "error (CHECK): WHERE: REASON; NEXT STEP" on one line.
func (p Problem) String() string {
	s := fmt.Sprintf("%s (%s): ", p.Severity, p.Check)
	if p.Where != "" {
		s += p.Where + ": "
	}
	s += p.Reason
	if p.NextStep != "" {
		s += "; " + p.NextStep
	}
	return strings.ReplaceAll(s, "\n", " ")
}

// List is what several checks found, in their order.
type List []Problem

// Errors counts the errors.
func (l List) Errors() int {
	n := 0
	for _, p := range l {
		if p.Severity == Error {
			n++
		}
	}
	return n
}

// Allow returns the list with the errors of the named checks turned into warnings.
func (l List) Allow(checks []string) List {
	out := make(List, len(l))
	for i, p := range l {
		for _, name := range checks {
			if p.Check == name && p.Severity == Error {
				p.Severity, p.NextStep = Warning, "the release allows it"
			}
		}
		out[i] = p
	}
	return out
}
