package backends_test

import (
	"context"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A bundle with firmware alone: RAUC switches nothing, the post-install handler arms.
func TestActivateFirmwareOnlyArmsTheStagedCapsule(t *testing.T) {
	d := newRule(t)
	_, err := d.stage("36.4.3", ruleRAUC)
	ruleMust(t, err)
	a, done, err := d.activateFirmware()
	ruleMust(t, err)
	if !done || a.Slot != backends.B || a.Firmware == nil || !d.requested() || d.word("BootChainFwNext") >= 0 {
		t.Errorf("done %t, %+v, requested %t, BootChainFwNext %d; want the capsule armed for B",
			done, a, d.requested(), d.word("BootChainFwNext"))
	}
	d.arrive(backends.B)
}

// Firmware that is there already needs nothing.
func TestActivateFirmwareOnlySaysWhereNothingIsToDo(t *testing.T) {
	d := newRule(t)
	d.raucInstalled("one", "36.4.3")
	d.arrive(backends.B)
	_, err := d.setBad(backends.A)
	ruleMust(t, err)
	d.outside(backends.A, 0, "one")
	_, err = d.stage("36.4.3", ruleRAUC)
	ruleMust(t, err)
	_, err = d.setPrimary(backends.A)
	ruleMust(t, err)
	d.arrive(backends.A)
	_, err = d.stage("36.4.3", ruleRAUC)
	ruleMust(t, err)
	a, done, err := d.activateFirmware()
	ruleMust(t, err)
	if !done || !a.Nothing || d.requested() || d.word("BootChainFwNext") >= 0 {
		t.Errorf("done %t, %+v, requested %t; want nothing to do", done, a, d.requested())
	}
}

// It arms nothing else: not what set-primary activated since staging, not another update, not an earlier boot's, not what an updater
// still writes. Where there is nothing to arm RAUC hears of it: it would report a success that nothing comes of.
func TestActivateFirmwareOnlyLeavesEverythingElseAlone(t *testing.T) {
	stage := func(d *ruleDevice, id string) { _, err := d.stage("36.4.3", id); ruleMust(d.t, err) }
	const none = "none of update .rauc. is staged"
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
		words   string // of the refusal; "" where it was activated already
	}{
		{"nothing staged", func(*ruleDevice) {}, none},
		{"set-primary came since staging", func(d *ruleDevice) { stage(d, ruleRAUC); d.active(backends.B) }, ""},
		{"set-primary came, with an image", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3") }, ""},
		{"set-primary came, for a switch alone", func(d *ruleDevice) { d.raucInstalled("one", "") }, none},
		{"set-primary came, and was taken back by another update", func(d *ruleDevice) {
			stage(d, ruleRAUC)
			d.active(backends.B)
			stage(d, "u")
		}, none},
		{"another update's", func(d *ruleDevice) { stage(d, "u") }, none},
		{"an earlier boot's", func(d *ruleDevice) { stage(d, ruleRAUC); d.arrive(backends.A) }, none},
		{"an earlier boot's, before boot-verify", func(d *ruleDevice) { stage(d, ruleRAUC); d.bare(virtual.BootOptions{}) }, none},
		{"with an image that an updater still writes", func(d *ruleDevice) { d.raucInstalls("one", "36.4.3") }, "the updater has not said"},
		{"activated in an earlier boot", func(d *ruleDevice) {
			stage(d, ruleRAUC)
			d.active(backends.B)
			d.bare(virtual.BootOptions{})
		}, none},
		{"given up", func(d *ruleDevice) { stage(d, ruleRAUC); ruleMust(d.t, d.abort()) }, none},
		{"committed", func(d *ruleDevice) { d.raucInstalled("one", "36.4.3"); d.arrive(backends.B) }, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			tt.prepare(d)
			before := d.snapshot()
			a, done, err := d.activateFirmware()
			if tt.words != "" {
				ruleRefused(t, err, fail.Unavailable, tt.words)
			} else {
				ruleMust(t, err)
			}
			if done {
				t.Errorf("it says that it activated %+v", a)
			}
			d.wantSame(before)
		})
	}
}

// active is setPrimary that must be obeyed.
func (d *ruleDevice) active(slot backends.Slot) {
	d.t.Helper()
	_, err := d.setPrimary(slot)
	ruleMust(d.t, err)
}

// What keeps an activation from being made keeps this one, too, and RAUC hears of it.
func TestActivateFirmwareOnlyIsRefusedLikeActivate(t *testing.T) {
	d := newRule(t)
	_, err := d.stage("36.4.3", ruleRAUC)
	ruleMust(t, err)
	d.set("RootfsStatusSlotB", 255)
	before := d.snapshot()
	_, done, err := d.activateFirmware()
	ruleRefused(t, err, fail.Unavailable, "root file system")
	if done {
		t.Error("it says that it was done")
	}
	d.wantSame(before)
}

func (d *ruleDevice) checkScope(scope backends.Scope) []backends.Problem {
	d.t.Helper()
	_, c := d.control()
	list, err := c.Check(context.Background(), scope)
	ruleMust(d.t, err)
	d.unchanged("check")
	return list
}

