package dbusapi_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/tegra-ota/tegra-ota/dbusapi"
)

// What cannot be read is said in LastError, what is known stays, nobody is told of things that did not happen, and when it can be
// read again that is noticed.
func TestUnreadable(t *testing.T) {
	const journal = journalFile
	type step struct {
		name string
		hide func(r *rig)
		say  string // in LastError
		show func(r *rig)
	}
	for _, tt := range []step{
		{"variables", func(r *rig) { r.away("sys/firmware/efi/efivars") }, "cannot read the device",
			func(r *rig) { r.back("sys/firmware/efi/efivars") }},
		{"folder of the journal", func(r *rig) { r.away("data/tegra-ota") }, "cannot find the journal in /data/tegra-ota",
			func(r *rig) { r.back("data/tegra-ota") }},
		{"journal deleted", func(r *rig) { r.away(journal) }, "cannot find the journal in /data/tegra-ota", func(r *rig) { r.back(journal) }},
		{"journal of garbage", func(r *rig) { r.away(journal); r.put(journal, "\x00garbage") }, "cannot trust the journal",
			func(r *rig) { r.back(journal) }},
		{"journal of another kind", func(r *rig) { r.away(journal); r.put(journal, r.read("boot/efi/EFI/tegra-ota/marks-0.json")) },
			"cannot trust the journal", func(r *rig) { r.back(journal) }},
		{"journal is a folder", func(r *rig) { r.away(journal); r.put(journal+"/x", "") }, "cannot trust the journal",
			func(r *rig) { r.back(journal) }},
	} {
		for _, staged := range []bool{false, true} {
			name, state := tt.name+", an update activated", `s "activated"`
			if staged {
				name, state = tt.name+", an update staged", `s "staged"`
			}
			t.Run(name, func(t *testing.T) {
				r := newRig(t)
				r.run("tegra-bup", "install", "--update", "one", r.capsule("36.4.3"))
				if !staged {
					r.run("tegra-bootctl", "activate")
				}
				r.start()
				r.is("UpdateState", state)
				before := r.everything()
				rec := r.record()
				tt.hide(r)
				r.lastError(tt.say)
				// Nobody knows of the capsule any more that is to make B's chain whole: what the firmware says of slots stays true.
				now := r.everything()
				if d := differences(before, now); d != "" && d != `/slot/B Bootable was "yes", is "no"` {
					t.Errorf("while it cannot be read, other values: %s", d)
				}
				tt.show(r)
				r.is("LastError", `s ""`)
				r.is("UpdateState", state)
				if d := differences(before, r.everything()); d != "" {
					t.Errorf("afterwards, other values: %s", d)
				}
				for _, e := range rec.news() {
					if e.Member != "PropertiesChanged" {
						t.Errorf("it tells of %s", e)
					}
				}
				r.done("Refresh")
			})
		}
	}
}

// TestDamagedJournalHidesNoSlot: what the firmware says of a slot is told although the journal cannot be read.
func TestDamagedJournalHidesNoSlot(t *testing.T) {
	r := started(t)
	r.put("data/tegra-ota/journal.json", "garbage")
	r.lastError("cannot trust the journal")
	r.put("sys/firmware/efi/efivars/RootfsStatusSlotB-781e084c-a330-417c-b678-38e696380cb9", "\x07\x00\x00\x00\xff\x00\x00\x00")
	r.wait("slot B, unbootable", func() bool { return r.property(slotB, slotFace, "Bootable") == `s "no"` })
}

// TestDeviceThatComesLater: nothing is there at the start, and nobody asks for a Refresh.
func TestDeviceThatComesLater(t *testing.T) {
	r := newRig(t)
	r.away("sys/firmware/efi")
	r.start()
	r.lastError("cannot read the device")
	r.back("sys/firmware/efi")
	r.is("CurrentSlot", `s "A"`)
	r.is("LastError", `s ""`)
}

func (r *rig) lastError(want string) {
	r.t.Helper()
	got := ""
	r.wait("LastError "+want, func() bool {
		got = r.property(manager, dbusapi.BusName, "LastError")
		return strings.Contains(got, want)
	})
}

// everything is all values but LastError.
func (r *rig) everything() map[string]string {
	r.t.Helper()
	all := map[string]string{}
	for path := range ours {
		var values map[string]dbus.Variant
		if err := r.object(path).Call(propertiesFace+".GetAll", 0, "").Store(&values); err != nil {
			r.t.Fatal(err)
		}
		for name, v := range values {
			if name != "LastError" {
				all[strings.TrimPrefix(path, manager)+" "+name] = v.String()
			}
		}
	}
	return all
}

func differences(a, b map[string]string) string {
	var all []string
	for name, v := range a {
		if b[name] != v {
			all = append(all, name+" was "+v+", is "+b[name])
		}
	}
	sort.Strings(all)
	return strings.Join(all, "; ")
}
