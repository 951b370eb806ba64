package engine_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/handlers/firmware/engine"
	"github.com/tegra-ota/tegra-ota/internal/chip"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Where the program has no function nothing is opened, and the reason is named.
func TestRefusesDevices(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*rig)
		want   string // "" is accepted
	}{
		{"R32", func(*rig) {}, ""},
		{"no release file", func(r *rig) { must(t, os.Remove(r.path("etc/nv_tegra_release"))) }, ""},
		{"a release file of another kind", func(r *rig) { r.write("etc/nv_tegra_release", "my own system\n") }, ""},
		{"T234", func(r *rig) { r.chip = chip.T234 }, "no function on T234"},
		{"T264", func(r *rig) { r.chip = chip.T264 }, "no function on T264"},
		{"UEFI", func(r *rig) { r.write("sys/firmware/efi/fw_platform_size", "64\n") }, "boots by UEFI"},
		{"R35", func(r *rig) { r.write("etc/nv_tegra_release", "# R35 (release), REVISION: 4.1, GCID: 1\n") }, "says R35"},
		{"R35 of an odd revision", func(r *rig) { r.write("etc/nv_tegra_release", "# R35 (release)\n") }, "says R35"},
		{"no program", func(r *rig) { must(t, os.Remove(r.path(updater))) }, "neither in /usr/sbin"},
		{"no program where configured", func(r *rig) { r.opts.Program = "/opt/x" }, "not at /opt/x"},
		{"a certificate", func(r *rig) { r.opts.CapsuleTrust = "/etc/trust.pem" }, "a BUP V2 carries none"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		tt.change(r)
		_, openErr := r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
		for _, err := range []error{r.stager().Ready(ctx), openErr} {
			if tt.want != "" {
				wantFailure(t, err, fail.Unavailable, tt.want)
			} else if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		if len(*r.calls) != 0 {
			t.Errorf("%s: it ran %q", tt.name, *r.calls)
		}
	}
}

// The file's faults are found at its head, before anything is written or run.
func TestRefusesPayloads(t *testing.T) {
	capsule, err := virtual.BuildCapsule(virtual.CapsuleOptions{L4T: "36.4.3", ImageSize: 256})
	must(t, err)
	v3, err := bup.BuildBytes(bup.BuildOptions{Images: []bup.Image{{Name: "mb1"}}})
	must(t, err)
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"a capsule", capsule, "this device takes a BUP V2"},
		{"a BUP V3", v3, "this device takes a BUP V2"},
		{"no BUP", []byte("0123456789abcdef"), "neither a BUP nor a UEFI capsule"},
		{"another board's", build(t, virtual.BUPOptions{Module: xavierAGX}), "it lacks"},
		{"another chip's", build(t, virtual.BUPOptions{Module: tx2}), "it lacks"},
		{"incomplete", build(t, virtual.BUPOptions{Omit: []string{"mb2", "sc7"}}), "it lacks mb2, sc7 (mb2: the package has no image of that name)"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		_, err := r.stager().Open(ctx, bytes.NewReader(tt.raw))
		wantFailure(t, err, fail.Data, tt.want)
		if len(*r.calls) != 0 {
			t.Errorf("%s: it ran %q", tt.name, *r.calls)
		}
	}
	r := newNX(t, virtual.ProgramOptions{})
	r.write("etc/nv_boot_control.conf", "TEGRA_CHIPID 0x19\n")
	_, err = r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
	wantFailure(t, err, fail.Unavailable, "cannot name the board")
}

// What only the whole stream tells is found by Receive and by Verify, before the engine runs.
func TestRefusesBrokenStreams(t *testing.T) {
	raw := build(t, virtual.BUPOptions{})
	for _, tt := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"truncated", raw[:len(raw)-1], "1 bytes early"},
		{"longer", append(bytes.Clone(raw), 0), "the file goes on"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		_, err := r.install(tt.raw)
		wantFailure(t, err, fail.Data, tt.want)
		r.clean()
		c, err := r.stager().Open(ctx, bytes.NewReader(tt.raw))
		must(t, err)
		wantFailure(t, c.Verify(ctx), fail.Data, tt.want)
		if strings.Contains(strings.Join(*r.calls, "\n"), "install") {
			t.Errorf("%s: it ran %q", tt.name, *r.calls)
		}
	}
}

