package backends_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tegra-ota/tegra-ota/backends"
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
		d := makeRule(t)
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

// A BootChainFwStatus left over from the last switch would cancel this one, capsule or not.
func TestLeftOverTrialEndsInSuccess(t *testing.T) {
	for _, l4t := range []string{"", "36.4.3"} {
		d := makeRule(t)
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
		d := makeRule(t)
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
		d := makeRule(t)
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
