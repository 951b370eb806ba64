package backends_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/device"
	"github.com/tegra-ota/tegra-ota/internal/fail"
	"github.com/tegra-ota/tegra-ota/internal/record"
)

func ruleMust(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ruleRefused wants an error with an exit code, and words in it.
func ruleRefused(t *testing.T, err error, code fail.Code, words string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted; want exit %d for %q", code, words)
	}
	if fail.CodeOf(err) != code || !regexp.MustCompile(words).MatchString(err.Error()) {
		t.Errorf("%v (exit %d); want %q (exit %d)", err, fail.CodeOf(err), words, code)
	}
}

// path is a file of the device on this host.
func (d *ruleDevice) path(p string) string { return filepath.Join(d.Dir(), p) }

func (d *ruleDevice) has(p string) bool { _, err := os.Lstat(d.path(p)); return err == nil }

func (d *ruleDevice) put(p, text string) {
	d.t.Helper()
	ruleMust(d.t, os.MkdirAll(filepath.Dir(d.path(p)), 0o755))
	ruleMust(d.t, os.WriteFile(d.path(p), []byte(text), 0o644))
}

func (d *ruleDevice) rawText(p string) string {
	d.t.Helper()
	b, err := os.ReadFile(d.path(p))
	ruleMust(d.t, err)
	return string(b)
}

func (d *ruleDevice) text(p string) string { d.t.Helper(); return strings.TrimSpace(d.rawText(p)) }

func (d *ruleDevice) remove(p string) { d.t.Helper(); ruleMust(d.t, os.RemoveAll(d.path(p))) }

func ruleVariable(name, vendor string) string {
	return "sys/firmware/efi/efivars/" + name + "-" + vendor
}

// set writes a variable of NVIDIA's as somebody else would.
func (d *ruleDevice) set(name string, value uint32) {
	d.t.Helper()
	d.put(ruleVariable(name, rulePublic), string(binary.LittleEndian.AppendUint32([]byte{7, 0, 0, 0}, value)))
}

// word reads a variable of NVIDIA's; -1 when absent.
func (d *ruleDevice) word(name string) int64 {
	d.t.Helper()
	b, err := os.ReadFile(d.path(ruleVariable(name, rulePublic)))
	if os.IsNotExist(err) {
		return -1
	}
	ruleMust(d.t, err)
	return int64(binary.LittleEndian.Uint32(b[4:]))
}

// requested is OsIndications bit 2.
func (d *ruleDevice) requested() bool {
	d.t.Helper()
	b, err := os.ReadFile(d.path(ruleVariable("OsIndications", ruleGlobal)))
	return err == nil && len(b) == 12 && b[4]&4 != 0
}

func (d *ruleDevice) request(bits byte) {
	d.put(ruleVariable("OsIndications", ruleGlobal), string([]byte{7, 0, 0, 0, bits, 0, 0, 0, 0, 0, 0, 0}))
}

// mark is status and retry count of a slot as the firmware has them.
func (d *ruleDevice) mark(slot string) string {
	d.t.Helper()
	return fmt.Sprintf("%d %s", d.word("RootfsStatusSlot"+slot), d.text(rulePMC+"rootfs_retry_count_"+strings.ToLower(slot)))
}

func (d *ruleDevice) wantMarks(a, b string) {
	d.t.Helper()
	if got := [2]string{d.mark("A"), d.mark("B")}; got != [2]string{a, b} {
		d.t.Errorf("status and retries of A and B: %q, want %q", got, [2]string{a, b})
	}
}

// ruleJournal is what the journal holds, past the envelope.
type ruleJournal struct {
	Marks  map[string]map[string]string `json:"marks"`
	Update map[string]any               `json:"update"`
}

const ruleJournalPath = "data/tegra-ota/journal.json"

func (d *ruleDevice) journal() ruleJournal { d.t.Helper(); return d.record(ruleJournalPath) }

func (d *ruleDevice) record(file string) ruleJournal {
	d.t.Helper()
	var envelope struct{ Content ruleJournal }
	ruleMust(d.t, json.Unmarshal([]byte(d.text(file)), &envelope))
	return envelope.Content
}

// remark changes a mark behind tegra-ota's back, in the journal and, by its absence, on the ESP.
func (d *ruleDevice) remark(slot, what, value string) {
	d.t.Helper()
	d.remove("boot/efi/EFI/tegra-ota/marks-0.json")
	d.remove("boot/efi/EFI/tegra-ota/marks-1.json")
	store := record.New(device.New(d.Dir()), "/data/tegra-ota", "journal", record.Single)
	doc := map[string]any{}
	_, err := store.Load(&doc)
	ruleMust(d.t, err)
	marks, _ := doc["marks"].(map[string]any)
	if marks[slot] == nil {
		marks[slot] = map[string]any{}
	}
	marks[slot].(map[string]any)[what] = value
	ruleMust(d.t, store.Save(doc))
}

// wantOrder fails unless the last verb's changes match the patterns in that order, one change for each.
func (d *ruleDevice) wantOrder(patterns ...string) {
	d.t.Helper()
	ruleOrder(d.t, d.trace.Changes(), patterns...)
}

func ruleOrder(t *testing.T, changes []string, patterns ...string) {
	t.Helper()
	at := 0
	for _, p := range patterns {
		found := -1
		for i, c := range changes {
			if regexp.MustCompile(p).MatchString(c) {
				found = i
				break
			}
		}
		if found < 0 || found < at {
			t.Fatalf("the first change like %q is at %d, after %d wanted, in:\n%s", p, found, at, strings.Join(changes, "\n"))
		}
		at = found
	}
}

// snapshot is every byte that decides what boots: variables, retry counts, ESP, journal, chains and partitions.
func (d *ruleDevice) snapshot() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	for _, top := range []string{"sys/firmware", rulePMC, "boot", "data", "qspi", "dev"} {
		ruleMust(d.t, filepath.Walk(d.path(top), func(p string, info os.FileInfo, err error) error {
			if err != nil || !info.Mode().IsRegular() {
				return err
			}
			b, err := os.ReadFile(p)
			all[strings.TrimPrefix(p, d.Dir())] = string(b)
			return err
		}))
	}
	return all
}

// wantSame fails where a refusal changed something.
func (d *ruleDevice) wantSame(before map[string]string) {
	d.t.Helper()
	after := d.snapshot()
	for p, b := range before {
		if after[p] != b {
			d.t.Errorf("%s was changed", p)
		}
		delete(after, p)
	}
	for p := range after {
		d.t.Errorf("%s is new", p)
	}
}

// ruleCut is what follows the first mark in a text.
func ruleCut(s, mark string) string { _, rest, _ := strings.Cut(s, mark); return rest }

func ruleMatch(s, words string) bool { return regexp.MustCompile(words).MatchString(s) }

// ruleProblem finds a problem whose reason matches; nil without.
func ruleProblem(list []backends.Problem, words string) *backends.Problem {
	for i := range list {
		if regexp.MustCompile(words).MatchString(list[i].Reason) {
			return &list[i]
		}
	}
	return nil
}

func (d *ruleDevice) wantProblem(words string, severity backends.Severity, code fail.Code) {
	d.t.Helper()
	list := d.problems()
	p := ruleProblem(list, words)
	if p == nil || p.Severity != severity || p.Code() != code {
		d.t.Errorf("check says %+v; want %s %q (exit %d)", list, severity, words, code)
	}
	if p != nil && p.NextStep == "" {
		d.t.Errorf("check names no next step for %q", p.Reason)
	}
}
