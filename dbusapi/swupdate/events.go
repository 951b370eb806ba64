package swupdate

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

// What an Ended says where SWUpdate says nothing.
const (
	untold    = "SWUpdate says only that it failed; its log has the reason"
	wentAway  = "SWUpdate went away during the install"
	cancelled = "the update was cancelled"
	forgotten = "SWUpdate began another install without a word on the end of this one"
)

// preparing is what SWUpdate does before it installs an image: it reads the description and judges it.
const preparing = "preparing"

// cancels is how the text of a FAILURE begins that suricatta sends for hawkBit, when hawkBit takes an update back
// (suricatta/server_hawkbit.c; CANCELUPDATE in include/util.h). It is no end: it comes without an install as well, and an install that
// is stopped by it ends with a FAILURE of its own.
const cancels = `{"6": `

// tracker makes events from the messages of one connection.
//
// What comes for one install, found out with 2022.12, 2025.05 and 2026.05: DOWNLOAD at any time before the end where SWUpdate or its
// web server fetches the file; START, when the description was accepted; a RUN with the version in its text; for each step a RUN and
// then PROGRESS; in 2022.12, good or bad, a RUN for one more step that has no name; one SUCCESS or FAILURE, which never has a text.
// A file that is refused before START gives the last alone, in 2022.12 behind its RUN. DONE comes when the client asked for the
// post-update command, which nobody is told the result of.
type tracker struct {
	running bool
	begun   bool // START was seen
	now     install.Progress
	step    uint32
	said    []string // by the handler of this step
}

// take returns what a message means.
func (t *tracker) take(m message) []install.Event {
	var events []install.Event
	switch m.status {
	case start:
		if t.running && t.begun {
			events = t.end(false, forgotten)
		}
		events = append(events, t.advance(m)...)
		t.begun = true
	case run, progress:
		// Without an install these are what suricatta's modules have to tell (server_wfx.lua).
		if t.running || m.steps > 0 || m.step > 0 || m.info == "" {
			events = t.advance(m)
			if words := reason(m.info); words != "" && m.status == progress {
				t.hear(words)
			}
		}
	case download:
		events = t.advance(m)
	case success:
		events = append(t.advance(m), t.end(true, "")...)
	case failure:
		if strings.HasPrefix(m.info, cancels) {
			if t.running {
				t.hear(cancelled)
			}
			return nil
		}
		events = t.advance(m)
		if words := reason(m.info); words != "" {
			t.hear(words)
		}
		events = append(events, t.end(false, t.why())...)
	}
	return events
}

// lost ends an install of which nothing more can be heard.
func (t *tracker) lost(why string) []install.Event {
	if !t.running {
		return nil
	}
	return t.end(false, why)
}

// advance begins the install if that was not seen, and says how far it is if that is news.
func (t *tracker) advance(m message) []install.Event {
	before := t.now
	if !t.running {
		t.now = install.Progress{Step: preparing, Depth: 1}
	}
	switch ended := m.status == success || m.status == failure; {
	case ended:
		// It may be called 100 % for what went wrong, and the name of the last step is known.
	case m.step > 0 && m.image != "":
		t.enter(m)
	case m.step == 0 && m.status == download:
		t.now.Step = fmt.Sprintf("downloading, %d %%", min(m.downloaded, 100))
	}
	if !t.running {
		t.running = true
		return []install.Event{{Updater: install.SWUpdate, Kind: install.Started, Progress: t.now}}
	}
	if t.now == before {
		return nil
	}
	return []install.Event{{Updater: install.SWUpdate, Kind: install.Advanced, Progress: t.now}}
}

// enter notes the step and how far it is. The number of steps may be too low, and may grow (swupdate_progress_addstep).
func (t *tracker) enter(m message) {
	steps := max(m.steps, m.step)
	percent := (uint64(m.step-1)*100 + uint64(min(m.percent, 100))) / uint64(steps)
	t.now.Percent = max(t.now.Percent, int32(percent))
	t.now.Step = fmt.Sprintf("step %d of %d: %s", m.step, steps, m.image)
	if m.handler != "" {
		t.now.Step += " (" + m.handler + ")"
	}
	if m.step != t.step {
		t.step, t.said = m.step, nil // what was said in a step that went well is no reason
	}
}

// hear keeps what a handler says. Ours says why it failed, and then if it could not clean up (swupdate_handlers.lua).
func (t *tracker) hear(words string) {
	const enough = 3
	if n := len(t.said); n > 0 && t.said[n-1] == words {
		return
	}
	t.said = append(t.said, words)
	if len(t.said) > enough {
		t.said = t.said[1:]
	}
}

func (t *tracker) why() string {
	if len(t.said) == 0 {
		return untold
	}
	return strings.Join(t.said, "; ")
}

func (t *tracker) end(good bool, why string) []install.Event {
	*t = tracker{}
	return []install.Event{{Updater: install.SWUpdate, Kind: install.Ended, Success: good, Reason: why}}
}

// reason takes the words out of a message's text: SWUpdate wraps what it was given as {"CAUSE": TEXT} (swupdate_progress_info), and
// cuts it at the end of the buffer. Text that is an object or a list is for programs, such as {"VERSION" : "1.2.3"}.
func reason(info string) string {
	words := strings.TrimSpace(info)
	if rest, ok := strings.CutPrefix(words, `{"`); ok {
		cause, rest, ok := strings.Cut(rest, `":`)
		if _, err := strconv.Atoi(cause); !ok || err != nil {
			return ""
		}
		words = strings.TrimSpace(strings.TrimSuffix(rest, "}"))
	}
	if strings.HasPrefix(words, "{") || strings.HasPrefix(words, "[") {
		return ""
	}
	if unquoted, err := strconv.Unquote(words); err == nil {
		words = unquoted
	}
	return clean(words)
}
