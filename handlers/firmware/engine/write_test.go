package engine_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Each module takes its BUP, with either command line, and exactly these programs run.
func TestInstalls(t *testing.T) {
	const asks = "nvbootctrl get-current-slot\nnvbootctrl dump-slots-info\n"
	for _, tt := range []struct {
		module  string
		payload bool
		want    string
	}{
		{xavierNX, true, asks + "nv_update_engine -h\nnvbootctrl dump-slots-info\nnvbootctrl is-unified-enabled\n" + asks +
			"nv_update_engine -i bl-only --payload /data/tegra-ota/firmware.bup --no-reboot\n" + asks},
		{xavierNX, false, asks + "nv_update_engine -h\n" + asks + "nv_update_engine --install no-reboot\n" + asks},
		{xavierAGX, false, asks + "nv_update_engine -h\n" + asks + "nv_update_engine --install no-reboot\n" + asks},
		{tx2, false, asks + "nv_update_engine -h\n" + asks + "nv_update_engine --install no-reboot\n" + asks},
	} {
		r := newRig(t, filepath.Join(t.TempDir(), "device"), tt.module, virtual.ProgramOptions{Payload: &tt.payload})
		written, err := r.install(build(t, virtual.BUPOptions{Module: tt.module}))
		if err != nil {
			t.Fatalf("%s, --payload %v: %v", tt.module, tt.payload, err)
		}
		if d := cmp.Diff(strings.Split(tt.want, "\n"), strings.Split(strings.Join(*r.calls, "\n")+"\n", "\n")); d != "" {
			t.Errorf("%s, --payload %v: %s", tt.module, tt.payload, d)
		}
		if len(written.Notes) == 0 || !strings.Contains(written.Notes[0], "wrote slot B") {
			t.Errorf("%q", written.Notes)
		}
		r.whole(virtual.A, "32.7.5")
		r.whole(virtual.B, "32.7.6")
		r.harmless()
		r.clean()
	}
}

// bl-only is for devices whose bootloader and root file system are one; an answer that is none is refused before anything is kept.
func TestUnifiedDecidesTheType(t *testing.T) {
	for _, tt := range []struct {
		exit int
		want string
		code fail.Code
		text string
	}{
		{0, "bl-only", 0, ""}, {64, "bl", 0, ""}, {69, "bl", 0, ""}, {70, "bl", 0, ""},
		{1, "", fail.Unavailable, "cannot tell whether chain and root file system are switched as one"}, {-1, "", fail.IO, "a signal ended it"},
	} {
		r := newNX(t, virtual.ProgramOptions{Payload: ptr(true)})
		model := virtual.Programs(r.o, virtual.ProgramOptions{})[control]
		r.program(control, func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
			if c.Args[0] == "is-unified-enabled" {
				return device.Result{ExitCode: tt.exit}, nil
			}
			return model(ctx, m, c)
		})
		_, err := r.install(build(t, virtual.BUPOptions{}))
		if tt.want == "" {
			wantFailure(t, err, tt.code, tt.text)
			r.whole(virtual.B, "32.7.5")
			r.clean()
			continue
		}
		must(t, err)
		want := "nv_update_engine -i " + tt.want + " --payload /data/tegra-ota/firmware.bup --no-reboot"
		if got := strings.Join(*r.calls, "\n"); !strings.Contains(got, want+"\n") {
			t.Errorf("exit %d: %s", tt.exit, got)
		}
	}
}

// Whatever the program does wrong is an error, with words and a next step; nothing is left behind, and a repetition heals it.
func TestEveryFailureIsNoticed(t *testing.T) {
	t.Parallel()
	want := map[virtual.UpdateEngineFailure]string{
		virtual.EngineDies: "a signal ended nv_update_engine", virtual.EngineHangs: "did not end in time",
		virtual.EngineNoEffect: "the slots did not change", virtual.EngineNotMoved: "the slots did not change",
	}
	for n, word := range []string{"", "cannot open the payload", "boot control failed", "cannot open a partition", "an internal error", "cannot open the slot"} {
		want[virtual.UpdateEngineFailure(fmt.Sprintf("status-%d", n))] = word
		want[virtual.UpdateEngineFailure(fmt.Sprintf("status-%d-exit-0", n))] = word
	}
	raw := build(t, virtual.BUPOptions{})
	for _, failure := range virtual.UpdateEngineFailures {
		for _, byPayload := range []bool{false, true} {
			r := newNX(t, virtual.ProgramOptions{Payload: &byPayload, EngineFailure: failure})
			help := virtual.Programs(r.o, virtual.ProgramOptions{Payload: &byPayload})[updater]
			broken := virtual.Programs(r.o, virtual.ProgramOptions{Payload: &byPayload, EngineFailure: failure})[updater]
			healthy := false
			r.program(updater, func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
				if healthy || c.Args[0] == "-h" {
					return help(ctx, m, c)
				}
				return broken(ctx, m, c)
			})
			if failure == virtual.EngineHangs {
				r.opts.Timeout = 10e6
			}
			_, err := r.install(raw)
			wantFailure(t, err, fail.IO, want[failure])
			if fail.NextOf(err) == "" {
				t.Errorf("%s: no next step: %v", failure, err)
			}
			r.whole(virtual.A, "32.7.5")
			r.clean()
			healthy = true
			if _, err := r.install(raw); err != nil {
				t.Errorf("%s: the repetition fails: %v", failure, err)
			}
			r.whole(virtual.B, "32.7.6")
			r.harmless()
		}
	}
}

