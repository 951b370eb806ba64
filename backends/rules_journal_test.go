package backends_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/backends/virtual"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// noData takes /data away, so that the ESP is what both slots share. Such a mount does not come back with the next boot.
func (d *ruleDevice) noData() {
	d.mounts(func(line string) string { return ruleWithout(line, " /data ") })
}

func ruleWithout(line, words string) string {
	if strings.Contains(line, words) {
		return ""
	}
	return line
}

// mounts edits the lines of mountinfo.
func (d *ruleDevice) mounts(edit func(string) string) {
	d.t.Helper()
	var lines []string
	for _, line := range strings.Split(d.text("proc/self/mountinfo"), "\n") {
		if line = edit(line); line != "" {
			lines = append(lines, line)
		}
	}
	d.put("proc/self/mountinfo", strings.Join(lines, "\n")+"\n")
}

// The journal lies where both slots see it: /data if that is a file system of its own, else the ESP, else nowhere.
func TestJournalPlace(t *testing.T) {
	const root, data, esp = "/data/tegra-ota on the root file system", "/data/tegra-ota", "/boot/efi/EFI/tegra-ota"
	for _, tt := range []struct {
		name   string
		mounts func(string) string
		want   string
	}{
		{"data is a file system", func(l string) string { return l }, data},
		{"data is a folder of root", func(l string) string { return ruleWithout(l, " /data ") }, esp},
		{"data is a part of root, bound", func(l string) string {
			if strings.Contains(l, " /data ") {
				return "40 22 259:1 /var/data /data rw - ext4 /dev/nvme0n1p1 rw"
			}
			return l
		}, esp},
		{"data is lost at power-off", func(l string) string {
			return strings.Replace(l, " /data rw,relatime shared", " /data rw,relatime shared", 1) + ruleTmpfs(l)
		}, esp},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newRule(t)
			d.mounts(tt.mounts)
			if got := d.status().Journal; got != tt.want {
				t.Errorf("the journal lies in %s, want %s", got, tt.want)
			}
		})
	}
}

// ruleTmpfs covers /data with a tmpfs.
func ruleTmpfs(line string) string {
	if strings.Contains(line, " /data ") {
		return "\n41 22 0:44 / /data rw - tmpfs tmpfs rw"
	}
	return ""
}

// Each slot would have its own journal.
func TestJournalOnRootRefused(t *testing.T) {
	d := newRule(t)
	d.opts.JournalFolder = "/var/lib/tegra-ota"
	before := d.snapshot()
	ruleRefused(t, d.write("APP", "u"), fail.Unavailable, "journal in /var/lib/tegra-ota: it lies on the root file system")
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "root file system")
	d.wantSame(before)
	d.wantProblem("it lies on the root file system", backends.SeverityError, fail.Unavailable)
}

// FAT has no atomic replace: two copies take turns, so that one is whole whatever happens to the other.
func TestJournalOnTheESPAlternates(t *testing.T) {
	d := newRule(t)
	d.noData()
	ruleMust(t, d.write("APP", "u"))
	copies := []string{"boot/efi/EFI/tegra-ota/journal-0.json", "boot/efi/EFI/tegra-ota/journal-1.json"}
	if !d.has(copies[0]) || !d.has(copies[1]) {
		t.Fatal("there are no two copies")
	}
	newest := copies[0]
	if ruleSequence(d, copies[1]) > ruleSequence(d, copies[0]) {
		newest = copies[1]
	}
	d.put(newest, d.text(newest)[:40]) // torn
	st := d.status()
	if st.Update.State == backends.Idle || st.Slots[backends.B].Rootfs != backends.Torn {
		t.Errorf("with the newer copy torn the update is %s and B %s; want what the older one says", st.Update.State, st.Slots[backends.B].Rootfs)
	}
}

func ruleSequence(d *ruleDevice, file string) uint64 {
	var e struct{ Sequence uint64 }
	ruleMust(d.t, json.Unmarshal([]byte(d.text(file)), &e))
	return e.Sequence
}

// A journal that is torn, changed or somebody else's is reported, and not a word of it is believed.
func TestTornJournalReportedNeverTrusted(t *testing.T) {
	for name, spoil := range map[string]func(string) string{
		"torn":        func(s string) string { return s[:len(s)/2] },
		"changed":     func(s string) string { return strings.Replace(s, `"target":"B"`, `"target":"A"`, 1) },
		"foreign":     func(string) string { return `{"update":{"state":"staged","target":"B"}}` },
		"of a future": func(s string) string { return strings.Replace(s, `"format":1`, `"format":2`, 1) },
		"empty":       func(string) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			d := newRule(t)
			d.install("")
			d.put(ruleJournalPath, spoil(d.text(ruleJournalPath)))
			d.wantProblem("cannot trust the journal", backends.SeverityWarning, fail.OK)
			if got := d.status().Update.State; got != backends.Idle {
				t.Errorf("the update is %s, want idle", got)
			}
			_, err := d.activate(backends.None)
			ruleRefused(t, err, fail.Unavailable, "no update is in flight")
			d.arrive(backends.A) // the running slot counts as committed
		})
	}
}

// The firmware's status is the second copy of the mark.
func TestLostJournalKeeps0xFF(t *testing.T) {
	d := newRule(t)
	ruleMust(t, d.write("APP", "u"))
	for _, p := range []string{"data/tegra-ota", "boot/efi/EFI/tegra-ota"} {
		d.remove(p)
	}
	d.arrive(backends.A)
	if got := d.status().Slots[backends.B].Rootfs; got != backends.Unknown {
		t.Errorf("B is %s, want unknown", got)
	}
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "not bootable")
	_, err = d.stage("36.4.3", "u")
	ruleMust(t, err)
	_, err = d.activate(backends.None)
	ruleRefused(t, err, fail.Unavailable, "root file system image")
	if got := d.word("RootfsStatusSlotB"); got != 255 {
		t.Errorf("status of B is %d, want 255", got)
	}
	d.activated("")
	d.arrive(backends.B)
}

// What an update never overwrites remembers what is half written.
func TestMarksOnESPSurviveLostJournal(t *testing.T) {
	d := newRule(t)
	d.cutCapsule(virtual.AfterCutBothCleared)
	d.boot(virtual.BootOptions{})
	d.remove("data/tegra-ota")
	d.wantProblem("cannot find the journal in /data/tegra-ota, though the ESP remembers one", backends.SeverityWarning, fail.OK)
	d.set("RootfsStatusSlotB", 0)
	_, err := d.activate(backends.B)
	ruleRefused(t, err, fail.Unavailable, "firmware may be half written")
	d.arrive(backends.A)
	if got := d.mark("B"); got != ruleUnbootable {
		t.Errorf("B is %s, want %s", got, ruleUnbootable)
	}
}

// A running slot whose journal is lost is taken as committed, B as well as A.
func TestLostJournalCommitsTheRunningSlot(t *testing.T) {
	d := newRule(t)
	d.health("10-no", "exit 1")
	d.onTrial("")
	d.remove("data/tegra-ota")
	d.remove("boot/efi/EFI/tegra-ota")
	_, err := d.verify()
	ruleMust(t, err)
	d.wantBoot(backends.B, true, false)
}
