package efivar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tegra-ota/tegra-ota/backends"
	"github.com/tegra-ota/tegra-ota/internal/efivarfs"
	"github.com/tegra-ota/tegra-ota/internal/fail"
)

// A read-only efivarfs is known before anything is tried.
func TestWritable(t *testing.T) {
	m := newMachine(t)
	if err := m.backend().Writable(ctx); err != nil {
		t.Error(err)
	}
	m.file("proc/self/mountinfo", "27 22 0:25 / "+efivarfs.Dir+" ro,nosuid - efivarfs efivarfs rw\n")
	if err := m.backend().Writable(ctx); fail.CodeOf(err) != fail.Unavailable || !strings.Contains(fail.NextOf(err), "remount,rw") {
		t.Error(err)
	}
}

// Below a root prefix no program of the host is run, not even through a link.
func TestNVBootctrlStaysInsideTheRoot(t *testing.T) {
	m := newMachine(t)
	outside := filepath.Join(t.TempDir(), "nvbootctrl")
	if err := os.WriteFile(outside, []byte("#!/bin/sh\necho called >\""+m.Path("calls")+"\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(m.Path("usr/sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, m.Path("usr/sbin/nvbootctrl")); err != nil {
		t.Fatal(err)
	}
	if err := m.backend().MarkBootable(ctx, backends.A); err != nil {
		t.Error(err)
	}
	if got := m.content("calls"); got != "absent" {
		t.Errorf("the host's program was %s", got)
	}
}