// The end of the output is judged, wherever the sentence stands in it and whatever the exit code is.
func TestOutputIsJudged(t *testing.T) {
	long := strings.Repeat("a line of progress\n", 5000)
	for _, tt := range []struct {
		name string
		res  device.Result
		want string
	}{
		{"on standard output", device.Result{Stdout: "OTA Blob update failed. Status: 3\n"}, "status 3 (it cannot open a partition), exit 0"},
		{"on standard error", device.Result{Stdout: "done\n", Stderr: "OTA Blob update failed. Status: 2"}, "status 2 (boot control failed)"},
		{"behind much", device.Result{Stdout: long + "OTA Blob update failed. Status: 5\nbye\n"}, "status 5 (it cannot open the slot)"},
		{"an unknown status", device.Result{Stdout: "Update failed. Status: 17\n", ExitCode: 1}, "status 17 (an unknown reason), exit 1"},
		{"no number", device.Result{Stdout: "Update failed. Status: \n"}, "status -1 (an unknown reason)"},
		{"status 0", device.Result{Stdout: "Update failed. Status: 0\n"}, "status 0 (no failure)"},
		{"an exit code only", device.Result{Stdout: long, ExitCode: 255}, "ended with exit 255: \"a line of progress\""},
		{"a signal", device.Result{ExitCode: -1}, "a signal ended nv_update_engine: it printed nothing"},
		{"nothing at all", device.Result{}, "the slots did not change"},
		{"an older failure", device.Result{Stdout: "failed. Status: 3\n" + long}, "the slots did not change"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		r.program(updater, answering(tt.res, nil))
		_, err := r.install(build(t, virtual.BUPOptions{}))
		if err == nil || !strings.Contains(err.Error(), tt.want) || fail.CodeOf(err) != fail.IO {
			t.Errorf("%s: %v, want ...%s...", tt.name, err, tt.want)
		}
		r.clean()
	}
}

// A run that says success is believed only if the slots fit: the running one still runs, the target is bootable again.
func TestSlotsAreJudged(t *testing.T) {
	dump := func(b string) string {
		return "magic:0x43424e00,             version: 3             features: 3             num_slots: 2\n" +
			"slot: 0,             priority: 15,             suffix: _a,             retry_count: 7,             boot_successful: 1\n" +
			"slot: 1,             " + b + "\n"
	}
	const unbootable = "priority: 0, suffix: _b, retry_count: 0, boot_successful: 0"
	for _, tt := range []struct {
		name, current, after, want string
	}{
		{"active", "0", "priority: 15, suffix: _b, retry_count: 7, boot_successful: 0", ""},
		{"bootable and not active", "0", "priority: 14, suffix: _b, retry_count: 7, boot_successful: 0", ""},
		{"unchanged", "0", unbootable, "the slots did not change"},
		{"no retries", "0", "priority: 15, suffix: _b, retry_count: 0, boot_successful: 0", "slot B is not bootable"},
		{"no priority", "0", "priority: 0, suffix: _b, retry_count: 7, boot_successful: 0", "slot B is not bootable"},
		{"another slot runs", "1", "priority: 15, suffix: _b, retry_count: 7, boot_successful: 0", "slot A ran before it, and nvbootctrl now says B"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		ran := false
		r.program(updater, func(_ context.Context, _ *device.Machine, c device.Command) (device.Result, error) {
			ran = c.Args[0] != "-h"
			return device.Result{Stdout: "success\n"}, nil
		})
		r.program(control, func(_ context.Context, _ *device.Machine, c device.Command) (device.Result, error) {
			switch {
			case c.Args[0] == "get-current-slot" && ran:
				return device.Result{Stdout: tt.current + "\n"}, nil
			case c.Args[0] == "get-current-slot":
				return device.Result{Stdout: "0\n"}, nil
			case ran:
				return device.Result{Stdout: dump(tt.after)}, nil
			}
			return device.Result{Stdout: dump(unbootable)}, nil
		})
		_, err := r.install(build(t, virtual.BUPOptions{}))
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		wantFailure(t, err, fail.IO, tt.want)
		r.clean()
	}
}

// Whatever the programs answer: nothing runs that enables redundancy, reboots or switches slots, and no file is left behind.
func TestNothingHarmfulEverRuns(t *testing.T) {
	t.Parallel()
	base := ramFolder(t)
	count := 0
	raw := build(t, virtual.BUPOptions{})
	rapid.Check(t, func(rt *rapid.T) {
		count++
		r := newRig(t, filepath.Join(base, fmt.Sprint(count)), xavierNX, virtual.ProgramOptions{Payload: ptr(rapid.Bool().Draw(rt, "payload"))})
		for _, path := range []string{control, updater} {
			model := virtual.Programs(r.o, virtual.ProgramOptions{})[path]
			r.program(path, func(ctx context.Context, m *device.Machine, c device.Command) (device.Result, error) {
				if rapid.IntRange(0, 3).Draw(rt, path) > 0 {
					return model(ctx, m, c)
				}
				return device.Result{
					Stdout: rapid.SampledFrom([]string{"", "0", "1", "--payload", "failed. Status: 4", "-e"}).Draw(rt, "stdout"),
					Stderr: rapid.SampledFrom([]string{"", "Error: x", "--enable-ab"}).Draw(rt, "stderr"), ExitCode: rapid.IntRange(-1, 70).Draw(rt, "exit"),
				}, nil
			})
		}
		_, err := r.install(raw)
		if code := fail.CodeOf(err); code == fail.Internal || code == fail.Usage {
			rt.Fatalf("%s: %v", code, err)
		}
		r.harmless()
		r.clean()
		if t.Failed() {
			rt.Fatal("see above")
		}
	})
}
