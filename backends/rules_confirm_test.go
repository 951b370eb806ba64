package backends_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// writesUnconfirmed installs firmware with the writer while the updater's verdict on its input is still to come.
func (d *ruleDevice) writesUnconfirmed(id string) {
	d.t.Helper()
	_, c := d.control()
	_, err := c.Stage(context.Background(), id, bytes.NewReader([]byte("a payload")), true)
	ruleMust(d.t, err)
}

func (d *ruleDevice) confirm(id string) error {
	_, c := d.control()
	return c.Confirm(context.Background(), id, "firmware")
}

// What was written from an input that nobody vouched for is half written in every respect: the digest may be wrong.
func TestWrittenFirmwareIsWholeOnlyWhenConfirmed(t *testing.T) {
	for name, end := range map[string]func(*ruleDevice){
		"aborted":  func(d *ruleDevice) { ruleMust(d.t, d.abort()) },
		"rebooted": func(d *ruleDevice) { d.arrive(backends.A) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			ruleMust(t, d.commit())
			d.writing(chainWriter{})
			d.writesUnconfirmed("u")
			if !d.status().Slots[backends.B].FirmwareDirty || d.espMarks()["B"]["firmware"] != "dirty" {
				t.Error("unconfirmed firmware counts as whole")
			}
			end(d)
			d.wantMarks(ruleBootable, ruleUnbootable)
			if _, err := d.activate(backends.B); !errors.Is(err, backends.ErrDirtyFirmware) {
				t.Errorf("unconfirmed firmware is selected: %v", err)
			}
			_, err := d.writes("cure")
			ruleMust(t, err)
			_, err = d.activate(backends.None)
			ruleMust(t, err)
			d.arrive(backends.B)
		})
	}
	t.Run("confirmed", func(t *testing.T) {
		d := newRule(t)
		ruleMust(t, d.commit())
		d.writing(chainWriter{})
		d.writesUnconfirmed("u")
		if _, err := d.activate(backends.None); fail.CodeOf(err) != fail.Unavailable {
			t.Errorf("activated unconfirmed: %v", err)
		}
		ruleMust(t, d.confirm("u"))
		if d.status().Slots[backends.B].FirmwareDirty || d.espMarks()["B"]["firmware"] != "whole" {
			t.Error("confirmed firmware counts as half written")
		}
		_, err := d.activate(backends.None)
		ruleMust(t, err)
		d.arrive(backends.B)
	})
}

// The cure of a chain whose every byte turns out to be right, with the version that runs: nothing to do, and the slot is a way back again.
func TestCureThatFindsEverythingWrittenRevivesTheSlot(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.L4T = "36.4.3" })
	ruleMust(t, d.commit())
	d.writing(chainWriter{fail: errors.New("the flash does not answer")})
	if _, err := d.writes("u"); err == nil {
		t.Fatal("it did not fail")
	}
	d.wantMarks(ruleBootable, ruleUnbootable)
	d.writing(chainWriter{equal: true})
	r, err := d.writes("cure")
	if err != nil || !r.Skipped {
		t.Fatalf("%+v, %v", r, err)
	}
	d.wantMarks(ruleBootable, ruleBootable)
	if a, err := d.activate(backends.None); err != nil || !a.Nothing || d.status().Slots[backends.B].FirmwareDirty {
		t.Errorf("%+v, %v", a, err)
	}
}

// Firmware older than the running one is refused before the chain is touched: activate would refuse it afterwards.
func TestOlderFirmwareIsNotWritten(t *testing.T) {
	d := newRule(t, func(o *virtual.CreateOptions) { o.L4T = "36.4.4" })
	ruleMust(t, d.commit())
	d.writing(chainWriter{})
	before := d.snapshot()
	if _, err := d.writes("u"); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("36.4.3 over 36.4.4: %v", err)
	}
	d.wantSame(before)
	_, c := d.control()
	if _, err := c.CheckFirmware(context.Background(), bytes.NewReader([]byte("a payload"))); fail.CodeOf(err) != fail.Unavailable {
		t.Errorf("check: %v", err)
	}
	d.opts.AllowOlderChain = true
	_, err := d.writes("u")
	ruleMust(t, err)
}
