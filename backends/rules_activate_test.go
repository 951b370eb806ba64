package backends_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// While an image is written the running slot is the only one, so it comes first.
func TestRunningSlotIsMadeSureOfBeforeTheTargetIsMarked(t *testing.T) {
	d := newRule(t)
	d.set("RootfsStatusSlotA", 255)
	d.put(rulePMC+"rootfs_retry_count_a", "0x1\n")
	ruleMust(t, d.write("APP", "u"))
	d.wantOrder("RootfsStatusSlotA", "rootfs_retry_count_a", "journal.json", "RootfsStatusSlotB", "rootfs_retry_count_b")
	d.wantMarks(ruleBootable, ruleUnbootable)
}

// If the running slot cannot be made sure of, the target keeps its status: 74.
func TestNothingIsMarkedIfTheRunningSlotCannotBe(t *testing.T) {
	d := newRule(t)
	d.set("RootfsStatusSlotA", 255)
	before := d.snapshot()
	d.failAt = 1
	ruleRefused(t, d.write("APP", "u"), fail.IO, "running slot A")
	d.wantSame(before)
}

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

// Journal, target's status, left-over trial, and last the one write that makes the firmware act.
func TestActivateClearsLeftOverTrialBeforeArming(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		t.Run("firmware "+l4t, func(t *testing.T) {
			d := newRule(t)
			d.install(l4t)
			d.set("BootChainFwStatus", 0)
			_, err := d.activate(backends.None)
			ruleMust(t, err)
			last := "BootChainFwNext"
			order := []string{"marks-[01].json", "rename .*journal.json", "RootfsStatusSlotB", "rootfs_retry_count_b", "BootChainFwStatus"}
			if l4t != "" {
				order = append(order, "rename .*TEGRA_BL.Cap", "sync folder .*UpdateCapsule", "sync the file system of /boot/efi$")
				last = "OsIndications"
			}
			d.wantOrder(append(order, last)...)
			changes := d.trace.Changes()
			if got := changes[len(changes)-1]; !strings.Contains(got, last) {
				t.Errorf("the last change is %q, want %s", got, last)
			}
			switches, capsules := d.word("BootChainFwNext") >= 0, d.requested()
			if switches == capsules {
				t.Errorf("switch asked for: %t, capsule asked for: %t; want one of the two", switches, capsules)
			}
		})
	}
}

// The sync that puts the capsule on storage comes before the request to process it.
func TestRequestComesAfterTheCapsuleIsOnStorage(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	changes := d.trace.Changes()
	moved := -1
	for i, c := range changes {
		if ruleMatch(c, "rename .*TEGRA_BL.Cap") {
			moved = i
		}
	}
	ruleOrder(t, changes[moved:], "rename", "sync folder", "sync the file system", "OsIndications")
}

