package virtual_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Wherever the power is cut while the engine writes, the running slot boots, and a second install cures the other one.
func TestCutAtEachChangeOfAnInstall(t *testing.T) {
	for _, module := range []string{xavierNX, xavierAGX} {
		origin := create(t, jetPack4(module))
		put(t, origin, payloadPath, payload(t, virtual.BUPOptions{Module: module}))
		o := clone(t, origin)
		for at := 1; ; at++ {
			if err := o.CopyFrom(origin); err != nil {
				t.Fatal(err)
			}
			fault := &device.Fault{CutAt: at}
			m := virtual.WithPrograms(machineOf(o).WithFault(fault), o, virtual.ProgramOptions{})
			install := device.Command{Path: virtual.UpdateEnginePath, Args: []string{"--install", "no-reboot"}}
			res, err := m.Run(context.Background(), install)
			if err != nil || (res.ExitCode == -1) != fault.WasCut() {
				t.Fatalf("%s, change %d: %+v, %v", module, at, res, err)
			}
			if !fault.WasCut() {
				if at < 40 {
					t.Errorf("%s: only %d changes", module, at-1)
				}
				break
			}
			r := boot(t, o, virtual.BootOptions{Cold: true})
			moved := slots(t, o) == "14/7+ 15/6-"
			if want := map[bool]string{false: "running AA", true: "running BB"}[moved]; where(r) != want || moved && chains(t, o) != "32.7.5 true, 32.7.6 true" {
				t.Errorf("%s, change %d: %s, slots %s, chains %s", module, at, where(r), slots(t, o), chains(t, o))
			}
			if moved {
				continue
			}
			if _, _, exit := engine(o, virtual.UpdateEngineOptions{}, install.Args...); exit != 0 || chains(t, o) != "32.7.5 true, 32.7.6 true" {
				t.Errorf("%s, change %d: the second install: exit %d, chains %s", module, at, exit, chains(t, o))
			}
		}
	}
}

// A damaged image is nobody's to notice before the chain is started.
func TestDamagedImagesShowAtBoot(t *testing.T) {
	for damage, want := range map[virtual.Damage]string{virtual.DamageImage: "running AA", virtual.DamageVersions: "running BB"} {
		o := create(t, jetPack4(xavierNX))
		put(t, o, payloadPath, payload(t, virtual.BUPOptions{Module: xavierNX, Damage: damage}))
		if out, _, exit := engine(o, virtual.UpdateEngineOptions{}, "-i", "no-reboot"); exit != 0 {
			t.Fatalf("%s: exit %d\n%s", damage, exit, out)
		}
		if r := boot(t, o, virtual.BootOptions{}); where(r) != want {
			t.Errorf("%s: %s", damage, where(r))
		}
	}
}

func TestProgramsFollowTheirSettings(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	no := false
	for _, p := range []virtual.ProgramOptions{
		{Dialect: "r99"}, {Failure: "tired"}, {EngineFailure: "status-6"},
	} {
		if err := o.SetPrograms(p); fail.CodeOf(err) != fail.Usage {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if out, _, exit, err := o.RunProgram(context.Background(), "nv_update_engine", "-h"); err != nil || exit != 0 || !strings.Contains(out, "--payload") {
		t.Errorf("as the release: exit %d, %v\n%s", exit, err, out)
	}
	if err := o.SetPrograms(virtual.ProgramOptions{Dialect: virtual.DialectR32Old, Payload: &no, Failure: virtual.NVExit1}); err != nil {
		t.Fatal(err)
	}
	if out, _, exit, err := o.RunProgram(context.Background(), "nvbootctrl", "dump-slots-info"); err != nil || exit != 1 || !strings.HasPrefix(out, "magic:") {
		t.Errorf("r32-old: exit %d, %v\n%s", exit, err, out)
	}
	if out, _, _, err := o.RunProgram(context.Background(), "nv_update_engine", "-h"); err != nil || strings.Contains(out, "--payload") {
		t.Errorf("without --payload: %v\n%s", err, out)
	}
	if _, _, _, err := o.RunProgram(context.Background(), "ls"); fail.CodeOf(err) != fail.Usage {
		t.Errorf("ls: %v", err)
	}
	put(t, o, "qspi/programs.json", "{")
	if _, _, _, err := o.RunProgram(context.Background(), "nvbootctrl"); err == nil {
		t.Error("a broken file of settings is taken")
	}
}

// The scripts find their device by their own place and hand on every argument as it is.
func TestScriptsHandOnArguments(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	shim := filepath.Join(t.TempDir(), "it's a shim")
	if err := os.WriteFile(shim, []byte("#!/bin/sh\nprintf '[%s]' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := o.InstallPrograms(shim); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*virtual.Orin{o, clone(t, o)} {
		for path, name := range map[string]string{virtual.NVBootctrlPath: "nvbootctrl", virtual.UpdateEnginePath: "nv_update_engine"} {
			res, err := machineOf(d).Run(context.Background(), device.Command{Path: path, Args: []string{"-t", "rootfs", "-e", "a b", "--help"}})
			if want := "[program][" + d.Dir() + "][" + name + "][-t][rootfs][-e][a b][--help]"; err != nil || res.Stdout != want {
				t.Errorf("%s: %q, %v, want %q", path, res.Stdout, err, want)
			}
		}
	}
}
