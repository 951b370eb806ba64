package backends_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// r32Full brings a root file system and firmware, up to but without activation.
var r32Full = []r32Verb{r32Install("u", "APP", "one"), r32Stage("u")}

// activated is r32Full with activation.
func (d *r32Device) activated(t *testing.T) {
	t.Helper()
	d.must(t, append(r32Full, r32Activate(backends.None))...)
}

// Activate selects the target, and believes in it only because it was read back afterwards.
func TestR32ActivateSelectsAndReadsBack(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			d.activated(t)
			last := -1
			for i, c := range d.calls {
				if strings.Contains(c, "set-active-boot-slot 1: exit 0") {
					last = i
				}
			}
			if last < 0 || !strings.Contains(strings.Join(d.calls[last:], "\n"), "dump-slots-info: exit 0") {
				t.Errorf("not read back:\n%s", strings.Join(d.calls, "\n"))
			}
			d.wantSlots(t, r32WayBack, r32OnTrial)
			if st := d.mustStatus(t); *st.Next != backends.B || st.Update.State != backends.Activated {
				t.Errorf("next %s, update %s", *st.Next, st.Update.State)
			}
			d.arrive(t, backends.B)
		})
	}
}

// The journal says what is activated before nvbootctrl is told: a cut between the two must not leave a trial that nobody knows of.
func TestR32JournalKnowsOfTheSwitchBeforeNVBootctrl(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t)
	d.must(t, r32Full...)
	d.watch = func(call string) {
		if strings.Contains(call, "set-active-boot-slot 1") && !strings.Contains(d.journal(), `"activated"`) {
			t.Errorf("%s, and the journal does not know", call)
		}
	}
	d.must(t, r32Activate(backends.None))
}

// journal is its text, "" without one.
func (d *r32Device) journal() string { b, _ := os.ReadFile(d.path(ruleJournalPath)); return string(b) }

// nvbootctrl that succeeds and does nothing is an error that names the view, and nothing is believed: the running slot boots next,
// and the update is not on trial.
func TestR32SilentSelectionIsAnErrorAndNothingIsBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		failure virtual.NVBootctrlFailure
		prepare []r32Verb
		slot    backends.Slot
		split   bool
		words   string
	}{
		"an update":                       {virtual.NVSilent, r32Full, backends.None, false, "cannot make slot B bootable: read back|set-active-boot-slot 1"},
		"by hand":                         {virtual.NVSilent, nil, backends.B, false, "bootloader set-active-boot-slot 1"},
		"an update, root file systems":    {virtual.NVSilentRootfs, r32Full, backends.None, true, "cannot make slot B bootable: read back|set-active-boot-slot 1"},
		"by hand, root file systems only": {virtual.NVSilentRootfs, nil, backends.B, true, "rootfs set-active-boot-slot 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, func(o *virtual.CreateOptions) {
				if tt.split {
					o.Redundancy = virtual.RootfsOnly
				}
			})
			d.must(t, tt.prepare...)
			d.programs.Failure = tt.failure
			err := d.do(nil, r32Activate(tt.slot))
			if tt.slot == backends.None {
				ruleRefused(t, err, fail.IO, tt.words)
			} else {
				r32Refused(t, err, tt.words)
			}
			d.programs.Failure = ""
			if next := d.nextBoot(); next != backends.A {
				t.Errorf("slot %s boots next", next)
			}
			if st := d.mustStatus(t); *st.Next != backends.A || st.Update.State == backends.Activated {
				t.Errorf("next %s, update %s", *st.Next, st.Update.State)
			}
			d.arrive(t, backends.A)
			d.cured(t)
		})
	}
}

// A commit confirms the boot to MB1 and cboot, or they count it down and fall back.
func TestR32CommitMarksTheBootSuccessful(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			d.activated(t)
			_, err := d.boot(virtual.BootOptions{})
			ruleMust(t, err)
			d.wantSlots(t, r32WayBack, "15 6 false")
			d.must(t, r32Count)
			d.wantSlots(t, r32WayBack, "15 6 false")
			d.must(t, r32Commit)
			d.wantSlots(t, r32WayBack, r32Running)
			for i := 0; i < 9; i++ {
				d.arrive(t, backends.B)
			}
		})
	}
}

// A health check that fails goes back: the old slot is selected and the new one no way back.
func TestR32FailingHealthRollsBack(t *testing.T) {
	for _, module := range r32Modules {
		t.Run(module, func(t *testing.T) {
			t.Parallel()
			d := newR32Rule(t, r32Of(module))
			d.activated(t)
			ruleMust(t, os.MkdirAll(d.path(sweepHealth), 0o755))
			ruleMust(t, os.WriteFile(d.path(sweepHealth, "10-no"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
			_, err := d.boot(virtual.BootOptions{})
			ruleMust(t, err)
			b, err := d.userspace()
			ruleMust(t, err)
			if !b.Reboot || b.Committed || b.State != backends.RolledBack {
				t.Fatalf("%+v", b)
			}
			d.wantSlots(t, r32OnTrial, r32Unbootable)
			d.arrive(t, backends.A)
			d.wantSlots(t, r32Running, r32Unbootable)
			if st := d.mustStatus(t); st.Update.State != backends.RolledBack || !strings.Contains(st.Verdict.Reason, "10-no") {
				t.Errorf("%s: %s", st.Update.State, st.Verdict.Reason)
			}
			ruleMust(t, os.RemoveAll(d.path(sweepHealth)))
			d.cured(t)
		})
	}
}

// Root file systems that are selected in a view of their own (is-unified-enabled ends with 70) are switched with the chain, there and
// back.
func TestR32SeparateViewsAreBothSwitched(t *testing.T) {
	t.Parallel()
	d := newR32Rule(t, func(o *virtual.CreateOptions) { o.Redundancy = virtual.RootfsOnly })
	want := func(what string, slot backends.Slot) {
		t.Helper()
		meta, err := d.Metadata()
		ruleMust(t, err)
		if d.nextBoot() != slot || meta.Root != uint8(slot.Index()) {
			t.Errorf("%s: chain %s and root file system %d boot next, want %s", what, d.nextBoot(), meta.Root, slot)
		}
	}
	d.must(t, r32Full...)
	want("installed", backends.A)
	if meta, err := d.Metadata(); err != nil || meta.RootStatus[1] == 0 {
		t.Errorf("the target's root file system is a way back: %v (%v)", meta.RootStatus, err)
	}
	d.must(t, r32Activate(backends.None))
	want("activated", backends.B)
	d.must(t, r32Activate(backends.A))
	want("taken back", backends.A)
	d.must(t, r32Activate(backends.None))
	d.arrive(t, backends.B)
	want("committed", backends.B)
	d.must(t, r32Install("v", "APP", "two"), r32Stage("v"), r32Activate(backends.None))
	if r, err := d.boot(virtual.BootOptions{}); err != nil || r.Chain != virtual.A || r.Rootfs != virtual.A {
		t.Fatalf("chain %s with root file system %s (%v)", r.Chain, r.Rootfs, err)
	}
	d.must(t, r32Count, r32Rollback)
	want("rolled back", backends.B)
	d.arrive(t, backends.B)
}
