package rauc_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/internal/config"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// One install as RAUC makes it, and each answer to the byte: one write with a name and a newline, or none at all.
func TestBackendAnswers(t *testing.T) {
	d := newBackendDevice(t)
	for _, step := range []struct{ argv, stdout string }{
		{"get-primary", "A\n"},
		{"get-current", "A\n"},
		{"get-state A", "good\n"},
		{"get-state B", "good\n"},
		{"get-state rootfs.1", "good\n"},
		{"get-state APP_b", "good\n"},
		{"set-state B bad", ""},
		{"get-state B", "bad\n"},
		{"get-primary", "A\n"},
		{"set-state B bad", ""},
		{"get-state A", "good\n"},
		{"write APP_b", ""},
		{"set-primary B", ""},
		{"get-primary", "B\n"},
		{"get-state B", "good\n"},
		{"get-state A", "good\n"},
		{"get-current", "A\n"},
		{"set-primary B", ""},
		{"get-primary", "B\n"},
		{"set-primary A", ""},
		{"get-primary", "A\n"},
		{"set-state A good", ""},
		{"set-state A good", ""},
		{"get-primary", "A\n"},
	} {
		if label, ok := strings.CutPrefix(step.argv, "write "); ok {
			d.writes(label)
			continue
		}
		if err := d.call(step.argv); err != nil {
			t.Fatalf("%s: %v", step.argv, err)
		}
		writes := 0
		if step.stdout != "" {
			writes = 1
		}
		if got := d.stdout.String(); got != step.stdout || d.stdout.writes != writes {
			t.Fatalf("%s: %q in %d writes, want %q in %d", step.argv, got, d.stdout.writes, step.stdout, writes)
		}
		if strings.HasPrefix(step.argv, "get-") && d.trace.Count() != 0 {
			t.Fatalf("%s changed the device: %q", step.argv, d.trace.Changes())
		}
	}
}

// RAUC compares with bootname=, whatever name it asked by.
func TestBackendAnswersWithTheBootname(t *testing.T) {
	d := newBackendDevice(t)
	names := config.RAUC{Bootnames: []string{"system0", "system1"}, Slots: []string{"os.0", "os.1"}}
	for argv, want := range map[string]string{
		"get-primary": "system0\n", "get-current": "system0\n", "get-state system1": "good\n",
		"get-state os.0": "good\n", "get-state b": "good\n",
	} {
		if err := callBackend(d.backend(names), argv); err != nil || d.stdout.String() != want || d.stdout.writes != 1 {
			t.Errorf("%s: %q in %d writes, %v; want %q in one", argv, d.stdout.String(), d.stdout.writes, err, want)
		}
	}
}

// An empty answer and no error is RAUC's "no primary"; an error would be a broken backend to it.
func TestBackendHasNoPrimary(t *testing.T) {
	for _, calls := range [][]string{
		{"set-state A bad"},
		{"set-state A bad", "set-state B bad"},
		{"set-state B bad", "set-state A bad"},
	} {
		d := newBackendDevice(t)
		for _, argv := range calls {
			if err := d.call(argv); err != nil || d.stdout.writes != 0 {
				t.Fatalf("%q: %s: %v, %q", calls, argv, err, d.stdout.String())
			}
		}
		if err := d.call("get-primary"); err != nil || d.stdout.writes != 0 {
			t.Errorf("%q: get-primary answers %q in %d writes, %v; want nothing", calls, d.stdout.String(), d.stdout.writes, err)
		}
		if err := d.call("get-current"); err != nil || d.stdout.String() != "A\n" {
			t.Errorf("%q: get-current answers %q, %v", calls, d.stdout.String(), err)
		}
		if err := d.call("get-state A"); err != nil || d.stdout.String() != "bad\n" {
			t.Errorf("%q: get-state A answers %q, %v", calls, d.stdout.String(), err)
		}
	}
}

// An order against the last bootable slot is obeyed, and said aloud.
func TestBackendWarns(t *testing.T) {
	d := newBackendDevice(t)
	for _, step := range []struct {
		argv   string
		warned bool
	}{{"set-state B bad", false}, {"set-state A bad", true}, {"set-state B bad", true}, {"set-state A good", false}} {
		if err := d.call(step.argv); err != nil {
			t.Fatalf("%s: %v", step.argv, err)
		}
		if warned := len(d.warned) > 0; warned != step.warned || d.stdout.writes != 0 {
			t.Errorf("%s: warnings %q, want some: %t; stdout %q", step.argv, d.warned, step.warned, d.stdout.String())
		}
	}
}

// What is no slot or no state is a wrong call, and nothing is touched.
func TestBackendRefusesNames(t *testing.T) {
	d := newBackendDevice(t)
	for _, argv := range []string{
		"get-state C", "set-primary C", "set-state C good", "set-state C bad", "set-primary bootloader.1", "get-state rootfs.2",
		"set-state A Good", "set-state B BAD", "set-state A active", "set-state B unknown",
	} {
		err := d.call(argv)
		if fail.CodeOf(err) != fail.Usage || !strings.HasPrefix(err.Error(), "cannot ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want a usage error of one line", argv, err)
		}
		if d.stdout.writes != 0 || d.trace.Count() != 0 {
			t.Errorf("%s: stdout %q, changes %q", argv, d.stdout.String(), d.trace.Changes())
		}
	}
}

// An answer that cannot be given is no answer.
func TestBackendReportsABrokenPipe(t *testing.T) {
	d := newBackendDevice(t)
	for _, argv := range []string{"get-primary", "get-current", "get-state A"} {
		b := d.backend(config.Default().RAUC)
		d.stdout.fails = io.ErrClosedPipe
		if err := callBackend(b, argv); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: %v", argv, err)
		}
	}
}

// Chain A with root file system B: nobody guesses, and the calls that would act on a guess are refused.
func TestBackendDoesNotGuess(t *testing.T) {
	d := newBackendDevice(t)
	mountinfo := filepath.Join(d.Dir(), "proc/self/mountinfo")
	text, err := os.ReadFile(mountinfo)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mountinfo, []byte(strings.Replace(string(text), "/dev/nvme0n1p1 ", "/dev/nvme0n1p2 ", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, argv := range []string{"get-current", "set-primary B", "set-primary A", "set-state A bad", "set-state B bad", "set-state B good"} {
		err := d.call(argv)
		if fail.CodeOf(err) != fail.Unavailable || strings.Contains(err.Error(), "\n") || d.stdout.writes != 0 {
			t.Errorf("%s: %v, stdout %q; want exit 69 and one line", argv, err, d.stdout.String())
		}
	}
}
