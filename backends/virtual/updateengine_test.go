package virtual_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/formats/bup"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

const payloadPath = "opt/ota_package/bl_update_payload"

func engine(o *virtual.Orin, opts virtual.UpdateEngineOptions, args ...string) (stdout, stderr string, exit int) {
	return virtual.RunUpdateEngine(context.Background(), machineOf(o), o, opts, args...)
}

func payload(t testing.TB, opts virtual.BUPOptions) string {
	t.Helper()
	if opts.ImageSize == 0 {
		opts.ImageSize = 256
	}
	if opts.L4T == "" {
		opts.L4T = "32.7.6"
	}
	raw, err := virtual.BuildBUP(opts)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func recordOf(t testing.TB, o *virtual.Orin) virtual.EngineRecord {
	t.Helper()
	r, err := o.EngineRecord()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func chains(t testing.TB, o *virtual.Orin) string {
	t.Helper()
	var words []string
	for _, s := range []virtual.Slot{virtual.A, virtual.B} {
		c, err := o.Chain(s)
		if err != nil {
			t.Fatal(err)
		}
		words = append(words, fmt.Sprintf("%s %t", c.VersionText, c.Whole))
	}
	return strings.Join(words, ", ")
}

func hello(boot string) string {
	return "Nvidia A/B-Redundancy Update tool Version 1.2\ncurrent slot 0\nStart updating slot 1\n" +
		"Tegra User Block Device: /dev/disk/by-partlabel\nTegra Boot Block Device: " + boot + "\n"
}

func TestPayloadIsAsR32Has(t *testing.T) {
	pkg, err := bup.ParseAt(bytes.NewReader([]byte(payload(t, virtual.BUPOptions{Module: xavierNX}))), int64(len(payload(t, virtual.BUPOptions{Module: xavierNX}))))
	if err != nil {
		t.Fatal(err)
	}
	if pkg.Header.Format != bup.V2 || pkg.Header.HeaderSize != 48 || pkg.Entries[0].Name != "spe-fw" {
		t.Errorf("%+v, first %+v", pkg.Header, pkg.Entries[0])
	}
	specs := map[string]bool{}
	for _, e := range pkg.Entries {
		specs[e.Spec] = true
	}
	want := map[string]bool{"": true, "3668-100-0001--1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1": true, "3668-301-0001--1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1": true}
	if d := cmp.Diff(want, specs); d != "" {
		t.Error(d)
	}
	for _, opts := range []virtual.BUPOptions{
		{Module: "p3767-0005", L4T: "32.7.6"}, {Module: "x", L4T: "32.7.6"}, {Module: tx2, L4T: "x"},
		{Module: tx2, L4T: "32.7.6", Omit: []string{"mts-mce"}}, {Module: tx2, L4T: "32.7.6", Damage: "all"},
	} {
		if _, err := virtual.BuildBUP(opts); fail.CodeOf(err) != fail.Usage {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

func TestInstallWritesTheOtherChainAndMovesTheSlot(t *testing.T) {
	for _, tt := range []struct {
		module, boot string
		payload      bool
		args         string
		reboots      int
	}{
		{xavierNX, "/dev/mtdblock0", false, "--install no-reboot", 0},
		{xavierAGX, "/dev/mmcblk0boot0", true, "-i bl --payload /data/firmware.bup --no-reboot", 0},
		{tx2, "/dev/mmcblk0boot0", true, "-i bl-only --payload /data/firmware.bup no-reboot", 0},
		{tx2, "/dev/mmcblk0boot0", false, "-i", 1},
	} {
		o := create(t, jetPack4(tt.module))
		file := payloadPath
		if strings.Contains(tt.args, "--payload") {
			file = "data/firmware.bup"
		}
		put(t, o, file, payload(t, virtual.BUPOptions{Module: tt.module, Kernel: true}))
		out, errs, exit := engine(o, virtual.UpdateEngineOptions{Payload: tt.payload}, strings.Fields(tt.args)...)
		if exit != 0 || errs != "" || !strings.HasPrefix(out, hello(tt.boot)) || strings.Contains(out, "failed") {
			t.Errorf("%s %s: exit %d, %q\n%s", tt.module, tt.args, exit, errs, out)
		}
		if got := chains(t, o); got != "32.7.5 true, 32.7.6 true" {
			t.Errorf("%s %s: chains %s", tt.module, tt.args, got)
		}
		if got := slots(t, o); got != "14/7+ 15/7-" {
			t.Errorf("%s %s: slots %s", tt.module, tt.args, got)
		}
		if kernel := read(t, o, "dev/disk/by-partlabel/kernel_b"); !strings.HasPrefix(kernel, "NVDA") || len(kernel) != 64<<10 {
			t.Errorf("%s %s: kernel_b has %d bytes, %q", tt.module, tt.args, len(kernel), kernel[:8])
		}
		want := virtual.EngineRecord{Calls: [][]string{strings.Fields(tt.args)}, Reboots: tt.reboots}
		if d := cmp.Diff(want, recordOf(t, o)); d != "" {
			t.Errorf("%s %s: %s", tt.module, tt.args, d)
		}
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running BB" {
			t.Errorf("%s %s: boots to %s", tt.module, tt.args, where(r))
		}
	}
}

func TestInstallRefusesWhatItCanNotWrite(t *testing.T) {
	off := jetPack4(xavierNX)
	off.Redundancy = virtual.NoVariables
	for _, tt := range []struct {
		name    string
		opts    virtual.CreateOptions
		payload string
		status  int
	}{
		{"no payload", jetPack4(xavierNX), "", 1},
		{"no container", jetPack4(xavierNX), payload(t, virtual.BUPOptions{Module: xavierNX, Damage: virtual.DamageMagic}), 1},
		{"cut off", jetPack4(xavierNX), payload(t, virtual.BUPOptions{Module: xavierNX, Damage: virtual.DamageCut}), 1},
		{"a capsule's container", jetPack4(xavierNX), "NVIDIA__BLOB__V3", 1},
		{"redundancy off", off, payload(t, virtual.BUPOptions{Module: xavierNX}), 2},
		{"another board", jetPack4(xavierNX), payload(t, virtual.BUPOptions{Module: xavierNX, Specs: []string{"3668-301-0001--1-2-jetson-xavier-nx-devkit-emmc-mmcblk0p1"}}), 4},
		{"an image too large", jetPack4(xavierNX), payload(t, virtual.BUPOptions{Module: xavierNX, ImageSize: 65<<10 + 1}), 4},
		{"an image without place", jetPack4(xavierNX), payload(t, virtual.BUPOptions{Module: tx2, Specs: []string{""}}), 5},
	} {
		o := create(t, tt.opts)
		if tt.payload != "" {
			put(t, o, payloadPath, tt.payload)
		}
		before := slots(t, o)
		out, _, exit := engine(o, virtual.UpdateEngineOptions{}, "-i", "no-reboot")
		if want := hello("/dev/mtdblock0") + fmt.Sprintf("OTA Blob update failed. Status: %d\n", tt.status); exit != 1 || out != want {
			t.Errorf("%s: exit %d\n%s", tt.name, exit, out)
		}
		if got := chains(t, o); got != "32.7.5 true, 32.7.5 true" || slots(t, o) != before {
			t.Errorf("%s: chains %s, slots %s", tt.name, got, slots(t, o))
		}
	}
}

func TestInstallFailsAsAskedFor(t *testing.T) {
	const whole, half = "32.7.5 true, 32.7.5 true", "32.7.5 true, 32.7.5 false"
	for _, tt := range []struct {
		failure virtual.UpdateEngineFailure
		exit    int
		last    string
		chains  string
		slots   string
	}{
		{"status-1", 1, "failed. Status: 1", whole, "15/7+ 14/7+"},
		{"status-2-exit-0", 0, "failed. Status: 2", whole, "15/7+ 14/7+"},
		{"status-3", 1, "failed. Status: 3", whole, "15/7+ 14/7+"},
		{"status-4-exit-0", 0, "failed. Status: 4", half, "15/7+ 14/7+"},
		{"status-5", 1, "failed. Status: 5", half, "15/7+ 14/7+"},
		{virtual.EngineDies, -1, "Tegra Boot Block Device: /dev/mtdblock0", half, "15/7+ 14/7+"},
		{virtual.EngineNoEffect, 0, "update done", whole, "15/7+ 14/7+"},
		{virtual.EngineNotMoved, 0, "update done", "32.7.5 true, 32.7.6 true", "15/7+ 14/7+"},
	} {
		o := create(t, jetPack4(xavierNX))
		put(t, o, payloadPath, payload(t, virtual.BUPOptions{Module: xavierNX}))
		out, _, exit := engine(o, virtual.UpdateEngineOptions{Failure: tt.failure}, "--install", "no-reboot")
		if exit != tt.exit || !strings.HasSuffix(out, tt.last+"\n") || chains(t, o) != tt.chains || slots(t, o) != tt.slots {
			t.Errorf("%s: exit %d, chains %s, slots %s\n%s", tt.failure, exit, chains(t, o), slots(t, o), out)
		}
		if r := boot(t, o, virtual.BootOptions{}); where(r) != "running AA" {
			t.Errorf("%s: boots to %s", tt.failure, where(r))
		}
	}
}

// The guides' "-i FILE -e" and "-e --verify" change what the device is.
func TestEnableIsDoneAndRecorded(t *testing.T) {
	for _, args := range []string{"-e", "--enable-ab", "-e --verify", "-i /data/firmware.bup -e"} {
		opts := jetPack4(tx2)
		opts.Redundancy = virtual.NoVariables
		o := create(t, opts)
		engine(o, virtual.UpdateEngineOptions{Payload: true}, strings.Fields(args)...)
		m, err := o.Metadata()
		if r := recordOf(t, o); err != nil || r.EnabledAB != 1 || m.MaxSlots != 2 || m.Features == 0 {
			t.Errorf("%s: record %+v, metadata %+v, %v", args, r, m, err)
		}
	}
	o := create(t, jetPack4(tx2))
	if _, _, exit := engine(o, virtual.UpdateEngineOptions{}, "-d"); exit != 0 || recordOf(t, o).DisabledAB != 1 || slots(t, o) != "15/7+ 0/0-" {
		t.Errorf("-d: exit %d, slots %s", exit, slots(t, o))
	}
}

func TestVerifyMarksTheRunningSlot(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	activateB(t, o)
	boot(t, o, virtual.BootOptions{})
	out, _, exit := engine(o, virtual.UpdateEngineOptions{}, "--verify")
	want := "Nvidia A/B-Redundancy Update tool Version 1.2\nverifying update\nThe current slot 1 is marked as boot successful\n"
	if exit != 0 || out != want || slots(t, o) != "14/7+ 15/7+" {
		t.Errorf("exit %d, slots %s\n%s", exit, slots(t, o), out)
	}
}

func TestHelpTellsWhetherItKnowsPayload(t *testing.T) {
	o := create(t, jetPack4(xavierNX))
	for _, knows := range []bool{false, true} {
		out, _, exit := engine(o, virtual.UpdateEngineOptions{Payload: knows}, "-h")
		if exit != 0 || strings.Contains(out, "--payload") != knows {
			t.Errorf("payload %t: exit %d\n%s", knows, exit, out)
		}
	}
	for _, args := range []string{"", "-x", "-i --payload /p", "-i --no-reboot"} {
		if out, errs, exit := engine(o, virtual.UpdateEngineOptions{}, strings.Fields(args)...); exit != 1 || out != "" || !strings.HasPrefix(errs, "Usage: ") {
			t.Errorf("%q: exit %d, %q, %q", args, exit, out, errs)
		}
	}
	if _, errs, exit := engine(create(t, small()), virtual.UpdateEngineOptions{}, "-i", "no-reboot"); exit != 1 || !strings.HasPrefix(errs, "Error: ") {
		t.Errorf("on Orin: exit %d, %q", exit, errs)
	}
}
