package main_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	machine "github.com/tegra-ota/tegra-ota/internal/device"
)

// asked are the commands of R36 that only answer.
var asked = []string{
	"get-number-slots", "get-current-slot", "dump-slots-info", "is-rootfs-ab-enabled",
	"-t rootfs get-current-slot", "-t rootfs dump-slots-info", "-t bootloader dump-slots-info",
}

// answered is what a program says: its output and its exit code.
type answered struct {
	Stdout string
	Exit   int
}

// oursAnswers is tegra-bootctl under NVIDIA's name.
func oursAnswers(t *testing.T, dir, command string) answered {
	t.Helper()
	c := exec.Command(filepath.Join(bin, "nvbootctrl"), strings.Fields(command)...)
	c.Env = environment("TEGRA_OTA_ROOT=" + dir)
	out, err := c.Output()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		t.Fatal(err)
	}
	return answered{string(out), c.ProcessState.ExitCode()}
}

// theirsAnswers is NVIDIA's program of R36, as public logs show its output.
func theirsAnswers(t *testing.T, o *virtual.Orin, command string) answered {
	t.Helper()
	out, _, exit := virtual.RunNVBootctrl(context.Background(), machine.New(o.Dir()), o,
		virtual.NVBootctrlOptions{Dialect: virtual.DialectR36}, strings.Fields(command)...)
	return answered{out, exit}
}

// Scripts that read NVIDIA's nvbootctrl read ours: the same bytes, in every state that a device can be in.
func TestAnswersAreNvbootctrlsByteForByte(t *testing.T) {
	boot := func(t *testing.T, o *virtual.Orin, opts virtual.BootOptions) {
		if _, err := o.Boot(context.Background(), opts); err != nil {
			t.Fatal(err)
		}
	}
	say := func(t *testing.T, o *virtual.Orin, command string) {
		if a := oursAnswers(t, o.Dir(), command); a.Exit != 0 {
			t.Fatalf("%s: %+v", command, a)
		}
	}
	for _, tt := range []struct {
		name string
		opts virtual.CreateOptions
		to   func(t *testing.T, o *virtual.Orin)
	}{
		{"flashed", virtual.CreateOptions{}, nil},
		{"of another release", virtual.CreateOptions{L4T: "36.4.3"}, nil},
		{"a switch is pending", virtual.CreateOptions{}, func(t *testing.T, o *virtual.Orin) { say(t, o, "set-active-boot-slot 1") }},
		{"B runs", virtual.CreateOptions{}, func(t *testing.T, o *virtual.Orin) {
			say(t, o, "set-active-boot-slot 1")
			boot(t, o, virtual.BootOptions{})
		}},
		{"B runs for the second time", virtual.CreateOptions{}, func(t *testing.T, o *virtual.Orin) {
			say(t, o, "set-active-boot-slot 1")
			boot(t, o, virtual.BootOptions{})
			boot(t, o, virtual.BootOptions{})
		}},
		{"verified", virtual.CreateOptions{}, func(t *testing.T, o *virtual.Orin) {
			boot(t, o, virtual.BootOptions{})
			say(t, o, "verify")
		}},
		{"B is unbootable", virtual.CreateOptions{}, func(t *testing.T, o *virtual.Orin) { say(t, o, "set-slot-as-unbootable 1") }},
		{"no root file system redundancy", virtual.CreateOptions{Redundancy: virtual.BootOnly}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.AppSize, tt.opts.ImageSize = 64<<10, 256
			o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if tt.to != nil {
				tt.to(t, o)
			}
			for _, command := range asked {
				if d := cmp.Diff(theirsAnswers(t, o, command), oursAnswers(t, o.Dir(), command)); d != "" {
					t.Errorf("nvbootctrl %s: NVIDIA's and ours differ:\n%s", command, d)
				}
			}
		})
	}
}

// R35 removed commands that scripts of JetPack 4 call; ours still has them, and acts on them.
func TestCommandsThatNVIDIARemoved(t *testing.T) {
	o, err := virtual.Create(filepath.Join(t.TempDir(), "orin"), virtual.CreateOptions{AppSize: 64 << 10, ImageSize: 256})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		command string
		want    answered
	}{
		{"mark-boot-successful", answered{}},
		{"is-slot-bootable 1", answered{}},
		{"is-slot-marked-successful 0", answered{}},
		{"get-suffix 0", answered{Stdout: "\n"}},
		{"get-suffix 1", answered{Stdout: "_b\n"}},
		{"set-slot-as-unbootable 1", answered{}},
		{"is-slot-bootable 1", answered{Exit: 1}},
		{"is-slot-bootable 0", answered{}},
		{"is-unified-enabled", answered{}},
		{"get-number-slots 1", answered{Exit: 64}},
		{"get-retry-count 0", answered{Exit: 64}},
	} {
		if d := cmp.Diff(step.want, oursAnswers(t, o.Dir(), step.command)); d != "" {
			t.Errorf("nvbootctrl %s: %s", step.command, d)
		}
		if theirs := theirsAnswers(t, o, step.command); step.want.Exit != 64 && theirs.Exit != 64 {
			t.Errorf("nvbootctrl %s: R36 has it: %+v", step.command, theirs)
		}
	}
	if _, err := os.Stat(filepath.Join(o.Dir(), "run/tegra-ota")); err != nil {
		t.Errorf("nothing was done: %v", err)
	}
}
