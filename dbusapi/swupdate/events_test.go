package swupdate

import (
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/dbusapi/install"
)

func started(percent int32, step string) install.Event {
	return install.Event{Updater: install.SWUpdate, Kind: install.Started, Progress: install.Progress{Percent: percent, Step: step, Depth: 1}}
}

func advanced(percent int32, step string) install.Event {
	e := started(percent, step)
	e.Kind = install.Advanced
	return e
}

func ended(reason string) install.Event {
	return install.Event{Updater: install.SWUpdate, Kind: install.Ended, Success: reason == "", Reason: reason}
}

// checkEvents fails unless the events of installs are in their order: one start, progress that grows, one end.
func checkEvents(t *testing.T, events []install.Event, running bool, percent int32) (bool, int32) {
	t.Helper()
	for _, e := range events {
		switch {
		case (e.Kind == install.Started) == running:
			t.Fatalf("%+v while running is %v", e, running)
		case e.Kind != install.Ended && (e.Progress.Percent < percent || e.Progress.Percent > 100 || e.Progress.Depth != 1):
			t.Fatalf("%+v after %d %%", e, percent)
		case e.Kind == install.Ended && e.Success != (e.Reason == ""), !utf8.ValidString(e.Progress.Step + e.Reason):
			t.Fatalf("%+v", e)
		}
		running, percent = e.Kind != install.Ended, e.Progress.Percent
	}
	return running, percent
}

func TestEvents(t *testing.T) {
	version := message{status: run, steps: 2, info: `{"0": {"VERSION" : "1.2.3"}}`}
	step := func(s status, n, percent uint32) message {
		return message{status: s, steps: 2, step: n, percent: percent, image: []string{"", "rootfs.img", "TEGRA_BL.Cap"}[n],
			handler: []string{"", "tegra-image", "tegra-bup"}[n]}
	}
	says := func(info string) message {
		m := step(progress, 2, 0)
		m.info = info
		return m
	}
	const first, second = "step 1 of 2: rootfs.img (tegra-image)", "step 2 of 2: TEGRA_BL.Cap (tegra-bup)"
	for _, tt := range []struct {
		name     string
		messages []message
		want     []install.Event
	}{
		{"2022.12, good", []message{{status: start, steps: 2}, version, step(run, 1, 0), step(progress, 1, 50), step(progress, 1, 50),
			step(run, 2, 0), step(progress, 2, 100), {status: run, steps: 2, step: 3}, {status: success, steps: 2, step: 3}, {status: done}},
			[]install.Event{started(0, preparing), advanced(0, first), advanced(25, first), advanced(50, second), advanced(100, second),
				ended("")}},
		{"2022.12, refused", []message{{status: run, step: 1}, {status: failure, step: 1}},
			[]install.Event{started(0, preparing), ended(untold)}},
		{"2026.05, refused", []message{{status: failure}}, []install.Event{started(0, preparing), ended(untold)}},
		{"a description of variables alone", []message{{status: start}, {status: run, info: version.info}, {status: success}},
			[]install.Event{started(0, preparing), ended("")}},
		{"joined in the middle", []message{step(progress, 2, 10), step(success, 2, 100)}, []install.Event{started(55, second), ended("")}},
		{"joined at the end", []message{step(success, 2, 100)}, []install.Event{started(0, preparing), ended("")}},
		{"a handler says why", []message{{status: start, steps: 2}, step(run, 1, 0),
			{status: progress, steps: 2, step: 1, info: `{"0": all is well}`},
			step(run, 2, 0), says(`{"0": tegra-bup TEGRA_BL.Cap: wrong board}`), says(`{"0": tegra-bootctl abort: busy}`), step(failure, 2, 0)},
			[]install.Event{started(0, preparing), advanced(0, first), advanced(50, second),
				ended("tegra-bup TEGRA_BL.Cap: wrong board; tegra-bootctl abort: busy")}},
		{"a failure that says why", []message{{status: failure, info: "out of\npaper\xff"}},
			[]install.Event{started(0, preparing), ended("out of paper\uFFFD")}},
		{"a download", []message{{status: download, downloaded: 1}, {status: download, downloaded: 2}, {status: start, steps: 2, downloaded: 2},
			{status: download, downloaded: 3, steps: 2}, step(run, 1, 0), step(download, 1, 0), step(failure, 1, 0)},
			[]install.Event{started(0, "downloading, 1 %"), advanced(0, "downloading, 2 %"), advanced(0, "downloading, 3 %"),
				advanced(0, first), ended(untold)}},
		{"steps are added", []message{step(run, 2, 50), {status: run, steps: 9, step: 3, image: "c"}, {status: success}},
			[]install.Event{started(75, second), advanced(75, "step 3 of 9: c"), ended("")}},
		{"more steps than announced", []message{{status: run, steps: 1, step: 2, image: "c"}, {status: success}},
			[]install.Event{started(50, "step 2 of 2: c"), ended("")}},
		{"news without an install", []message{{status: subprocess, info: `{"7": { "id" : "1"}}`},
			{status: progress, info: `{"0": {"module": "wfx"}}`},
			{status: failure, info: `{"6": { "id" : "5", "stopId" : "4"}}`}, {status: done}, {status: idle}}, nil},
		{"cancelled", []message{step(run, 1, 0), {status: failure, steps: 2, step: 1, info: `{"6": { "id" : "5", "stopId" : "4"}}`},
			{status: run, steps: 2, step: 2}, {status: failure, steps: 2, step: 2}}, []install.Event{started(0, first), ended(cancelled)}},
		{"another one without an end", []message{{status: start, steps: 2}, {status: start, steps: 2}},
			[]install.Event{started(0, preparing), ended(forgotten), started(0, preparing)}},
	} {
		var tr tracker
		var got []install.Event
		for _, m := range tt.messages {
			got = append(got, tr.take(m)...)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s:\n%s", tt.name, diff)
		}
		checkEvents(t, got, false, 0)
	}
}

func TestReason(t *testing.T) {
	for info, want := range map[string]string{
		``: ``, `{"0": {"VERSION" : "1.2.3"}}`: ``, `{"0": [1]}`: ``, `{"module": "wfx"}`: ``, `{"`: ``, `{"0":}`: ``,
		`{"0": some words}`: `some words`, `{"0": "some words"}`: `some words`, `{"0": cut off`: `cut off`, `just words`: `just words`,
		`{"12": {broken}`: ``,
	} {
		if got := reason(info); got != want {
			t.Errorf("%q: %q, want %q", info, got, want)
		}
	}
}
