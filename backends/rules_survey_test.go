package backends_test

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A caller that tells refusals apart learns whether the root file system or the firmware is in the way.
func TestRefusalsHaveAKind(t *testing.T) {
	tests := []struct {
		name  string
		make  func(d *ruleDevice)
		verb  func(d *ruleDevice) error
		kind  error
		other error
	}{
		{"activate a torn slot", func(d *ruleDevice) { d.remark("B", "rootfs", "torn") }, ruleActivateB, backends.ErrNotBootable, backends.ErrDirtyFirmware},
		{"activate a dirty chain", func(d *ruleDevice) { d.remark("B", "firmware", "dirty") }, ruleActivateB, backends.ErrDirtyFirmware, backends.ErrNotBootable},
		{"mark a torn slot good", func(d *ruleDevice) { d.remark("B", "rootfs", "torn") }, ruleGoodB, backends.ErrNotBootable, backends.ErrDirtyFirmware},
		{"mark a dirty chain good", func(d *ruleDevice) { d.remark("B", "firmware", "dirty") }, ruleGoodB, backends.ErrDirtyFirmware, backends.ErrNotBootable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			tt.make(d)
			err := tt.verb(d)
			if !errors.Is(err, tt.kind) || errors.Is(err, tt.other) || fail.CodeOf(err) != fail.Unavailable {
				t.Errorf("%v (code %v) is not %q alone", err, fail.CodeOf(err), tt.kind)
			}
			if strings.Contains(err.Error(), tt.kind.Error()) {
				t.Errorf("the kind is in the sentence: %v", err)
			}
		})
	}
}

func ruleActivateB(d *ruleDevice) error { _, err := d.activate(backends.B); return err }
func ruleGoodB(d *ruleDevice) error     { return d.setGood(backends.B) }

// A front end whose client waits for an answer gives up on the lock earlier than the others.
func TestLockPatience(t *testing.T) {
	d := newRule(t)
	d.opts.LockPatience = 100 * time.Millisecond
	lock, err := device.New(d.Dir()).Lock(t0(), "/run/tegra-ota/lock", 0)
	ruleMust(t, err)
	defer func() { ruleMust(t, lock.Unlock()) }()
	started := time.Now()
	ruleRefused(t, d.commit(), fail.Busy, "another process holds the lock")
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("it waited %v", took)
	}
}

// Whoever watches the places sees every change of the answer: each verb writes in one of them.
func TestSurveyNamesWhereTheAnswerComesFrom(t *testing.T) {
	d := newRule(t)
	verbs := []struct {
		name string
		run  func() error
	}{
		{"write", func() error { return d.write("APP", "u") }},
		{"stage", func() error { _, err := d.stage("36.4.3", "u"); return err }},
		{"activate", func() error { _, err := d.activate(backends.None); return err }},
		{"boot", func() error { d.boot(virtual.BootOptions{}); return d.err }},
		{"mark bad", func() error { _, err := d.setBad(backends.A); return err }},
		{"abort", d.abort},
	}
	for _, v := range verbs {
		before := d.snapshot()
		_, c := d.control()
		st, places, err := c.Survey(context.Background())
		ruleMust(t, err)
		if st.Update.State != d.status().Update.State {
			t.Errorf("survey says %s, status %s", st.Update.State, d.status().Update.State)
		}
		ruleMust(t, v.run())
		for file, text := range d.snapshot() {
			if text == before[file] || ruleElsewhere(file) {
				continue
			}
			seen := false
			for _, p := range places {
				in := strings.HasPrefix(file, p.Folder+"/")
				named := len(p.Names) == 0
				for _, n := range p.Names {
					named = named || strings.HasPrefix(path.Base(file), n)
				}
				seen = seen || in && named
			}
			if !seen {
				t.Errorf("%s changes %s, which is not watched: %v", v.name, file, places)
			}
		}
	}
}

// ruleElsewhere are files that change without changing the answer, or that the watcher sees by itself.
func ruleElsewhere(file string) bool {
	for _, p := range []string{"dev/", "qspi/", "orin.json", "proc/", "run/tegra-ota/lock", ruleStaged, "sys/firmware/efi/esrt/", "virtual"} {
		if strings.HasPrefix(file, "/"+p) {
			return true
		}
	}
	return false
}

// Where the device cannot be read, the places still say where to wait for it.
func TestSurveyKnowsThePlacesOfAnUnreadableDevice(t *testing.T) {
	d := newRule(t)
	d.remove("sys/firmware/efi/efivars")
	_, c := d.control()
	_, places, err := c.Survey(context.Background())
	if err == nil || len(places) == 0 || places[0].Folder != "/sys/firmware/efi/efivars" {
		t.Errorf("%v, %v", places, err)
	}
}

func TestStatusSaysWhatApplicationsAsk(t *testing.T) {
	d := newRule(t)
	st := d.status()
	if st.Committed || st.Slots[backends.B].Device == nil || *st.Slots[backends.B].Device != "/dev/nvme0n1p2" {
		t.Errorf("committed %t, device of B %v", st.Committed, st.Slots[backends.B].Device)
	}
	ruleMust(t, d.commit())
	if !d.status().Committed {
		t.Error("the running slot was committed, and status does not say so")
	}
}
