package backends_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
)

// Every verb and boot-verify leave a copy for those who may not read the journal itself.
func TestEveryVerbPublishesTheJournal(t *testing.T) {
	d := newRule(t)
	verbs := []struct {
		name string
		run  func() error
	}{
		{"write", func() error { return d.write("APP", "u") }},
		{"stage", func() error { _, err := d.stage("36.4.3", "u"); return err }},
		{"activate", func() error { _, err := d.activate(backends.None); return err }},
		{"abort", d.abort},
		{"commit", d.commit},
		{"rollback", func() error { _, err := d.rollback(); return err }},
		{"confirm", func() error { _, c := d.control(); _ = c.Confirm(context.Background(), "u", "APP"); return nil }},
		{"count", func() error { _, err := d.count(); return err }},
		{"verify", func() error { _, err := d.verify(); return err }},
	}
	for _, v := range verbs {
		d.remove("run/tegra-ota/journal.json")
		ruleMust(t, v.run())
		st, err := os.Stat(d.path("run/tegra-ota/journal.json"))
		if err != nil || st.Mode().Perm() != 0o644 {
			t.Errorf("%s leaves no copy for readers: %v", v.name, err)
			continue
		}
		var published ruleJournal
		ruleMust(t, json.Unmarshal([]byte(d.text("run/tegra-ota/journal.json")), &published))
		if published.Update["state"] != d.journal().Update["state"] {
			t.Errorf("%s publishes state %v, the journal says %v", v.name, published.Update["state"], d.journal().Update["state"])
		}
	}
	for path, want := range map[string]os.FileMode{"run/tegra-ota": 0o755, "data/tegra-ota": 0o755, ruleJournalPath: 0o644} {
		if st, err := os.Stat(d.path(path)); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, st.Mode().Perm(), want)
		}
	}
}

// status answers anybody, also where the ESP, and with it the journal, is root's alone.
func TestReadersNeedNoRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("only root can become somebody else")
	}
	program := filepath.Join(t.TempDir(), "tegra-bootctl")
	if out, err := exec.Command("go", "build", "-o", program, "../cmd/tegra-ota").CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}
	for _, tt := range []struct {
		name    string
		prepare func(d *ruleDevice)
	}{
		{"journal on data", func(*ruleDevice) {}},
		{"journal on the ESP", func(d *ruleDevice) { d.noData() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := makeRule(t)
			tt.prepare(d)
			d.install("36.4.3")
			for p := filepath.Dir(program); len(p) > len(os.TempDir()); p = filepath.Dir(p) {
				ruleMust(t, os.Chmod(p, 0o755))
			}
			for p := d.Dir(); len(p) > len(os.TempDir()); p = filepath.Dir(p) {
				ruleMust(t, os.Chmod(p, 0o755))
			}
			ruleMust(t, os.Chmod(d.path("boot/efi"), 0o700))       // dmask=0077
			ruleMust(t, os.Chmod(d.path("dev/nvme0n1"), 0o660))    // root:disk
			for _, f := range []string{"fw_class", "fw_version"} { // root's alone in sysfs
				ruleMust(t, os.Chmod(d.path(ruleESRT+f), 0o400))
			}
			out, err := asNobody(program, "status", "--json", "--root", d.Dir()).Output()
			if err != nil {
				t.Fatalf("status as nobody: %v\n%s", err, err.(*exec.ExitError).Stderr)
			}
			var st backends.Status
			ruleMust(t, json.Unmarshal(out, &st))
			if st.Update.State != backends.StagedAll || st.Slots[backends.B].Rootfs != backends.Torn {
				t.Errorf("nobody reads state %s, B %s; want staged, torn", st.Update.State, st.Slots[backends.B].Rootfs)
			}
			for _, p := range st.Problems {
				if p.Check == "journal" || p.Severity == backends.SeverityError {
					t.Errorf("nobody is told of a problem that the device does not have: %+v", p)
				}
			}
			if p := ruleProblem(st.Problems, "permission denied"); p == nil || p.NextStep != "run as root to check the EFI system partition" {
				t.Errorf("nobody is not told what only root can see: %+v", st.Problems)
			}
			// Something that an update needs stays open; with an error that anybody can see, the answer is known.
			wantCheckAsNobody(t, program, d, 77, "run as root to check the EFI system partition")
			d.put(ruleVariable("BootNext", ruleGlobal), "\x07\x00\x00\x00\x01\x00")
			wantCheckAsNobody(t, program, d, 69, "BootNext")
		})
	}
}

func asNobody(program string, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return c
}

func wantCheckAsNobody(t *testing.T, program string, d *ruleDevice, code int, words string) {
	t.Helper()
	_, err := asNobody(program, "check", "--root", d.Dir()).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code || !ruleMatch(string(exit.Stderr), words) {
		t.Fatalf("check as nobody: %v; want exit %d and %q", err, code, words)
	}
	if n := strings.Count(string(exit.Stderr), "\n"); n != 1 {
		t.Errorf("check says %d lines:\n%s", n, exit.Stderr)
	}
}
