package dbusapi_test

import (
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// once holds what a verb told to a rule: each object tells its values in one PropertiesChanged, before the signals; Operation is
// told when it begins and when it ends. changed are the names of the properties, by object.
func (rec *recorder) once(what, operation string, changed map[string]string, signals ...string) {
	rec.t.Helper()
	rec.r.is("Operation", `s "idle"`)
	all := rec.news()
	got, happened, operations := map[string][]string{}, []string{}, []any{}
	for _, e := range all {
		if e.Member != "PropertiesChanged" {
			happened = append(happened, e.String())
			continue
		}
		if v, ok := e.Values["Operation"]; ok {
			operations = append(operations, v)
			delete(e.Values, "Operation")
		}
		var names []string
		for name := range e.Values {
			names = append(names, name)
		}
		if len(names) == 0 {
			continue
		}
		if len(happened) > 0 {
			rec.t.Errorf("%s: %s comes after %s", what, e, happened)
		}
		sort.Strings(names)
		got[e.Path] = append(got[e.Path], strings.Join(names, " "))
	}
	want := map[string][]string{}
	for path, names := range changed {
		want[path] = []string{names}
	}
	same(rec.t, what+": properties", want, got)
	same(rec.t, what+": signals", append([]string{}, signals...), happened)
	same(rec.t, what+": Operation", []any{operation, "idle"}, operations)
}

const chosen = "LastVerdict NextSlot PendingUpdate UpdateState"

// What each method makes known, by a program that listens to the whole bus.
func TestSignalsOfMethods(t *testing.T) {
	r := started(t)
	rec := r.record()
	for _, tt := range []struct {
		name    string
		args    []any
		does    string
		changed map[string]string
		signals []string
	}{
		{"Commit", nil, "committing", nil, nil}, // it was committed
		{"MarkBad", []any{"B"}, "marking", map[string]string{slotB: "Bootable Retries Rootfs"}, nil},
		{"MarkGood", []any{"B"}, "marking", map[string]string{slotB: "Bootable Retries"}, nil},
		{"Activate", []any{"B"}, "activating", map[string]string{manager: chosen, slotA: "Next", slotB: "Next"}, []string{"SlotSwitched[B]"}},
		{"Activate", []any{"B"}, "activating", nil, nil},
		// Given up after it had been activated: that is what RolledBack tells of.
		{
			"Rollback", nil, "rolling-back", map[string]string{manager: "LastError " + chosen, slotA: "Next", slotB: "Next"},
			[]string{"SlotSwitched[A]", "RolledBack[B rolled back before it was booted]"},
		},
		{"Rollback", nil, "rolling-back", nil, nil},
	} {
		r.answers(tt.name, tt.args...)
		rec.once(tt.name, tt.does, tt.changed, tt.signals...)
	}
	if _, e := r.timed("Activate", "C"); e.Name == "" {
		t.Error("slot C is activated")
	}
	rec.once("Activate C", "activating", nil)
	for _, name := range []string{"Check", "Refresh"} { // they change nothing, and tell of nothing
		r.timed(name)
		if all := rec.news(); len(all) > 0 {
			t.Errorf("%s: %v", name, all)
		}
	}
	// An install by the executables, and its firmware activated.
	r.run("tegra-bup", "install", "--update", "one", r.capsule("36.4.3"))
	r.is("UpdateState", `s "staged"`)
	r.done("Refresh")
	rec.news()
	r.answers("Activate", "")
	rec.once("Activate firmware", "activating", map[string]string{manager: chosen, slotA: "Next", slotB: "FirmwareDirty Next"},
		"SlotSwitched[B]", "UpdateFinished[true map[boots:0 firmware:36.4.3 id:one reason: state:activated target:B updater:]]")
}

// onTrial boots the update that a switch to B is, and nobody has judged it.
func onTrial(t *testing.T) *rig {
	r := started(t)
	r.answers("Activate", "B")
	verify := filepath.Join(suite.bin, "tegra-boot-verify")
	r.run("virtual-orin", "boot", r.dir, "--userspace", verify+" count")
	r.is("UpdateState", `s "testing"`)
	r.is("CurrentSlot", `s "B"`)
	r.is("Committed", "b false")
	r.done("Refresh")
	return r
}

// An update on trial is accepted.
func TestCommitOnTrial(t *testing.T) {
	r := onTrial(t)
	r.fails("Busy", r.says("tegra-bootctl", "activate", "a"), "Activate", "A")
	rec := r.record()
	got := r.answers("Commit")
	if message, _ := got["message"].(string); !strings.HasPrefix(message, "slot B is committed") || len(got) != 1 {
		t.Errorf("Commit answers %v", got)
	}
	rec.once("Commit", "committing", map[string]string{
		manager: "Committed PendingUpdate UpdateState", slotB: "Retries Rootfs",
	}, "BootCommitted[B]")
	if st := r.status(); st.Update.State != "committed" || *st.Slots["B"].Retries != 3 {
		t.Errorf("%+v", st)
	}
	r.boot()
	r.is("CurrentSlot", `s "B"`)
}

// MarkGood of the running slot is Commit.
func TestMarkGoodOnTrial(t *testing.T) {
	r := onTrial(t)
	if message, _ := r.answers("MarkGood", "current")["message"].(string); !strings.HasPrefix(message, "slot B is committed") {
		t.Errorf("MarkGood answers %q", message)
	}
	if st := r.status(); st.Update.State != "committed" {
		t.Errorf("%+v", st)
	}
}

// An update on trial is given up: it says that a reboot is needed, and makes none.
func TestRollbackOnTrial(t *testing.T) {
	r := onTrial(t)
	rec := r.record()
	same(t, "Rollback", map[string]any{"message": "rolled back on request", "reboot": true}, r.answers("Rollback"))
	rec.once("Rollback", "rolling-back", map[string]string{
		manager: "LastError LastVerdict NextSlot PendingUpdate UpdateState", slotA: "Next", slotB: "Bootable Next Retries",
	}, "SlotSwitched[A]", "RolledBack[B rolled back on request]")
	if st := r.status(); st.Current != "B" || *st.Next != "A" || *st.Slots["B"].Bootable || st.Update.State != "rolled-back" {
		t.Errorf("%+v", st)
	}
	r.fails("Busy", r.says("tegra-bootctl", "commit"), "Commit")
	r.boot()
	r.is("CurrentSlot", `s "A"`)
	r.is("LastError", `s "rolled back on request"`)
}

// Marks change what the firmware knows of a slot.
func TestMarks(t *testing.T) {
	r := started(t)
	bootable := func(slot string, want bool) {
		t.Helper()
		if got := r.status().Slots[slot].Bootable; got == nil || *got != want {
			t.Errorf("slot %s is bootable: %v, want %v", slot, got, want)
		}
		text := map[bool]string{true: `s "yes"`, false: `s "no"`}[want]
		if got := r.property(manager+"/slot/"+slot, slotFace, "Bootable"); got != text {
			t.Errorf("slot %s: Bootable %s, want %s", slot, got, text)
		}
	}
	same(t, "MarkBad", map[string]any{"warnings": []string{}}, r.answers("MarkBad", "other"))
	bootable("B", false)
	same(t, "MarkGood", map[string]any{"message": "slot B is bootable"}, r.answers("MarkGood", "B"))
	bootable("B", true)
	r.answers("MarkBad", "B")
	warnings, _ := r.answers("MarkBad", "current")["warnings"].([]string)
	if len(warnings) != 1 || !strings.Contains(warnings[0], "recovery") {
		t.Errorf("MarkBad of the last slot warns %v", warnings)
	}
	bootable("A", false)
	r.answers("MarkGood", "A")
	bootable("A", true)
}

// Refresh returns when everything was read after it was called, also what no kernel reports: here the update table.
func TestRefresh(t *testing.T) {
	r := started(t)
	r.run("tegra-bup", "install", r.capsule("36.4.3"))
	r.answers("Activate", "")
	verify := filepath.Join(suite.bin, "tegra-boot-verify")
	r.run("virtual-orin", "boot", r.dir, "--cold", "--userspace", verify+" count")
	r.is("CurrentSlot", `s "B"`)
	r.done("Refresh")
	if got := r.property(manager, dbusapi.BusName, "LastVerdict"); !strings.Contains(got, `"esrt" u 0`) {
		t.Errorf("LastVerdict %s", got)
	}
	r.put("sys/firmware/efi/esrt/entries/entry0/last_attempt_status", "6\n")
	if body, e := r.timed("Refresh"); e.Name != "" || len(body) != 0 {
		t.Errorf("Refresh: %v, %v", body, e)
	}
	if got := r.property(manager, dbusapi.BusName, "LastVerdict"); !strings.Contains(got, `"esrt" u 6`) {
		t.Errorf("LastVerdict %s", got)
	}
}