// Another run in progress is waited for by nobody: it is named.
func TestRefusesARunInProgress(t *testing.T) {
	r := newNX(t, virtual.ProgramOptions{})
	r.write("proc/17/comm", "init\n")
	c, err := r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
	must(t, err)
	r.write("proc/4711/comm", "nv_update_engin\n")
	_, err = r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
	wantFailure(t, err, fail.Busy, "runs already, as process 4711")
	w := c.(backends.Writer)
	_, err = w.Receive(ctx, folder, backends.B)
	must(t, err)
	_, err = w.Write(ctx)
	wantFailure(t, err, fail.Busy, "runs already, as process 4711")
	must(t, w.Discard(ctx))
	r.harmless()
}

// The program writes the slot that does not run; another wish is refused.
func TestRefusesTheRunningSlot(t *testing.T) {
	r := newNX(t, virtual.ProgramOptions{})
	c, err := r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
	must(t, err)
	_, err = c.(backends.Writer).Receive(ctx, folder, backends.A)
	wantFailure(t, err, fail.Unavailable, "slot A runs")
	r.clean()
}

// There is nothing to stage, arm or verify, and nothing waits for a boot.
func TestNothingToArm(t *testing.T) {
	r := newNX(t, virtual.ProgramOptions{})
	s := r.stager()
	c, err := s.Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{})))
	must(t, err)
	_, stageErr := c.Stage(ctx)
	_, writeErr := c.(backends.Writer).Write(ctx)
	for _, err := range []error{s.Arm(ctx, backends.Staged{}), s.Verify(ctx, backends.Staged{}), stageErr, writeErr} {
		wantFailure(t, err, fail.Internal, "cannot")
	}
	must(t, s.Disarm(ctx, backends.Staged{}, true))
	if p, err := s.Pending(ctx, nil); err != nil || p.Armed || p.Staged || p.Requested || p.Foreign != nil || s.Method() != backends.ByEngine {
		t.Error(p, err)
	}
}

func TestWarnings(t *testing.T) {
	for _, tt := range []struct{ l4t, want string }{
		{"32.7.6", ""}, {"32.7.5", ""}, {"32.6.1", "older than the running system 32.7.5"}, {"35.1.0", "this device runs L4T R32"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		c, err := r.stager().Open(ctx, bytes.NewReader(build(t, virtual.BUPOptions{L4T: tt.l4t})))
		must(t, err)
		got := strings.Join(c.Warnings(), "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.l4t, got, tt.want)
		}
	}
}

// A program that hangs is killed with all that it started, and one that babbles fills no memory: with real processes.
func TestRealProcesses(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"hangs", "sleep 600 & echo $! >${0%/usr/*}/child; wait", "did not end in time and was killed"},
		{"babbles", "yes 'a line of progress' | head -c 300000; echo 'OTA Blob update failed. Status: 4'", "status 4 (an internal error), exit 0"},
		{"is killed", "kill -9 $$", "a signal ended nv_update_engine"},
	} {
		r := newNX(t, virtual.ProgramOptions{})
		r.opts = engine.Options{Program: "/usr/sbin/real", Timeout: 2 * time.Second}
		r.write("usr/sbin/real", "#!/bin/sh\n[ \"$1\" = -h ] && exit 0\n"+tt.body+"\n")
		must(t, os.Chmod(r.path("usr/sbin/real"), 0o755))
		_, err := r.install(build(t, virtual.BUPOptions{}))
		wantFailure(t, err, fail.IO, tt.want)
		if child, err := os.ReadFile(filepath.Join(r.o.Dir(), "child")); err == nil {
			pid := strings.TrimSpace(string(child))
			for range 100 {
				stat, err := os.ReadFile("/proc/" + pid + "/stat")
				if err != nil || strings.Contains(string(stat), ") Z ") {
					pid = ""
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			if pid != "" {
				t.Errorf("process %s, which it started, still runs", pid)
			}
		}
		r.clean()
	}
}

// A context that ends is passed on.
func TestContextEnds(t *testing.T) {
	r := newNX(t, virtual.ProgramOptions{})
	ended, cancel := context.WithCancel(ctx)
	r.program(updater, func(context.Context, *device.Machine, device.Command) (device.Result, error) {
		cancel()
		return device.Result{ExitCode: -1}, ended.Err()
	})
	_, err := r.install(build(t, virtual.BUPOptions{}))
	wantFailure(t, err, fail.IO, "context canceled")
	r.clean()
}
