package observe

import "github.com/tegra-ota/tegra-ota/backends"

// trouble is what is wrong, by whom it concerns.
type trouble struct {
	device  error  // the device cannot be read
	watch   error  // changes are not noticed
	journal string // the journal cannot be trusted
	failed  string // why the last install failed
	unseen  map[string]string
}

// text is the one sentence for people: what hides the truth comes before what went wrong.
func (t *trouble) text() string {
	switch {
	case t.device != nil:
		return t.device.Error()
	case t.journal != "":
		return t.journal
	case t.failed != "":
		return t.failed
	case t.watch != nil:
		return t.watch.Error()
	}
	for _, updater := range []string{"swupdate", "rauc"} {
		if reason := t.unseen[updater]; reason != "" {
			return reason
		}
	}
	return ""
}

// learn takes over what a reading says.
func (t *trouble) learn(st backends.Status) {
	t.device, t.journal = nil, ""
	for _, p := range st.Problems {
		if p.Check == "journal" {
			t.journal = p.Reason
			if p.NextStep != "" {
				t.journal += "; " + p.NextStep
			}
			return
		}
	}
}
