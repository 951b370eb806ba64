package backends_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
)

// A new root file system can lack what the old one had: the ESP's mount, /data, a configuration that parses. Each is a
// reason to go back, and none may keep the device in the new slot.

// bootLacking boots a system that does not mount some of the usual places.
func (d *ruleDevice) bootLacking(points ...string) {
	d.t.Helper()
	d.last, d.err = backends.Boot{}, errors.New("boot-verify did not run")
	d.bare(virtual.BootOptions{Userspace: func(string) error {
		var kept []string
		for _, line := range strings.Split(d.rawText("proc/self/mountinfo"), "\n") {
			fields, missing := strings.Fields(line), false
			for _, p := range points {
				missing = missing || len(fields) > 4 && fields[4] == p
			}
			if !missing {
				kept = append(kept, line)
			}
		}
		d.put("proc/self/mountinfo", strings.Join(kept, "\n"))
		if _, err := d.count(); err != nil {
			return err
		}
		_, err := d.verify()
		return err
	}})
}

func TestNewSystemThatLacksSomethingIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name    string
		points  []string
		change  func(d *ruleDevice)
		capsule bool
	}{
		{name: "the ESP, after a capsule, unhealthy", points: []string{"/boot/efi"}, capsule: true, change: func(d *ruleDevice) { d.health("10-sick", "exit 1") }},
		{name: "/data", points: []string{"/data"}},
		{name: "/data, after a capsule", points: []string{"/data"}, capsule: true},
		{name: "a configuration that parses", change: func(d *ruleDevice) { d.opts.Misconfigured = errors.New("config.toml:3:1: unknown key") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			l4t := ""
			if tt.capsule {
				l4t = "36.4.3"
			}
			d.activated(l4t)
			if tt.change != nil {
				tt.change(d)
			}
			d.bootLacking(tt.points...)
			if d.err != nil || !d.last.Reboot || d.last.Committed || d.last.Slot != backends.B {
				t.Fatalf("on the new slot boot-verify answered %+v, %v; want a roll-back", d.last, d.err)
			}
			d.opts.Misconfigured = nil
			d.bootLacking()
			if d.err != nil || !d.last.Committed || d.last.Slot != backends.A {
				t.Fatalf("after the roll-back: %+v, %v; want slot A, committed", d.last, d.err)
			}
			if v := d.verdict(); v.Outcome == backends.Applied {
				t.Errorf("the verdict afterwards is %+v: a slot that was given up was not applied", v)
			}
			if err := d.write("APP", "again"); err != nil {
				t.Errorf("the next update: %v", err)
			}
		})
	}
}

// Without a trial a lost /data is reported, and the device goes on.
func TestAcceptedSystemWithoutJournalGoesOn(t *testing.T) {
	d := newRule(t)
	d.activated("")
	d.bootLacking()
	d.bootLacking("/data")
	if d.err != nil || !d.last.Committed || d.last.Reboot || !strings.Contains(d.last.Message, "/data/tegra-ota") {
		t.Errorf("%+v, %v; want slot B committed and the missing journal named", d.last, d.err)
	}
	if err := d.write("APP", "v"); err == nil || !strings.Contains(err.Error(), "not mounted") {
		t.Errorf("an install without the journal: %v; want the missing mount", err)
	}
}

// What a person is told between a roll-back and its reboot: nothing to undo it by mistake.
func TestRollbackAwaitingItsRebootIsOurs(t *testing.T) {
	d := newRule(t)
	d.activated("")
	d.health("10-sick", "exit 1")
	d.boot(virtual.BootOptions{})
	d.wantBoot(backends.B, false, true)
	for _, p := range d.problems() {
		if strings.Contains(p.Reason, "not tegra-ota's") || strings.Contains(p.NextStep, "commit") {
			t.Errorf("misleading: %+v", p)
		}
	}
	for _, slot := range []backends.Slot{backends.A, backends.B} {
		if _, err := d.activate(slot); err == nil {
			t.Errorf("activate %s undid the roll-back", slot)
		}
	}
	if v := d.verdict(); v.Outcome != backends.FellBack || v.NextStep == "" {
		t.Errorf("verdict %+v, want fell-back with a next step", v)
	}
	st := d.status()
	if *st.Next != backends.A {
		t.Errorf("next is %s, want A", *st.Next)
	}
	d.arrive(backends.A)
}