// The journal of an activation has all that the verdict needs.
func TestActivationIsJournalled(t *testing.T) {
	d := newRule(t)
	d.put(ruleESRT+"last_attempt_version", "2360320\n")
	d.put(ruleESRT+"last_attempt_status", "6163\n")
	d.activated("36.4.3")
	j := d.journal()
	got := map[string]any{}
	for _, k := range []string{"state", "target", "activated_in", "before"} {
		got[k] = j.Update[k]
	}
	want := map[string]any{
		"state": "activated", "target": "B", "activated_in": d.text("proc/sys/kernel/random/boot_id"),
		"before": map[string]any{"version": got["before"].(map[string]any)["version"], "status": float64(6163)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	if j.Marks["B"]["firmware"] != "dirty" {
		t.Errorf("marks %v, want the target dirty", j.Marks)
	}
}

// A second call after a cut changes nothing of what the first one saw.
func TestActivateIsRepeatable(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		d := newRule2(t)
		d.activated(l4t)
		before := d.journal().Update
		_, err := d.activate(backends.None)
		ruleMust(t, err)
		if diff := cmp.Diff(before, d.journal().Update); diff != "" {
			t.Errorf("the second activation changed the journal:\n%s", diff)
		}
		d.arrive(backends.B)
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
		d := newRule2(t)
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

// A BootChainFwStatus left over from the last switch would cancel this one, capsule or not.
func TestLeftOverTrialEndsInSuccess(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		d := newRule2(t)
		d.set("BootChainFwStatus", 3)
		d.activated(l4t)
		d.arrive(backends.B)
		if v := d.verdict(); v.Outcome != backends.Applied {
			t.Errorf("firmware %q: verdict %+v, want applied", l4t, v)
		}
	}
}

// Selecting the running slot takes everything back but the work done.
func TestSelectingTheRunningSlotTakesTheActivationBack(t *testing.T) {
	for _, tt := range []struct {
		l4t  string
		bits byte // OsIndications before
	}{{"", 0}, {"36.4.3", 0}, {"36.4.3", 5}} {
		d := newRule2(t)
		if tt.bits != 0 {
			d.request(tt.bits)
		}
		d.activated(tt.l4t)
		a, err := d.activate(backends.A)
		ruleMust(t, err)
		if a.Slot != backends.A || d.word("BootChainFwNext") >= 0 || d.has(ruleArmed) || d.has(ruleStaged) != (tt.l4t != "") {
			t.Errorf("%+v: slot %s, next %d, armed %t, staged %t", tt, a.Slot, d.word("BootChainFwNext"), d.has(ruleArmed), d.has(ruleStaged))
		}
		if want := tt.bits&4 != 0; d.requested() != want {
			t.Errorf("%+v: OsIndications bit 2 is %t, want %t: it is cleared if we set it", tt, !want, want)
		}
		if got := d.status().Update.State; got != backends.StagedAll {
			t.Errorf("%+v: the update is %s, want staged again", tt, got)
		}
		_, err = d.activate(backends.None)
		ruleMust(t, err)
		d.arrive(backends.B)
	}
}

// A pending switch that is not ours goes, too, when a person selects the running slot.
func TestSelectingTheRunningSlotDeletesAPendingSwitch(t *testing.T) {
	d := newRule(t)
	d.set("BootChainFwNext", 1)
	_, err := d.activate(backends.A)
	ruleMust(t, err)
	if got := d.word("BootChainFwNext"); got >= 0 {
		t.Errorf("BootChainFwNext is %d, want it deleted", got)
	}
}

// The request goes before the file: cut between them, the firmware has nothing to do.
func TestDisarmTakesBackTheRequestFirst(t *testing.T) {
	d := newRule(t)
	d.activated("36.4.3")
	_, err := d.activate(backends.A)
	ruleMust(t, err)
	d.wantOrder("OsIndications", "rename .*staged.cap", "journal.json")
}

// Only one update at a time is armed.
func TestNewInstallDisarmsAnActivatedOneFirst(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		d := newRule2(t)
		d.activated(l4t)
		ruleMust(t, d.write("APP", "v"))
		if d.word("BootChainFwNext") >= 0 || d.requested() || d.has(ruleArmed) || d.has(ruleStaged) {
			t.Errorf("firmware %q: the first update is still armed or staged", l4t)
		}
		if l4t == "" {
			d.wantOrder("BootChainFwNext", "RootfsStatusSlotB")
		} else {
			d.wantOrder("OsIndications", "RootfsStatusSlotB")
		}
		d.wantMarks(ruleBootable, ruleUnbootable)
		d.arrive(backends.A)
	}
}

// What the updater has not confirmed is not activated: EOF is not success.
func TestUnconfirmedImageIsNotActivated(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.writeFrom("APP", "u", strings.NewReader(strings.Repeat("x", 9000)), true))
	_, err := d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "did not confirm the image of APP")
	_, c := d.control()
	ruleMust(t, c.Confirm(context.Background(), "u", "APP"))
	_, err = d.activate(backends.None)
	ruleMust(t, err)
}
