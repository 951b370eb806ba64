package backends_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// What can be decided without writing is decided before Begin: a refusal leaves status, journal and fall-back as they were.
func TestRefusalLeavesEverythingAsItWas(t *testing.T) {
	app := func(d *ruleDevice) error { return d.write("APP", "u") }
	firmware := func(change func(*virtual.CapsuleOptions)) func(*ruleDevice) error {
		return func(d *ruleDevice) error { _, err := d.stageRaw(d.capsule("36.4.3", change), "u"); return err }
	}
	none := func(*ruleDevice) {}
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		act     func(d *ruleDevice) error
		code    fail.Code
		words   string
	}{
		{"no such partition", none, func(d *ruleDevice) error { return d.write("UDA", "u") }, fail.Usage, "APP, kernel and kernel-dtb"},
		{"target mounted", func(d *ruleDevice) {
			mounts := d.text("proc/self/mountinfo")
			d.put("proc/self/mountinfo", mounts+"\n99 22 259:2 / /mnt rw - ext4 /dev/nvme0n1p2 rw\n")
		}, app, fail.Unavailable, "mounted at /mnt"},
		{"running slot's partition under the target's label", func(d *ruleDevice) {
			d.remove("dev/disk/by-partlabel/APP_b")
			ruleMust(d.t, os.Symlink("../../nvme0n1p1", d.path("dev/disk/by-partlabel/APP_b")))
		}, app, fail.Unavailable, "APP"},
		{"too big", none, func(d *ruleDevice) error {
			return d.writeFrom("APP", "u", strings.NewReader(strings.Repeat("x", 1<<20)), false)
		}, fail.Unavailable, "65536 bytes"},
		{"empty", none, func(d *ruleDevice) error { return d.writeFrom("APP", "u", strings.NewReader(""), false) }, fail.Data, "empty"},
		{"no capsule", none, func(d *ruleDevice) error { _, err := d.stageRaw(bytes.Repeat([]byte("x"), 4096), "u"); return err }, fail.Data, ""},
		{"another board", none, firmware(func(o *virtual.CapsuleOptions) { o.Specs = []string{"3701-300-0005--1-0-jetson-agx-orin-devkit-"} }), fail.Data, "for board 3767"},
		{"an image is missing", none, firmware(func(o *virtual.CapsuleOptions) { o.Omit = []string{"mb2"} }), fail.Data, "lacks .*mb2"},
		{"another chip", none, firmware(func(o *virtual.CapsuleOptions) { o.ImageType = "be3f5d68-7654-4ed2-838c-2a2faf901a78" }), fail.Data, "image type"},
		{"below the floor", none, func(d *ruleDevice) error { _, err := d.stage("36.3.0", "u"); return err }, fail.Data, "below the lowest supported version 36.4.0"},
		{"BootNext", func(d *ruleDevice) { d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00") }, app, fail.Unavailable, "BootNext"},
		{"foreign switch", func(d *ruleDevice) { d.set("BootChainFwNext", 1) }, app, fail.Unavailable, "BootChainFwNext"},
		{"a switch to nowhere", func(d *ruleDevice) { d.set("BootChainFwNext", 7) }, app, fail.Unavailable, "BootChainFwNext"},
		{"foreign armed capsule", func(d *ruleDevice) { d.put(ruleArmed, "vendor"); d.request(4) }, app, fail.Unavailable, "TEGRA_BL.Cap .*not tegra-ota's"},
		{"firmware beside a foreign capsule", func(d *ruleDevice) { d.put(ruleArmed, "vendor") }, firmware(func(*virtual.CapsuleOptions) {}), fail.Unavailable, "TEGRA_BL.Cap .*not tegra-ota's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.t = t
			tt.prepare(d)
			before := d.snapshot()
			ruleRefused(t, tt.act(d), tt.code, tt.words)
			d.wantSame(before)
		})
	}
}

// A foreign capsule would be processed beside ours, or cancel our switch; it is somebody else's, so it stays.
func TestForeignCapsuleIsRefusedNeverRemoved(t *testing.T) {
	const foreign = "boot/efi/EFI/UpdateCapsule/vendor.cap"
	for name, act := range map[string]func(d *ruleDevice) error{
		"activate a capsule": func(d *ruleDevice) error { d.t.Helper(); _, err := d.activate(backends.None); return err },
		"stage another":      func(d *ruleDevice) error { _, err := d.stage("36.4.4", "v"); return err },
		"switch":             func(d *ruleDevice) error { ruleMust(d.t, d.abort()); _, err := d.activate(backends.B); return err },
		"install an image":   func(d *ruleDevice) error { return d.write("APP", "v") },
		"activate images": func(d *ruleDevice) error {
			d.remove(foreign)
			ruleMust(d.t, d.write("APP", "v"))
			d.put(foreign, "vendor")
			_, err := d.activate(backends.None)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.t = t
			_, err := d.stage("36.4.3", "u")
			ruleMust(t, err)
			d.put(foreign, "vendor")
			d.request(4)
			ruleRefused(t, act(d), fail.Unavailable, "vendor.cap")
			ruleMust(t, d.abort())
			if !d.has(foreign) || !d.requested() {
				t.Error("the foreign capsule was disarmed")
			}
			if d.word("BootChainFwNext") >= 0 {
				t.Error("a switch was asked for beside it")
			}
		})
	}
}

// A pending switch that we did not ask for is not ours to drop.
func TestForeignSwitchIsRefusedNeverRemoved(t *testing.T) {
	for _, value := range []uint32{1, 7} {
		d := makeRule(t)
		d.install("36.4.3")
		d.set("BootChainFwNext", value)
		_, err := d.activate(backends.None)
		ruleRefused(t, err, fail.Unavailable, "BootChainFwNext")
		ruleRefused(t, d.write("APP", "v"), fail.Unavailable, "BootChainFwNext")
		_, err = d.stage("36.4.3", "v")
		ruleRefused(t, err, fail.Unavailable, "BootChainFwNext")
		ruleMust(t, d.abort())
		if got := d.word("BootChainFwNext"); got != int64(value) {
			t.Errorf("BootChainFwNext is %d after refusals and abort, want %d", got, value)
		}
	}
}

// Taking back our capsule does not take back somebody else's switch.
func TestDisarmingACapsuleKeepsAForeignSwitch(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	d.set("BootChainFwNext", 1)
	ruleMust(t, d.abort())
	if got := d.word("BootChainFwNext"); got != 1 || d.requested() {
		t.Errorf("BootChainFwNext is %d, capsule requested %t; want 1, false", got, d.requested())
	}
}

// BootNext and the digest of the staged file are looked at again: time has passed since install.
func TestActivateChecksAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(d *ruleDevice)
		code  fail.Code
		words string
	}{
		"BootNext": {func(d *ruleDevice) { d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00") }, fail.Unavailable, "BootNext"},
		"digest": {func(d *ruleDevice) {
			text := []byte(d.rawText(ruleStaged))
			text[len(text)-7] ^= 1
			d.put(ruleStaged, string(text))
		}, fail.Unavailable, "staged capsule"},
		"lost": {func(d *ruleDevice) { d.remove(ruleStaged) }, fail.Unavailable, "gone from the ESP"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.t = t
			d.install("36.4.3")
			tt.spoil(d)
			_, err := d.activate(backends.None)
			ruleRefused(t, err, tt.code, tt.words)
			if d.requested() || d.has(ruleArmed) {
				t.Error("the capsule is armed")
			}
			d.wantMarks(ruleBootable, ruleUnbootable)
		})
	}
}
