package observe

import (
	"errors"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// errSilent is told until a reading ends that takes too long; arrive takes it back.
var errSilent = errors.New("cannot read the device: it does not answer")

// trouble is what is wrong, by whom it concerns.
type trouble struct {
	device    error  // the device cannot be read
	watch     error  // changes are not noticed
	journal   string // the journal cannot be trusted
	suspected string // as journal, seen once
	verb      string // how a verb failed whose caller had gone
	failed    string // why the last install failed
	unseen    map[string]string
}

// text is the one sentence for people: what hides the truth comes before what went wrong.
func (t *trouble) text() string {
	switch {
	case t.device != nil:
		return t.device.Error()
	case t.journal != "":
		return t.journal
	case t.verb != "":
		return t.verb
	case t.failed != "":
		return t.failed
	case t.watch != nil:
		return t.watch.Error()
	}
	for _, updater := range []string{install.SWUpdate, install.RAUC} {
		if reason := t.unseen[updater]; reason != "" {
			return reason
		}
	}
	return ""
}

// learn takes over what a reading says; again asks for another one. Readings take no lock, so one in the middle of a verb may find
// the journal half changed: what is wrong with it is believed when nobody is at work, and when it is seen twice.
func (t *trouble) learn(st backends.Status) (again bool) {
	t.device = nil
	reason := ""
	for _, p := range st.Problems {
		switch {
		case p.Check == "lock":
			return false // a change follows
		case p.Check == "journal" && reason == "":
			reason = p.Reason
		}
	}
	again = reason != "" && reason != t.suspected
	t.suspected = reason
	if !again {
		t.journal = reason
	}
	return again
}
