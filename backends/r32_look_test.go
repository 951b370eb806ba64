package backends_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// Records of slots as the slot metadata has them: priority, retries, confirmed.
const (
	r32Running    = "15 7 true"
	r32OnTrial    = "15 7 false" // selected, not booted yet
	r32WayBack    = "14 7 true"
	r32Refilled   = "14 7 false" // a way back that was unbootable meanwhile: nothing but a boot confirms it
	r32Unbootable = "0 0 false"
)

// slot is a slot's record.
func (d *r32Device) slot(s backends.Slot) string {
	meta, err := d.Metadata()
	if err != nil {
		return err.Error()
	}
	r := meta.Slots[s.Index()]
	return fmt.Sprintf("%d %d %t", r.Priority, r.Retry, r.Successful)
}

func (d *r32Device) wantSlots(t *testing.T, a, b string) {
	t.Helper()
	if got := [2]string{d.slot(backends.A), d.slot(backends.B)}; got != [2]string{a, b} {
		t.Errorf("priority, retries and success of A and B: %q, want %q", got, [2]string{a, b})
	}
}

// isUnbootable says whether MB1 passes a slot over.
func (d *r32Device) isUnbootable(s backends.Slot) bool {
	meta, err := d.Metadata()
	return err == nil && (meta.Slots[s.Index()].Priority == 0 || meta.Slots[s.Index()].Retry == 0)
}

// nextBoot is MB1's choice, which needs no boot: the highest priority with retries.
func (d *r32Device) nextBoot() backends.Slot {
	meta, err := d.Metadata()
	if err != nil {
		return backends.None
	}
	best, slot := uint8(0), backends.None
	for i, r := range meta.Slots {
		if r.Retry > 0 && r.Priority > best {
			best, slot = r.Priority, backends.SlotAt(uint32(i))
		}
	}
	return slot
}

// status is what a person sees; it must change nothing.
func (d *r32Device) status() (backends.Status, error) {
	var st backends.Status
	err := d.do(nil, func(ctx context.Context, _ *r32Device, c *backends.Control, _ *device.Machine) (err error) {
		st, err = c.Status(ctx)
		return err
	})
	if err == nil && (d.fault.Count() > 0 || len(d.changing()) > 0) {
		err = fmt.Errorf("status changed the device: %q %q", d.fault.Changes(), d.changing())
	}
	return st, err
}

func (d *r32Device) mustStatus(t *testing.T) backends.Status {
	t.Helper()
	st, err := d.status()
	ruleMust(t, err)
	return st
}

// mark is what the journal says of a slot's firmware, "" without a journal.
func (d *r32Device) mark(s backends.Slot) string {
	raw, err := os.ReadFile(d.path(ruleJournalPath))
	if err != nil {
		return ""
	}
	var envelope struct{ Content ruleJournal }
	if json.Unmarshal(raw, &envelope) != nil {
		return ""
	}
	return envelope.Content.Marks[string(s)]["firmware"]
}

// root names the image that a slot's root file system is, "" for a torn one.
func (d *r32Device) root(s backends.Slot) (string, error) {
	content, err := os.ReadFile(d.path("dev/disk/by-partlabel", s.RootPartition()))
	for name, image := range d.images {
		if bytes.Equal(content, image) {
			return name, err
		}
	}
	return "", err
}

// must calls verbs one after the other.
func (d *r32Device) must(t *testing.T, verbs ...r32Verb) {
	t.Helper()
	for i, v := range verbs {
		if err := d.do(nil, v); err != nil {
			t.Fatalf("verb %d: %v", i+1, err)
		}
	}
}

// arrive boots and wants a slot to run, committed.
func (d *r32Device) arrive(t *testing.T, slot backends.Slot) {
	t.Helper()
	r, err := d.boot(virtual.BootOptions{})
	ruleMust(t, err)
	if r.Outcome != virtual.OutcomeRunning {
		t.Fatalf("Linux does not run: %s %q", r.Outcome, r.Timeline)
	}
	b, err := d.userspace()
	ruleMust(t, err)
	if b.Slot != slot || !b.Committed || b.Reboot {
		t.Fatalf("boot-verify says slot %s, committed %t, reboot %t (%s: %s); want %s committed", b.Slot, b.Committed, b.Reboot, b.State, b.Message, slot)
	}
}

// cured installs the same update again, and wants it to end committed.
func (d *r32Device) cured(t *testing.T) {
	t.Helper()
	d.programs, d.fails = virtual.ProgramOptions{}, nil
	d.must(t, r32Install("again", "APP", "again"), r32Stage("again"), r32Activate(backends.None))
	d.arrive(t, backends.B)
	c, err := d.Chain(virtual.B)
	if err != nil || !c.Whole || c.VersionText != r32NewL4T {
		t.Errorf("chain B holds %s, whole %t: %v (%v)", c.VersionText, c.Whole, c.Problems, err)
	}
}

// r32Refused wants an error that says what to do.
func r32Refused(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	ruleRefused(t, err, fail.CodeOf(err), words)
	if fail.NextOf(err) == "" {
		t.Errorf("no next step: %v", err)
	}
}