func ruleErrors(list []backends.Problem) (errors []backends.Problem) {
	for _, p := range list {
		if p.Severity == backends.SeverityError {
			errors = append(errors, p)
		}
	}
	return errors
}

// The pre-install handler asks for what the bundle holds, no more and no less: each obstacle stops those updates that it would stop.
func TestCheckByWhatTheBundleHolds(t *testing.T) {
	full := backends.Scope{Outside: true}
	image := backends.Scope{Outside: true, NoFirmware: true}
	alone := backends.Scope{Outside: true, FirmwareOnly: true}
	nothing := backends.Scope{Outside: true, FirmwareOnly: true, NoFirmware: true} // a bundle for other slots
	for _, tt := range []struct {
		name    string
		make    virtual.Redundancy
		spoil   func(d *ruleDevice)
		words   string
		refused []backends.Scope
	}{
		{"good device", virtual.RootfsAB, func(*ruleDevice) {}, "", nil},
		{
			"the target's root is torn", virtual.RootfsAB,
			func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); ruleMust(d.t, d.abort()) },
			"firmware alone would boot slot B as it is", []backends.Scope{alone},
		},
		{
			"the target is unbootable", virtual.RootfsAB, func(d *ruleDevice) { d.set("RootfsStatusSlotB", 255) },
			"firmware alone would boot slot B as it is", []backends.Scope{alone},
		},
		{
			"no ESP", virtual.RootfsAB, func(d *ruleDevice) { d.mounts(func(l string) string { return ruleWithout(l, "/boot/efi") }) },
			"EFI system partition", []backends.Scope{full, alone},
		},
		{
			"foreign capsule, not armed", virtual.RootfsAB, func(d *ruleDevice) { d.put(ruleArmed, "vendor") }, "not tegra-ota's",
			[]backends.Scope{full, alone},
		},
		{
			"foreign capsule, armed", virtual.RootfsAB, func(d *ruleDevice) { d.put(ruleArmed, "vendor"); d.request(4) },
			"not tegra-ota's", []backends.Scope{full, image, alone, nothing},
		},
		{"redundancy 0", virtual.BootOnly, func(*ruleDevice) {}, "RootfsRedundancyLevel is 0", []backends.Scope{full, image}},
		{"on trial", virtual.RootfsAB, func(d *ruleDevice) { d.onTrial("") }, "runs on trial", []backends.Scope{full, image, alone, nothing}},
		// RAUC looks after the devices of its slots itself; its names for them are its own.
		{"the target's partition is mounted", virtual.RootfsAB, func(d *ruleDevice) {
			d.put("proc/self/mountinfo", d.text("proc/self/mountinfo")+"\n99 22 259:2 / /mnt rw - ext4 /dev/nvme0n1p2 rw\n")
		}, "mounted at /mnt", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t, func(o *virtual.CreateOptions) { o.Redundancy = tt.make })
			tt.spoil(d)
			for _, scope := range []backends.Scope{full, image, alone, nothing} {
				want := false
				for _, r := range tt.refused {
					want = want || r == scope
				}
				found := ruleErrors(d.checkScope(scope))
				if want != (len(found) > 0) || want && ruleProblem(found, tt.words) == nil {
					t.Errorf("%+v: errors %+v; want one: %t, of %q", scope, found, want, tt.words)
				}
			}
		})
	}
}

// What the handler's check lets in, set-state bad and the hook do not refuse; what it stops, they would have.
func TestCheckForeseesWhatTheInstallRefuses(t *testing.T) {
	for name, spoil := range map[string]func(d *ruleDevice){
		"good":     func(*ruleDevice) {},
		"BootNext": func(d *ruleDevice) { d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00") },
		"no ESP":   func(d *ruleDevice) { d.mounts(func(l string) string { return ruleWithout(l, "/boot/efi") }) },
		"trial":    func(d *ruleDevice) { d.onTrial("") },
		"torn":     func(d *ruleDevice) { ruleMust(d.t, d.write("APP", "u")); ruleMust(d.t, d.abort()) },
		"root":     ruleWrongRoot,
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			spoil(d)
			target := d.status().Current.Other()
			foreseen := len(ruleErrors(d.checkScope(backends.Scope{Outside: true, NoFirmware: true}))) > 0
			if _, err := d.clone(t).setBad(target); (err != nil) != foreseen {
				t.Errorf("check refuses the image: %t; set-state bad: %v", foreseen, err)
			}
			foreseen = len(ruleErrors(d.checkScope(backends.Scope{Outside: true, FirmwareOnly: true}))) > 0
			c := d.clone(t)
			_, err := c.stage("36.4.3", ruleRAUC)
			if err == nil {
				_, _, err = c.activateFirmware()
			}
			if (err != nil) != foreseen {
				t.Errorf("check refuses the firmware: %t; hook and post-install: %v", foreseen, err)
			}
		})
	}
}
